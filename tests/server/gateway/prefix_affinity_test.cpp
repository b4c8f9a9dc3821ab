#include "server/gateway/prefix_affinity.h"

#include <doctest/doctest.h>

#include <numeric>
#include <vector>

using namespace hearth;

namespace {

constexpr int32_t kPage = 4;

std::vector<int32_t> tokens(int32_t count, int32_t first = 0) {
  std::vector<int32_t> out(static_cast<size_t>(count));
  std::iota(out.begin(), out.end(), first);
  return out;
}

PrefixAffinity::Chain chain(const std::vector<int32_t>& of, uint64_t salt = 0) {
  return PrefixAffinity::chain_of(of, salt, kPage);
}

}  // namespace

TEST_CASE("a chain has one hash per full page, and one for every prefix and salt") {
  CHECK(chain(tokens(3)).hashes.empty());
  CHECK(chain(tokens(4)).hashes.size() == 1);
  CHECK(chain(tokens(11)).hashes.size() == 2);
  CHECK(chain(tokens(8)).hashes[0] == chain(tokens(4)).hashes[0]);
  CHECK(chain(tokens(4), 1).hashes != chain(tokens(4), 2).hashes);
  // The second page stands for what came before it too.
  auto other = tokens(8);
  other[0] = 99;
  CHECK(chain(other).hashes[1] != chain(tokens(8)).hashes[1]);
}

TEST_CASE("extending a chain by an answer equals the chain of prompt and answer") {
  for (int32_t prompt = 0; prompt <= 9; ++prompt) {
    for (int32_t answer = 0; answer <= 9; ++answer) {
      auto head = tokens(prompt);
      const auto tail = tokens(answer, 50);
      auto extended = chain(head, 7);
      PrefixAffinity::extend(extended, head, tail, kPage);
      head.insert(head.end(), tail.begin(), tail.end());
      CHECK(extended.hashes == chain(head, 7).hashes);
    }
  }
}

TEST_CASE("known pages are the leading ones that a worker was sent") {
  PrefixAffinity affinity;
  affinity.record(0, chain(tokens(12)));
  affinity.record(2, chain(tokens(5)));
  CHECK(affinity.known_pages(chain(tokens(20)), 3) == std::vector<int32_t>{3, 0, 1});
  CHECK(affinity.known_pages(chain(tokens(20), 1), 3) == std::vector<int32_t>{0, 0, 0});
  affinity.forget(0);
  CHECK(affinity.known_pages(chain(tokens(20)), 3) == std::vector<int32_t>{0, 0, 1});
  CHECK(affinity.size() == 1);
}

TEST_CASE("the ends of what was not used for longest are dropped first") {
  PrefixAffinity affinity(4);
  affinity.record(0, chain(tokens(12)));      // 3 pages
  affinity.record(1, chain(tokens(8, 100)));  // 2 more: one goes, the last page of the first
  CHECK(affinity.size() == 4);
  CHECK(affinity.known_pages(chain(tokens(12)), 2) == std::vector<int32_t>{2, 0});
  CHECK(affinity.known_pages(chain(tokens(8, 100)), 2) == std::vector<int32_t>{0, 2});
  affinity.record(0, chain(tokens(100)));
  CHECK(affinity.size() == 4);
  CHECK(affinity.known_pages(chain(tokens(100)), 1) == std::vector<int32_t>{4});
}
