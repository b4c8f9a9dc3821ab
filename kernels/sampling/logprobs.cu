// Log-probabilities on the device: the sum of exponentials in the order that the CPU adds them in,
// and the likeliest tokens. Logarithms are taken on the CPU, of numbers that are equal there.
#include "kernels/cuda/simt.h"
//
#include "kernels/cuda/ops.h"
#include "kernels/sampling/cuda_sampling.h"

namespace hearth::kernels::HEARTH_SIMT {
namespace {

HEARTH_KERNEL bool wants_logprobs(const RowView& row) {
  return row.how->mode != SampleMode::kNone && row.how->num_top >= 0 && row.max() > -INFINITY;
}

HEARTH_KERNEL float model_max(const RowView& row) {
  return float_of_order(row.work.state->model_max_bits);
}

/// A warp for each chunk: the largest of the model's logits, there and of all.
struct ModelMaximaKernel {
  using Args = SampleArgs;
  static constexpr int kThreads = kSampleThreads;

  static HEARTH_KERNEL void run(const Args& args) {
    const RowView row = row_view(args, simt::cta_index().y);
    const int chunk = simt::cta_index().x * kSampleWarps + simt::warp_index();
    if (!wants_logprobs(row) || chunk >= row.work.chunks) return;  // the whole warp
    const float largest = largest_of_chunk(row, chunk);
    if (simt::lane_index() != 0) return;
    row.work.chunk_max[chunk] = largest;
    simt::atomic_max(&row.work.state->model_max_bits, float_order(largest));
  }
};

/// Half a warp for each chunk: each thread is one of the lanes whose sums the contract fixes.
struct ExpSumKernel {
  using Args = SampleArgs;
  static constexpr int kThreads = kSampleWarps * kSampleLanes;

  static HEARTH_KERNEL void run(const Args& args) {
    const RowView row = row_view(args, simt::cta_index().y);
    const int chunk = simt::cta_index().x * kSampleWarps + simt::thread_index() / kSampleLanes;
    if (!wants_logprobs(row) || chunk >= row.work.chunks) return;
    const int lane = simt::thread_index() % kSampleLanes;
    const float max = model_max(row);
    const int end = (chunk + 1) * kSampleChunk;
    float sum = 0.0F;
    for (int i = chunk * kSampleChunk + lane; i < end && i < row.vocab_size; i += kSampleLanes)
      sum += exp_nonpositive(row.logit(i) - max);
    row.work.lanes[chunk * kSampleLanes + lane] = sum;
  }
};

/// A cta for each row: the sum of all lanes, one after the other, and the likeliest tokens.
struct ReportKernel {
  using Args = SampleArgs;
  static constexpr int kThreads = kSampleThreads;
  static constexpr int kMostChunks = kSampleMostVocab / kSampleChunk;
  static constexpr int kStagedLanes = 4 * kThreads;

  /// What a chunk has left: its best token that was not taken yet, all better ones were.
  struct Shared {
    uint64_t scratch[kSampleWarps];
    float lanes[kStagedLanes];
    float best[kMostChunks];
    int32_t taken_token[kMostChunks];  // the last one taken; -1: none
    float taken_logit[kMostChunks];
  };

  static HEARTH_KERNEL void run(const Args& args) {
    const int64_t r = simt::cta_index().x;
    const RowView row = row_view(args, r);
    if (!wants_logprobs(row)) return;
    auto& shared = *reinterpret_cast<Shared*>(simt::shared_memory());
    const double sum = exp_sum(row, shared);
    const int taken = take_best(row, shared, args.top + r * kSampleMostTop);
    if (simt::thread_index() != 0) return;
    SampleResult& result = args.result[r];
    result.num_top = taken;
    result.logit = row.logit(result.token);
    result.max = model_max(row);
    result.exp_sum = sum;
  }

