#include "engine/sampler/philox.h"

#include <doctest/doctest.h>

namespace hearth {

TEST_CASE("philox4x32_10 gives the known answers of its authors") {
  // From the vectors published with the paper (Random123, "philox4x32 10").
  CHECK(philox4x32_10({0, 0, 0, 0}, {0, 0}) ==
        PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox4x32_10({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}) ==
        PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox4x32_10({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("sampling_bits differ by seed, choice and position") {
  const uint64_t base = sampling_bits(7, 0, 0);
  CHECK(base == sampling_bits(7, 0, 0));
  CHECK(base != sampling_bits(8, 0, 0));
  CHECK(base != sampling_bits(7 + (1ULL << 32), 0, 0));
  CHECK(base != sampling_bits(7, 1, 0));
  CHECK(base != sampling_bits(7, 0, 1));
  CHECK(base != sampling_bits(7, 0, 1ULL << 32));
  CHECK(sampling_bits(7, 1, 0) != sampling_bits(7, 0, 1));
}

}  // namespace hearth
