#pragma once
// A small world for attention tests: sequences with random q, k and v, and a paged cache that holds
// exactly the tokens given so far; every other byte of it is NaN.

#include <algorithm>

#include "kernels/attention/attention.h"
#include "kernels/kv_store/kv_layout.h"
#include "kernels/kv_store/kv_store.h"
#include "tests/kernels/cpu/kernel_test.h"

namespace hearth::kernels::testing {

struct AttentionShape {
  DType dtype = DType::kF16;
  int32_t head_dim = 64;
  int32_t num_kv_heads = 2;
  int32_t group = 2;
  int32_t page_tokens = 16;
  int32_t window = 0;
  int32_t chunk = 0;
  float softcap = 0.0F;
  bool sinks = false;

  [[nodiscard]] int32_t num_heads() const { return num_kv_heads * group; }
  [[nodiscard]] int64_t q_cols() const { return int64_t{num_heads()} * head_dim; }
  [[nodiscard]] int64_t kv_cols() const { return int64_t{num_kv_heads} * head_dim; }
};

/// Rows [begin, begin + count) of sequence `sequence`, run in one step.
struct Chunk {
  int32_t sequence;
  int32_t begin;
  int32_t count;
};

class AttentionWorld {
 public:
  /// `lengths[s]` tokens in sequence s. Pages are handed out in shuffled order.
  AttentionWorld(AttentionShape shape, std::vector<int32_t> lengths, uint64_t seed = 1)
      : shape_(shape), lengths_(std::move(lengths)) {
    int32_t total_pages = 0;
    for (const int32_t length : lengths_) total_pages += pages_of(length);
    std::vector<int32_t> free(static_cast<size_t>(total_pages));
    for (int32_t i = 0; i < total_pages; ++i) free[static_cast<size_t>(i)] = i;
    Random random(seed);
    for (size_t i = free.size(); i > 1; --i) std::swap(free[i - 1], free[random.next() % i]);
    for (const int32_t length : lengths_) {
      const auto tokens = static_cast<size_t>(length);
      pages_.emplace_back(free.end() - pages_of(length), free.end());
      free.resize(free.size() - pages_.back().size());
      q_.push_back(random_floats(tokens * static_cast<size_t>(shape_.q_cols()), random.next()));
      k_.push_back(
          random_floats(tokens * static_cast<size_t>(shape_.kv_cols()), random.next(), 2.0F));
      v_.push_back(random_floats(tokens * static_cast<size_t>(shape_.kv_cols()), random.next()));
    }
    kv_ = {.page_bytes = 2 * row_bytes(shape_.dtype, shape_.head_dim) *
                         static_cast<size_t>(shape_.page_tokens * shape_.num_kv_heads),
           .dtype = shape_.dtype,
           .page_tokens = shape_.page_tokens,
           .num_kv_heads = shape_.num_kv_heads,
           .head_dim = shape_.head_dim};
    memory_.resize(kv_.page_bytes * static_cast<size_t>(total_pages));
    kv_.base = memory_.data();
    sinks_ = random_floats(static_cast<size_t>(shape_.num_heads()), random.next(), 3.0F);
    clear();
  }

  /// Forgets all stored tokens: 0xFF is NaN in f16, in f32 and as a scale.
  void clear() { std::fill(memory_.begin(), memory_.end(), uint8_t{0xFF}); }

  std::vector<float>& v(int32_t sequence) { return v_[static_cast<size_t>(sequence)]; }
  std::vector<float>& k(int32_t sequence) { return k_[static_cast<size_t>(sequence)]; }
  std::vector<float>& q(int32_t sequence) { return q_[static_cast<size_t>(sequence)]; }
  std::vector<float>& sinks() { return sinks_; }
  [[nodiscard]] const AttentionShape& shape() const { return shape_; }
  KvLayerView& kv() { return kv_; }

