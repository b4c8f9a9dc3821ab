#pragma once

#include <cstdint>

namespace hearth {

/// Page faults of a process. Minor ones map a page that memory has already, as the first touch of
/// the model's pages by a new worker does; major ones wait for a disk.
struct PageFaults {
  uint64_t minor = 0;
  uint64_t major = 0;

  PageFaults& operator+=(const PageFaults& more) {
    minor += more.minor;
    major += more.major;
    return *this;
  }
  friend PageFaults operator-(const PageFaults& to, const PageFaults& from) {
    return {.minor = to.minor - from.minor, .major = to.major - from.major};
  }
  friend bool operator==(const PageFaults&, const PageFaults&) = default;
};

/// Of all threads of this process since it began (getrusage(2)).
PageFaults page_faults_of_this_process();

}  // namespace hearth
