#pragma once

namespace hearth {

/// CPUs that this process may run on (its affinity mask), at least 1.
int usable_cpus();

}  // namespace hearth
