#include "engine/kv_cache/kv_cache.h"

#include <spdlog/fmt/fmt.h>

#include <cstring>

#include "base/checked_math.h"

namespace hearth {
namespace {

/// K and V of one layer in one page.
size_t layer_bytes_per_page(const ModelConfig& config, DType type) {
  return 2 * static_cast<size_t>(config.num_kv_heads) * kPageTokens *
         row_bytes(type, config.head_dim);
}

}  // namespace

Result<uint64_t> KvCache::page_bytes(const ModelConfig& config, DType type) {
  if (type != DType::kF16 && type != DType::kF32 && type != DType::kQ8_0) {
    return fail(
        ErrorCode::kUnsupported,
        fmt::format("KV cache type is {}, expected f16, f32 or q8_0", dtype_info(type).name),
        "kv-type");
  }
  const uint32_t block = dtype_info(type).block_size;
  if (config.head_dim % static_cast<int32_t>(block) != 0) {
    return fail(ErrorCode::kUnsupported,
                fmt::format("KV cache type {} needs heads of a multiple of {} values, the model's "
                            "have {}",
                            dtype_info(type).name, block, config.head_dim),
                "kv-type");
  }
  return layer_bytes_per_page(config, type) * static_cast<size_t>(config.num_layers);
}

Result<KvCache> KvCache::create(const ModelConfig& config, DType type, int64_t num_pages,
                                const Placement& placement) {
  KvCache cache;
  HEARTH_ASSIGN_OR_RETURN(const uint64_t all_layers, page_bytes(config, type));
  cache.layer_bytes_ = layer_bytes_per_page(config, type);
  cache.host_layers_ = placement.host_layers(config.num_layers);
  cache.page_bytes_ = cache.layer_bytes_ * static_cast<size_t>(cache.host_layers_);
  cache.device_page_bytes_ = all_layers - cache.page_bytes_;
  cache.type_ = type;
  cache.num_kv_heads_ = config.num_kv_heads;
  cache.head_dim_ = config.head_dim;
  const auto pages = static_cast<uint64_t>(num_pages);
  if (!checked_mul<uint64_t>(all_layers, pages))
    return fail(ErrorCode::kResourceExhausted, "the KV cache has over 2^64 bytes");
  HEARTH_ASSIGN_OR_RETURN(cache.memory_,
                          HostMemory::reserve(cache.page_bytes_ * pages, "the KV cache"));
  if (placement.device != nullptr) {
    cache.device_ = placement.device;
    HEARTH_ASSIGN_OR_RETURN(
        cache.device_memory_,
        placement.device->allocate(cache.device_page_bytes_ * pages, "the KV cache"));
  }
  return cache;
}

void KvCache::copy_page(int32_t from, int32_t to) {
  const auto source = static_cast<size_t>(from);
  const auto target = static_cast<size_t>(to);
  if (page_bytes_ > 0)
    std::memcpy(memory_.data() + target * page_bytes_, memory_.data() + source * page_bytes_,
                page_bytes_);
  if (device_ != nullptr)
    device_->copy(device_memory_.data() + target * device_page_bytes_,
                  device_memory_.data() + source * device_page_bytes_, device_page_bytes_);
}

kernels::KvLayerView KvCache::layer(int32_t index) const {
  const bool on_device = index >= host_layers_;
  std::byte* base = on_device ? device_memory_.data() : memory_.data();
  const auto place = static_cast<size_t>(on_device ? index - host_layers_ : index);
  return {.base = base + place * layer_bytes_,
          .page_bytes = on_device ? device_page_bytes_ : page_bytes_,
          .dtype = type_,
          .page_tokens = kPageTokens,
          .num_kv_heads = num_kv_heads_,
          .head_dim = head_dim_};
}

}  // namespace hearth
