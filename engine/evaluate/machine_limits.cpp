#include "engine/evaluate/machine_limits.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>

namespace hearth {
namespace {

using kernels::Arithmetic;

constexpr size_t kMostRead = size_t{2} << 30;
constexpr int kRepeats = 5;
// Ends of neighbouring tensors that are farther apart than this would not be one stream.
constexpr size_t kLargestGap = 1 << 16;

// Where sums go, so that they are computed.
std::atomic<uint64_t> sink;

/// The least time of several calls, in seconds.
template <typename F>
double least_seconds(const F& f) {
  double least = 0.0;
  for (int i = 0; i < kRepeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    f();
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (i == 0 || seconds < least) least = seconds;
  }
  return least;
}

uint64_t read_all(std::span<const std::byte> bytes) {
  std::array<uint64_t, 8> sums{};
  for (size_t at = 0; at + sizeof sums <= bytes.size(); at += sizeof sums) {
    std::array<uint64_t, 8> line;
    std::memcpy(line.data(), bytes.data() + at, sizeof line);
    for (size_t i = 0; i < sums.size(); ++i) sums[i] ^= line[i];
  }
  uint64_t sum = 0;
  for (const uint64_t part : sums) sum ^= part;
  return sum;
}

/// Thread `index`'s share of the spans, as if they were one.
void read_share(std::span<const std::span<const std::byte>> spans, size_t total, int index,
                int threads) {
  const kernels::Slice slice =
      kernels::thread_slice(static_cast<int64_t>(total), 4096, index, threads);
  const auto begin = static_cast<size_t>(slice.begin);
  const auto end = static_cast<size_t>(slice.end);
  uint64_t sum = 0;
  size_t first = 0;  // of the span, among all bytes
  for (const auto span : spans) {
    const size_t from = std::clamp(begin, first, first + span.size()) - first;
    const size_t to = std::clamp(end, first, first + span.size()) - first;
    sum ^= read_all(span.subspan(from, to - from));
    first += span.size();
  }
  sink ^= sum;
}

double measure_read(kernels::ThreadPool& pool, std::span<const std::span<const std::byte>> spans) {
  size_t total = 0;
  for (const auto span : spans) total += span.size();
  total = std::min(total, kMostRead);
  if (total == 0) return 0.0;
  return static_cast<double>(total) / least_seconds([&] {
           pool.run([&](int index, int threads) { read_share(spans, total, index, threads); });
         });
}

double measure_peak(kernels::ThreadPool& pool, kernels::PeakLoop loop) {
  if (loop == nullptr) return 0.0;
  constexpr int64_t kRounds = 1 << 20;  // some milliseconds
  int64_t each = 0;
  const double seconds = least_seconds([&] {
    pool.run([&](int index, int) {
      const int64_t done = loop(kRounds);
      if (index == 0) each = done;
    });
  });
  return static_cast<double>(each) * pool.num_threads() / seconds;
}

void add_span(std::vector<std::span<const std::byte>>& spans, const kernels::WeightView& weight) {
  if (weight.data == nullptr) return;
  spans.emplace_back(static_cast<const std::byte*>(weight.data),
                     static_cast<size_t>(weight.rows) * weight.row_bytes);
}

}  // namespace

double MachineLimits::operations(Arithmetic arithmetic) const {
  switch (arithmetic) {
    case Arithmetic::kNone:
      return 0.0;
    case Arithmetic::kF32:
      return f32;
    case Arithmetic::kInt16:
      return int16;
    case Arithmetic::kInt8:
      return int8;
  }
  return 0.0;
}

MachineLimits best_of(const MachineLimits& a, const MachineLimits& b) {
  return {.read_bytes = std::max(a.read_bytes, b.read_bytes),
          .f32 = std::max(a.f32, b.f32),
          .int16 = std::max(a.int16, b.int16),
          .int8 = std::max(a.int8, b.int8)};
}

std::vector<std::span<const std::byte>> weight_spans(const Model& model) {
  std::vector<std::span<const std::byte>> spans;
  for (const LayerWeights& layer : model.layers()) {
    for (const LinearWeights* weights :
         {&layer.q, &layer.k, &layer.v, &layer.attention_out, &layer.gate, &layer.up, &layer.down})
      add_span(spans, weights->weight);
    for (const ExpertMatrices* experts :
         {&layer.experts.gate, &layer.experts.up, &layer.experts.down})
      for (const kernels::WeightView& weight : experts->weights) add_span(spans, weight);
  }
  add_span(spans, model.output().weight);
  std::ranges::sort(spans, {}, [](const auto& span) { return span.data(); });
  std::vector<std::span<const std::byte>> joined;
  for (const auto span : spans) {
    const std::byte* end = joined.empty() ? nullptr : joined.back().data() + joined.back().size();
    if (end != nullptr && span.data() >= end &&
        static_cast<size_t>(span.data() - end) <= kLargestGap) {
      joined.back() = {joined.back().data(), span.data() + span.size()};
    } else if (end == nullptr || span.data() >= end) {
      joined.push_back(span);
    }
  }
  return joined;
}

MachineLimits measure_limits(kernels::ThreadPool& pool, std::string_view isa,
                             std::span<const std::span<const std::byte>> weights) {
  const auto peak = [&](Arithmetic arithmetic) {
    return measure_peak(pool, kernels::find_peak_loop(isa, arithmetic));
  };
  return {.read_bytes = measure_read(pool, weights),
          .f32 = peak(Arithmetic::kF32),
          .int16 = peak(Arithmetic::kInt16),
          .int8 = peak(Arithmetic::kInt8)};
}

}  // namespace hearth
