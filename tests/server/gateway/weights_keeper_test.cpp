#include "server/gateway/weights_keeper.h"

#include <doctest/doctest.h>
#include <fcntl.h>

using namespace hearth;

namespace {

const WeightsLayout kLayout{"GPU-1", 3, 1000, 11, 12};
const WeightsLayout kOtherGpu{"GPU-2", 9, 500, 11, 13};

UniqueFd memory() {
  UniqueFd fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  REQUIRE(fd.valid());
  return fd;
}

WeightsKeeper::Answers have(WeightsKeeper& keeper, int32_t worker, const WeightsLayout& layout) {
  auto answers = keeper.have(worker, layout, memory());
  REQUIRE(answers.has_value());
  return std::move(*answers);
}

template <typename Message>
const Message& only(const WeightsKeeper::Answers& answers, int32_t worker) {
  REQUIRE(answers.size() == 1);
  CHECK(answers[0].worker == worker);
  REQUIRE(std::holds_alternative<Message>(answers[0].message));
  return std::get<Message>(answers[0].message);
}

}  // namespace

TEST_CASE("the first uploads, those that ask meanwhile and later map, also after a restart") {
  WeightsKeeper keeper;
  CHECK(only<ipc::UploadWeights>(keeper.want(2, kLayout), 2).layout == kLayout);
  CHECK(keeper.want(0, kLayout).empty());
  CHECK(keeper.want(1, kLayout).empty());
  CHECK(keeper.held_bytes() == 0);
  const auto answers = have(keeper, 2, kLayout);
  REQUIRE(answers.size() == 2);
  for (int32_t i = 0; i < 2; ++i) {
    const auto& answer = answers[static_cast<size_t>(i)];
    CHECK(answer.worker == i);
    CHECK(std::get<ipc::MapWeights>(answer.message) == ipc::MapWeights{kLayout, 1});
    CHECK(answer.memory->valid());
  }
  CHECK(keeper.held_bytes() == 1000);
  for (int32_t i = 0; i < 3; ++i) {
    CHECK(keeper.forget(i).empty());
    CHECK(only<ipc::MapWeights>(keeper.want(i, kLayout), i).version == 1);
  }
}

TEST_CASE("an uploader that dies is followed by the next that waits, or by the next that asks") {
  WeightsKeeper keeper;
  (void)keeper.want(0, kLayout);
  (void)keeper.want(1, kLayout);
  (void)keeper.want(2, kLayout);
  CHECK(keeper.forget(1).empty());  // it only waited
  only<ipc::UploadWeights>(keeper.forget(0), 2);
  CHECK(keeper.want(0, kLayout).empty());
  only<ipc::UploadWeights>(keeper.forget(2), 0);
  CHECK(keeper.forget(0).empty());
  only<ipc::UploadWeights>(keeper.want(1, kLayout), 1);
  CHECK(have(keeper, 1, kLayout).empty());
}

TEST_CASE("each GPU has weights of its own") {
  WeightsKeeper keeper;
  (void)keeper.want(0, kLayout);
  only<ipc::UploadWeights>(keeper.want(1, kOtherGpu), 1);
  (void)have(keeper, 0, kLayout);
  (void)have(keeper, 1, kOtherGpu);
  CHECK(keeper.held_bytes() == 1500);
}

TEST_CASE("other weights than those held or on their way are refused, with what differs") {
  WeightsKeeper keeper;
  (void)keeper.want(0, kLayout);
  for (int round = 0; round < 2; ++round) {
    WeightsLayout changed = kLayout;
    changed.model = 99;
    CHECK(only<ipc::RefuseWeights>(keeper.want(1, changed), 1).message ==
          "the model file has changed since it was loaded; restart the server to serve the new "
          "one");
    WeightsLayout placed = kLayout;
    placed.first_layer = 4;
    CHECK(only<ipc::RefuseWeights>(keeper.want(1, placed), 1).message.find("layers 4 and up") !=
          std::string::npos);
    if (round == 0) (void)have(keeper, 0, kLayout);
  }
}

TEST_CASE("weights that nobody was told to upload, or without memory, break the protocol") {
  WeightsKeeper keeper;
  CHECK_FALSE(keeper.have(0, kLayout, memory()).has_value());
  (void)keeper.want(0, kLayout);
  CHECK_FALSE(keeper.have(1, kLayout, memory()).has_value());
  only<ipc::RefuseWeights>(keeper.want(0, kLayout), 0);  // it would wait for itself
  WeightsLayout other = kLayout;
  other.checksum = 0;
  CHECK_FALSE(keeper.have(0, other, memory()).has_value());
  CHECK_FALSE(keeper.have(0, kLayout, UniqueFd()).has_value());
  CHECK(have(keeper, 0, kLayout).empty());
  CHECK_FALSE(keeper.have(0, kLayout, memory()).has_value());  // again
}

TEST_CASE("memory that cannot be mapped is forgotten once, by its version") {
  WeightsKeeper keeper;
  (void)keeper.want(0, kLayout);
  (void)have(keeper, 0, kLayout);
  keeper.reject("GPU-1", 1);
  CHECK(keeper.held_bytes() == 0);
  only<ipc::UploadWeights>(keeper.want(1, kLayout), 1);
  (void)have(keeper, 1, kLayout);
  keeper.reject("GPU-1", 1);  // of a worker that was late
  CHECK(only<ipc::MapWeights>(keeper.want(2, kLayout), 2).version == 2);
}
