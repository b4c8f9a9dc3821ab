#pragma once
// The memory of the KV cache: a pool of pages, each holding K and V of page_tokens tokens in all
// layers. A page's layers lie together, so a page in use touches one stretch of memory.
// Who holds which page is the scheduler's business (PagePool).

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "engine/backend/host_memory.h"
#include "engine/backend/placement.h"
#include "engine/model/model_config.h"

namespace hearth {

/// Tokens of one page. 32 scores fill two AVX-512 registers; pages stay small enough that a short
/// sequence wastes little (half a page on average).
constexpr int32_t kPageTokens = 32;

class KvCache {
 public:
  /// Bytes of one page over all layers. kUnsupported if `type` cannot hold heads of this size.
  static Result<uint64_t> page_bytes(const ModelConfig& config, DType type);

  /// Reserves `num_pages` pages; on the CPU none is touched. A page's layers lie where the
  /// placement has the layers, or all in host memory if it says so.
  static Result<KvCache> create(const ModelConfig& config, DType type, int64_t num_pages,
                                const Placement& placement = {});

  /// Overwrites page `to` with page `from`, all layers.
  void copy_page(int32_t from, int32_t to);

  /// Layer `index` of every page, as the kernels of its device address it.
  [[nodiscard]] kernels::KvLayerView layer(int32_t index) const;

 private:
  /// The pages' part for a range of layers, in one memory.
  struct Store {
    int32_t first_layer = 0;
    size_t page_bytes = 0;
    kernels::Device* device = nullptr;  // null: the host
    HostMemory host_memory;
    kernels::DeviceMemory device_memory;

    [[nodiscard]] std::byte* data() const {
      return device == nullptr ? host_memory.data() : device_memory.data();
    }
  };
  Status add_store(int32_t first_layer, int32_t num_layers, int64_t num_pages,
                   kernels::Device* device);

  std::vector<Store> stores_;  // in order of layers; none is empty
  DType type_ = DType::kF16;
  int32_t num_kv_heads_ = 0;
  int32_t head_dim_ = 0;
  size_t layer_bytes_ = 0;
};

}  // namespace hearth
