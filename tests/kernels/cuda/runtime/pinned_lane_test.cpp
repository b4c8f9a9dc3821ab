// An upload through pinned buffers, against a runtime whose copies happen as late as they may.

#include "kernels/cuda/runtime/pinned_lane.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include "tests/kernels/cuda/runtime/support_fake_cuda.h"

using namespace hearth::kernels;
using namespace hearth::testing;

TEST_CASE("a buffer is filled again only when its copy is done") {
  const FakeCudaScope scope;
  std::vector<unsigned char> from(5 * kUploadChunkBytes + 3);
  for (size_t i = 0; i < from.size(); ++i) from[i] = static_cast<unsigned char>(i / 4097);
  std::vector<unsigned char> to(from.size());
  {
    PinnedLane lane(0);
    lane.begin();
    for (size_t at = 0; at < from.size(); at += kUploadChunkBytes)
      lane.put(to.data() + at, from.data() + at, std::min(kUploadChunkBytes, from.size() - at));
    CHECK(to != from);  // two chunks are still on their way: the host does not wait for each
    CHECK(fake_cuda().early_waits == 2);
    lane.finish();
  }
  CHECK(to == from);
}
