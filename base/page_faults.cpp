#include "base/page_faults.h"

#include <sys/resource.h>

#include "base/check.h"

namespace hearth {

PageFaults page_faults_of_this_process() {
  rusage usage{};
  HEARTH_CHECK(::getrusage(RUSAGE_SELF, &usage) == 0, "getrusage of the own process");
  return {.minor = static_cast<uint64_t>(usage.ru_minflt),
          .major = static_cast<uint64_t>(usage.ru_majflt)};
}

}  // namespace hearth
