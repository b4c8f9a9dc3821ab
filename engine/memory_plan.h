#pragma once
// What a configuration will cost, worked out before anything is allocated (DESIGN §2.8).

#include <cstdint>
#include <string>

#include "base/result.h"
#include "kernels/dtype.h"

namespace hearth {

struct MemoryPlan {
  uint64_t weights_bytes = 0;     // mapped, shared by all workers
  uint64_t kv_bytes = 0;          // the KV pool of one worker, touched only as it fills
  uint64_t activation_bytes = 0;  // workspace of one worker
  int32_t context_tokens = 0;     // per sequence
  int32_t parallel = 0;
  int32_t page_tokens = 0;
  int64_t kv_pages = 0;
  int32_t vocab_size = 0;
  int32_t trained_context = 0;  // what the file says the model was trained for
  DType kv_type = DType::kF16;

  /// One line for the log: each part in MiB, and the sum.
  [[nodiscard]] std::string describe() const;
};

}  // namespace hearth
