#include "kernels/cuda/runtime/left_out.h"

#include <doctest/doctest.h>

namespace hearth::kernels {

TEST_CASE("what a GPU is to go without") {
  const auto none = parse_left_out("");
  REQUIRE(none.has_value());
  CHECK_FALSE(none->warpgroups);
  CHECK_FALSE(none->overlap);
  const auto both = parse_left_out("overlap,warpgroups");
  REQUIRE(both.has_value());
  CHECK(both->warpgroups);
  CHECK(both->overlap);
  const auto one = parse_left_out("overlap");
  REQUIRE(one.has_value());
  CHECK_FALSE(one->warpgroups);
}

TEST_CASE("a name that is none is refused by its name") {
  for (const char* text : {"warpgroup", "overlap,x", "all", ",overlap"}) {
    const auto refused = parse_left_out(text);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == ErrorCode::kInvalidArgument);
    CHECK(refused.error().message.starts_with("HEARTH_GPU_WITHOUT names '"));
  }
}

}  // namespace hearth::kernels
