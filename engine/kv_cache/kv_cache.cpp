#include "engine/kv_cache/kv_cache.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cstring>
#include <utility>

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
  if (!checked_mul<uint64_t>(all_layers, static_cast<uint64_t>(num_pages)))
    return fail(ErrorCode::kResourceExhausted, "the KV cache has over 2^64 bytes");
  cache.layer_bytes_ = layer_bytes_per_page(config, type);
  cache.type_ = type;
  cache.num_kv_heads_ = config.num_kv_heads;
  cache.head_dim_ = config.head_dim;
  const int32_t host_layers =
      placement.kv_on_host ? config.num_layers : placement.host_layers(config.num_layers);
  HEARTH_RETURN_IF_ERROR(cache.add_store(0, host_layers, num_pages, nullptr));
  if (placement.kv_on_host) return cache;
  for (const auto& [device, range] : placement.devices)
    HEARTH_RETURN_IF_ERROR(cache.add_store(range.first_layer, range.num_layers, num_pages, device));
  return cache;
}

Status KvCache::add_store(int32_t first_layer, int32_t num_layers, int64_t num_pages,
                          kernels::Device* device) {
  if (num_layers == 0) return {};
  Store store{.first_layer = first_layer,
              .page_bytes = layer_bytes_ * static_cast<size_t>(num_layers),
              .device = device,
              .host_memory = {},
              .device_memory = {}};
  const size_t bytes = store.page_bytes * static_cast<size_t>(num_pages);
  if (device == nullptr) {
    HEARTH_ASSIGN_OR_RETURN(store.host_memory, HostMemory::reserve(bytes, "the KV cache"));
  } else {
    HEARTH_ASSIGN_OR_RETURN(store.device_memory, device->allocate(bytes, "the KV cache"));
  }
  stores_.push_back(std::move(store));
  return {};
}

void KvCache::copy_page(int32_t from, int32_t to) {
  for (const Store& store : stores_) {
    std::byte* source = store.data() + static_cast<size_t>(from) * store.page_bytes;
    std::byte* target = store.data() + static_cast<size_t>(to) * store.page_bytes;
    if (store.device == nullptr) {
      std::memcpy(target, source, store.page_bytes);
    } else {
      store.device->copy(target, source, store.page_bytes);
    }
  }
}

kernels::KvLayerView KvCache::layer(int32_t index) const {
  // The last one that does not begin behind the layer.
  const auto behind = std::ranges::upper_bound(stores_, index, {}, &Store::first_layer);
  const Store& store = *std::prev(behind);
  return {.base = store.data() + static_cast<size_t>(index - store.first_layer) * layer_bytes_,
          .page_bytes = store.page_bytes,
          .dtype = type_,
          .page_tokens = kPageTokens,
          .num_kv_heads = num_kv_heads_,
          .head_dim = head_dim_};
}

}  // namespace hearth
