#include "engine/kv_cache/kv_cache.h"

#include <doctest/doctest.h>

namespace hearth {
namespace {

ModelConfig small_model() {
  ModelConfig config;
  config.num_layers = 3;
  config.num_kv_heads = 2;
  config.head_dim = 64;
  return config;
}

}  // namespace

TEST_CASE("a page holds K and V of its tokens in all layers") {
  const ModelConfig config = small_model();
  CHECK(*KvCache::page_bytes(config, DType::kF16) == 3UL * 2 * 2 * kPageTokens * 64 * 2);
  CHECK(*KvCache::page_bytes(config, DType::kQ8_0) == 3UL * 2 * 2 * kPageTokens * 2 * 34);
}

TEST_CASE("layers of a page lie side by side, pages one after another") {
  const ModelConfig config = small_model();
  const auto cache = KvCache::create(config, DType::kF16, 4);
  REQUIRE(cache.has_value());
  const auto first = cache->layer(0);
  const auto second = cache->layer(1);
  CHECK(first.page_bytes == *KvCache::page_bytes(config, DType::kF16));
  CHECK(static_cast<std::byte*>(second.base) - static_cast<std::byte*>(first.base) ==
        static_cast<ptrdiff_t>(first.page_bytes / 3));
  // The last byte of the last page is ours to write.
  auto* last = static_cast<std::byte*>(first.base) + 4 * first.page_bytes - 1;
  *last = std::byte{1};
  CHECK(*last == std::byte{1});
}

TEST_CASE("a head that does not fill q8_0 blocks is refused by name") {
  ModelConfig config = small_model();
  config.head_dim = 40;
  const auto bytes = KvCache::page_bytes(config, DType::kQ8_0);
  REQUIRE_FALSE(bytes.has_value());
  CHECK(bytes.error().param == "kv-type");
  CHECK_FALSE(KvCache::page_bytes(config, DType::kQ4_0).has_value());
}

}  // namespace hearth
