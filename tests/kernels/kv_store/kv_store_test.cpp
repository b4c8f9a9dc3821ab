#include "kernels/kv_store/kv_store.h"

#include "kernels/kv_store/kv_layout.h"
#include "kernels/quant/half.h"
#include "kernels/quant/quantize_weights.h"
#include "tests/kernels/cpu/kernel_test.h"

using namespace hearth;
using namespace hearth::kernels;
using namespace hearth::kernels::testing;

namespace {

const auto kVariants = [] { return variants(&KernelTable::kv_store); };
constexpr uint8_t kPoison = 0xA5;

// Two sequences, pages shuffled, in the middle of a page and over its border.
struct Batch {
  std::vector<int32_t> pages_a = {4, 1, 6};
  std::vector<int32_t> pages_b = {0, 3};
  std::vector<SequenceRows> sequences;
  static constexpr int64_t kRows = 20;
  static constexpr int kPages = 8;

  Batch() {
    sequences = {{.row_begin = 13, .row_count = 7, .first_position = 2, .pages = pages_b.data()},
                 {.row_begin = 0, .row_count = 13, .first_position = 3, .pages = pages_a.data()}};
  }
};

std::vector<uint8_t> store(const Variant<KvStoreArgs>& variant, const Batch& batch, DType dtype,
                           int32_t page_tokens, int32_t head_dim, const std::vector<float>& k,
                           const std::vector<float>& v, ThreadPool* pool, KvLayerView& kv) {
  const int32_t heads = 3;
  kv = {
      .page_bytes = 2 * row_bytes(dtype, head_dim) * static_cast<size_t>(page_tokens * heads) + 24,
      .dtype = dtype,
      .page_tokens = page_tokens,
      .num_kv_heads = heads,
      .head_dim = head_dim};
  std::vector<uint8_t> memory(kv.page_bytes * Batch::kPages, kPoison);
  kv.base = memory.data();
  variant.run({.pool = pool}, {.k = k.data(),
                               .v = v.data(),
                               .k_stride = heads * head_dim + 1,
                               .v_stride = heads * head_dim + 2,
                               .kv = kv,
                               .sequences = batch.sequences.data(),
                               .num_sequences = 2});
  return memory;
}

// The same memory, put together slot by slot from the contract's words.
std::vector<uint8_t> expected_memory(const Batch& batch, const KvLayerView& kv,
                                     const std::vector<float>& k, const std::vector<float>& v) {
  std::vector<uint8_t> memory(kv.page_bytes * Batch::kPages, kPoison);
  const size_t row = row_bytes(kv.dtype, kv.head_dim);
  const int32_t cols = kv.num_kv_heads * kv.head_dim;
  for (const SequenceRows& sequence : batch.sequences)
    for (int32_t i = 0; i < sequence.row_count; ++i)
      for (int32_t head = 0; head < kv.num_kv_heads; ++head) {
        const int32_t position = sequence.first_position + i;
        const auto page = static_cast<size_t>(sequence.pages[position / kv.page_tokens]);
        const auto slot = static_cast<size_t>(head * kv.page_tokens + position % kv.page_tokens);
        const size_t v_slot = slot + static_cast<size_t>(kv.num_kv_heads * kv.page_tokens);
        uint8_t* base = memory.data() + page * kv.page_bytes;
        const int64_t r = sequence.row_begin + i;
        quant::quantize_row(kv.dtype, k.data() + r * (cols + 1) + head * kv.head_dim,
                            base + slot * row, kv.head_dim);
        quant::quantize_row(kv.dtype, v.data() + r * (cols + 2) + head * kv.head_dim,
                            base + v_slot * row, kv.head_dim);
      }
  return memory;
}

}  // namespace

TEST_CASE("kv_store: every row in its slot, nothing else touched, the same bits in all variants") {
  const Batch batch;
  ThreadPool pool(3);
  for (const DType dtype : {DType::kF16, DType::kF32, DType::kQ8_0})
    for (const int32_t page_tokens : {6, 16})
      for (const int32_t head_dim : {8, 31, 32, 40, 64, 96, 128, 512}) {
        if (dtype == DType::kQ8_0 && head_dim % 32 != 0) continue;
        const auto size = static_cast<size_t>(Batch::kRows * (3 * head_dim + 2));
        const auto k = random_floats(size, 1, 3.0F);
        const auto v = random_floats(size, 2, 1e-5F);  // subnormal as f16
        for (const auto& variant : kVariants())
          for (ThreadPool* threads : {static_cast<ThreadPool*>(nullptr), &pool}) {
            KvLayerView kv;
            const auto memory =
                store(variant, batch, dtype, page_tokens, head_dim, k, v, threads, kv);
            REQUIRE(memory == expected_memory(batch, kv, k, v));
          }
      }
}

TEST_CASE("kv_store: f16 is rounded to nearest even, too large becomes infinity") {
  const std::vector<float> values = {1.0F,     1.0F + 0x1p-11F, 1.0F + 0x3p-11F, 65504.0F,
                                     65519.9F, 65520.0F,        -1e9F,           0x1p-25F};
  const std::vector<uint16_t> expected = {0x3C00, 0x3C00, 0x3C02, 0x7BFF,
                                          0x7BFF, 0x7C00, 0xFC00, 0x0000};
  const int32_t page = 0;
  const SequenceRows sequence{.row_count = 1, .pages = &page};
  for (const auto& variant : kVariants()) {
    std::vector<uint16_t> memory(16);
    variant.run({}, {.k = values.data(),
                     .v = values.data(),
                     .k_stride = 8,
                     .v_stride = 8,
                     .kv = {.base = memory.data(),
                            .page_bytes = 32,
                            .dtype = DType::kF16,
                            .page_tokens = 1,
                            .num_kv_heads = 1,
                            .head_dim = 8},
                     .sequences = &sequence,
                     .num_sequences = 1});
    for (size_t i = 0; i < 8; ++i) {
      CHECK(memory[i] == expected[i]);
      CHECK(memory[8 + i] == expected[i]);
    }
  }
}