  /// In thread 0.
  static HEARTH_KERNEL double exp_sum(const RowView& row, Shared& shared) {
    const int count = row.work.chunks * kSampleLanes;
    double total = 0.0;
    for (int begin = 0; begin < count; begin += kStagedLanes) {
      for (int i = simt::thread_index(); i < kStagedLanes && begin + i < count; i += kThreads)
        shared.lanes[i] = row.work.lanes[begin + i];
      simt::sync_cta();
      if (simt::thread_index() == 0)
        for (int i = 0; i < kStagedLanes && begin + i < count; ++i) total += shared.lanes[i];
      simt::sync_cta();
    }
    return total;
  }

  /// The best of the chunks' best, again and again. How many there were.
  static HEARTH_KERNEL int take_best(const RowView& row, Shared& shared, TopLogit* top) {
    for (int i = simt::thread_index(); i < row.work.chunks; i += kThreads) {
      shared.best[i] = row.work.chunk_max[i];
      shared.taken_token[i] = -1;
    }
    simt::sync_cta();
    for (int taken = 0; taken < row.how->num_top; ++taken) {
      uint64_t best = 0;
      for (int i = simt::thread_index(); i < row.work.chunks; i += kThreads)
        best = larger(best, rank(shared.best[i], i));
      best = cta_largest(best, shared.scratch);
      if (!(logit_of(best) > -INFINITY)) return taken;
      const int chunk = index_of(best);
      const uint64_t token = best_of_chunk(row, shared, chunk);
      simt::sync_cta();
      if (simt::thread_index() == 0) {
        top[taken] = {index_of(token), logit_of(token)};
        shared.taken_token[chunk] = index_of(token);
        shared.taken_logit[chunk] = logit_of(token);
      }
      simt::sync_cta();
      const uint64_t next = best_of_chunk(row, shared, chunk);
      if (simt::thread_index() == 0) shared.best[chunk] = next == 0 ? -INFINITY : logit_of(next);
      simt::sync_cta();
    }
    return row.how->num_top;
  }

  // Numbers that order as (logit, then lower index); 0 is less than any.
  static HEARTH_KERNEL uint64_t rank(float logit, int index) {
    return static_cast<uint64_t>(float_order(logit)) << 32 |
           (0xFFFFFFFFU - static_cast<uint32_t>(index));
  }
  static HEARTH_KERNEL float logit_of(uint64_t rank) {
    return float_of_order(static_cast<uint32_t>(rank >> 32));
  }
  static HEARTH_KERNEL int index_of(uint64_t rank) {
    return static_cast<int>(0xFFFFFFFFU - static_cast<uint32_t>(rank));
  }
  static HEARTH_KERNEL uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }

  /// The rank of the best token of a chunk behind the last one taken; 0: there is none.
  static HEARTH_KERNEL uint64_t best_of_chunk(const RowView& row, Shared& shared, int chunk) {
    const int32_t taken = shared.taken_token[chunk];
    const uint64_t bound = taken < 0 ? ~uint64_t{0} : rank(shared.taken_logit[chunk], taken);
    uint64_t best = 0;
    for (int i = simt::thread_index(); i < kSampleChunk; i += kThreads) {
      const int token = chunk * kSampleChunk + i;
      if (token >= row.vocab_size) break;
      const uint64_t own = rank(row.logit(token), token);
      if (own < bound) best = larger(best, own);
    }
    return cta_largest(best, shared.scratch);
  }
};

}  // namespace

void sample_logprobs(const ExecContext& context, const SampleArgs& args) {
  const auto chunks = static_cast<int>(sample_chunks(args.vocab_size));
  const simt::Ctas shared_out{.x = (chunks + kSampleWarps - 1) / kSampleWarps, .y = args.rows};
  simt::launch<ModelMaximaKernel>(context, shared_out, 0, args);
  simt::launch<ExpSumKernel>(context, shared_out, 0, args);
  simt::launch<ReportKernel>(context, {.x = args.rows}, sizeof(ReportKernel::Shared), args);
}

}  // namespace hearth::kernels::HEARTH_SIMT