  /// Stores the chunks' K and V and attends, in one batch; results go to out[sequence][token].
  void step(const Variant<AttentionArgs>& variant, ThreadPool* pool,
            const std::vector<Chunk>& chunks, std::vector<std::vector<float>>& out) {
    std::vector<SequenceRows> sequences;
    std::vector<float> q;
    std::vector<float> k;
    std::vector<float> v;
    int32_t rows = 0;
    for (const Chunk& chunk : chunks) {
      const auto s = static_cast<size_t>(chunk.sequence);
      append(q, q_[s], chunk, shape_.q_cols());
      append(k, k_[s], chunk, shape_.kv_cols());
      append(v, v_[s], chunk, shape_.kv_cols());
      sequences.push_back({rows, chunk.count, chunk.begin, pages_[s].data()});
      rows += chunk.count;
    }
    kv_store_ref({}, {.k = k.data(),
                      .v = v.data(),
                      .k_stride = shape_.kv_cols(),
                      .v_stride = shape_.kv_cols(),
                      .kv = kv_,
                      .sequences = sequences.data(),
                      .num_sequences = static_cast<int32_t>(sequences.size())});
    const int64_t cols = shape_.q_cols();
    PoisonedRows result(rows, cols, cols + 3, 1);
    variant.run({.pool = pool}, {.q = q.data(),
                                 .q_stride = cols,
                                 .kv = kv_,
                                 .sequences = sequences.data(),
                                 .num_sequences = static_cast<int32_t>(sequences.size()),
                                 .num_heads = shape_.num_heads(),
                                 .scale = scale(),
                                 .softcap = shape_.softcap,
                                 .sinks = shape_.sinks ? sinks_.data() : nullptr,
                                 .window = shape_.window,
                                 .chunk = shape_.chunk,
                                 .out = result.data(),
                                 .out_stride = cols + 3});
    REQUIRE(result.surroundings_untouched());
    scatter(chunks, result, out);
  }

  /// Every sequence alone, one after the other, in chunks of `chunk` rows.
  std::vector<std::vector<float>> run_alone(const Variant<AttentionArgs>& variant, int32_t chunk,
                                            ThreadPool* pool = nullptr) {
    clear();
    std::vector<std::vector<float>> out;
    for (size_t s = 0; s < lengths_.size(); ++s)
      for (int32_t begin = 0; begin < lengths_[s]; begin += chunk)
        step(variant, pool,
             {{static_cast<int32_t>(s), begin, std::min(chunk, lengths_[s] - begin)}}, out);
    return out;
  }

  [[nodiscard]] float scale() const {
    return 1.0F / std::sqrt(static_cast<float>(shape_.head_dim));
  }

 private:
  [[nodiscard]] int32_t pages_of(int32_t length) const {
    return (length + shape_.page_tokens - 1) / shape_.page_tokens;
  }
  static void append(std::vector<float>& to, const std::vector<float>& from, const Chunk& chunk,
                     int64_t cols) {
    to.insert(to.end(), from.begin() + chunk.begin * cols,
              from.begin() + (chunk.begin + chunk.count) * cols);
  }
  void scatter(const std::vector<Chunk>& chunks, const PoisonedRows& result,
               std::vector<std::vector<float>>& out) const {
    const int64_t cols = shape_.q_cols();
    out.resize(lengths_.size());
    int64_t row = 0;
    for (const Chunk& chunk : chunks) {
      const auto s = static_cast<size_t>(chunk.sequence);
      out[s].resize(static_cast<size_t>(lengths_[s] * cols));
      for (int32_t i = 0; i < chunk.count; ++i, ++row)
        std::memcpy(out[s].data() + (chunk.begin + i) * cols, result.row(row),
                    static_cast<size_t>(cols) * sizeof(float));
    }
  }

  AttentionShape shape_;
  std::vector<int32_t> lengths_;
  std::vector<std::vector<int32_t>> pages_;
  std::vector<std::vector<float>> q_;  // [length, num_heads, head_dim]
  std::vector<std::vector<float>> k_;  // [length, num_kv_heads, head_dim]
  std::vector<std::vector<float>> v_;
  std::vector<float> sinks_;  // [num_heads]
  KvLayerView kv_;
  std::vector<uint8_t> memory_;
};

}  // namespace hearth::kernels::testing
