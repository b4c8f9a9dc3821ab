// Files made by other tools, beside the source tree when present.

#include <doctest/doctest.h>

#include <set>

#include "engine/gguf/model_file.h"

namespace hearth {
namespace {

const std::filesystem::path kVectors = "../shared/vectors";

bool have_vectors() {
  if (std::filesystem::exists(kVectors / "formats")) return true;
  MESSAGE("../shared/vectors is not here: files of other tools were not tested");
  return false;
}

/// Faults that are not the container's: the loader of the model finds them.
const std::set<std::string> kModelFaults = {
    "good.gguf",
    "missing-embedding.gguf",
    "wrong-shape.gguf",
    "vocab-mismatch.gguf",
    "no-architecture.gguf",
    "architecture-not-string.gguf",
    "no-embedding-length.gguf",
    "block-count-zero.gguf",
    "head-count-zero.gguf",
    "heads-not-multiple-of-kv.gguf",
    "embedding-length-string.gguf",
    "no-tokens.gguf",
    "tokens-not-array.gguf",
    "merges-garbage.gguf",
    "token-type-short.gguf",
    "nan-weights.gguf",
    "only-header.gguf",
};

}  // namespace

TEST_CASE("broken containers are refused in one line that names the file") {
  if (!have_vectors()) return;
  int refused = 0;
  int opened = 0;
  for (const auto& file : std::filesystem::directory_iterator(kVectors / "formats/malformed")) {
    if (file.path().extension() != ".gguf") continue;
    const std::string name = file.path().filename().string();
    const auto model = ModelFile::open(file.path());
    if (model) {
      ++opened;
      CHECK_MESSAGE(kModelFaults.contains(name), name, " opened");
      continue;
    }
    ++refused;
    CHECK(model.error().message.find(name) != std::string::npos);
    CHECK(model.error().message.find('\n') == std::string::npos);
    CHECK_MESSAGE((name != "good.gguf"), model.error().message);
  }
  MESSAGE(refused, " broken files refused, ", opened, " opened for the model's own checks");
  CHECK(refused > 0);
}

TEST_CASE("variants of the container hold the tensors of the base file") {
  if (!have_vectors()) return;
  const auto base = ModelFile::open(kVectors / "models/fmt-base-f32.gguf");
  REQUIRE(base.has_value());
  for (const char* name :
       {"fmt-base-f32-align64.gguf", "fmt-base-f32-gguf2.gguf", "fmt-base-f32-metadata.gguf",
        "fmt-base-f32-split-00001-of-00003.gguf"}) {
    const auto model = ModelFile::open(kVectors / "formats" / name);
    REQUIRE_MESSAGE(model.has_value(), (model ? "" : model.error().message));
    CHECK((*model)->tensors().size() == (*base)->tensors().size());
    for (const TensorInfo& expected : (*base)->tensors()) {
      const TensorInfo* tensor = (*model)->find_tensor(expected.name);
      REQUIRE(tensor != nullptr);
      CHECK(tensor->dims == expected.dims);
      REQUIRE(tensor->bytes == expected.bytes);
      CHECK(std::equal(tensor->data, tensor->data + tensor->bytes, expected.data));
    }
  }
  for (const char* name :
       {"fmt-base-f32-split-00002-of-00003.gguf", "fmt-base-f32-split-00003-of-00003.gguf"}) {
    const auto model = ModelFile::open(kVectors / "formats" / name);
    REQUIRE_FALSE(model.has_value());
    CHECK(model.error().message.find("fmt-base-f32-split-00001-of-00003.gguf") !=
          std::string::npos);
  }
}

TEST_CASE("models and vocabularies of other tools open, or name the type that is not read") {
  if (!have_vectors()) return;
  int opened = 0;
  int unsupported = 0;
  for (const char* folder : {"models", "tokenizers"}) {
    for (const auto& file : std::filesystem::directory_iterator(kVectors / folder)) {
      if (file.path().extension() != ".gguf") continue;
      const auto model = ModelFile::open(file.path());
      if (model) {
        ++opened;
        CHECK((*model)->metadata().string("general.architecture").has_value());
        continue;
      }
      ++unsupported;
      CHECK_MESSAGE(model.error().code == ErrorCode::kUnsupported, model.error().message);
      CHECK(model.error().message.find("type: ") != std::string::npos);
    }
  }
  MESSAGE(opened, " files opened, ", unsupported, " have a type that is not read");
  CHECK(opened > 0);
}

}  // namespace hearth
