// Attention on the device for every type of KV cache and size of head, where the tensor cores do
// not take them: a warp for each row and head.
#include "kernels/cuda/simt.h"
//
#include "base/check.h"
#include "kernels/attention/attention.h"
#include "kernels/attention/cuda_attention.h"
#include "kernels/attention/online_softmax.h"
#include "kernels/cuda/ops.h"
#include "kernels/quant/blocks.h"

namespace hearth::kernels::HEARTH_SIMT {
namespace {

/// kDims: values of a head that a lane holds, those lane, lane + 32, …
template <int kDims>
struct AttendKernel {
  using Args = AttendArgs;
  static constexpr int kThreads = 128;
  static constexpr int kWarps = kThreads / simt::kWarp;

  struct State {
    SoftmaxState softmax;
    float values[kDims];
  };

  /// The row and head of a warp, and the positions that it sees.
  struct Place {
    int64_t row;
    int head;
    int begin;
    int position;  // the last one
    const int32_t* pages;
    const uint8_t* kv_head;  // K of the KV head in page 0
    float q[kDims];
  };

  static HEARTH_KERNEL State empty() {
    State state;
    state.softmax = {minus_infinity(), 0.0F};
    for (int i = 0; i < kDims; ++i) state.values[i] = 0.0F;
    return state;
  }

  static HEARTH_KERNEL void run(const Args& args) {
    const AttentionArgs& a = args.attention;
    const int64_t item = static_cast<int64_t>(simt::cta_index().x) * kWarps + simt::warp_index();
    if (item >= int64_t{args.rows} * a.num_heads) return;  // the whole warp
    const Place place =
        locate(args, args.first_row + item / a.num_heads, static_cast<int>(item % a.num_heads));
    const int first = place.begin / kSpanTokens;
    const int last = place.position / kSpanTokens;
    if (args.partial != nullptr) {
      const int span = simt::cta_index().y;
      if (span < first || span > last) return;
      State state = empty();
      attend(args, place, span, state);
      float* out = partial_of(args, place.row, place.head, span);
      for (int i = 0; i < kDims; ++i)
        if (dim(i) < a.kv.head_dim) out[2 + dim(i)] = state.values[i];
      if (simt::lane_index() == 0) {
        out[0] = state.softmax.largest;
        out[1] = state.softmax.sum;
      }
      return;
    }
    State total = empty();
    for (int span = first; span <= last; ++span) {
      State part = empty();
      attend(args, place, span, part);
      join(total, part);
    }
    finish(args, place, total);
  }

  static HEARTH_KERNEL int dim(int i) { return simt::lane_index() + i * simt::kWarp; }

  static HEARTH_KERNEL Place locate(const Args& args, int64_t row, int head) {
    const AttentionArgs& a = args.attention;
    const simt::RowPlace at = args.step.row[row];
    Place place;
    place.row = row;
    place.head = head;
    place.position = at.position;
    place.begin = first_seen(a, at.position);
    place.pages = args.step.pages + at.first_page;
    const int kv_head = head / (a.num_heads / a.kv.num_kv_heads);
    place.kv_head = static_cast<const uint8_t*>(a.kv.base) +
                    static_cast<size_t>(kv_head) * args.strides.head_bytes;
    const float* q = a.q + row * a.q_stride + static_cast<int64_t>(head) * a.kv.head_dim;
    for (int i = 0; i < kDims; ++i) place.q[i] = dim(i) < a.kv.head_dim ? q[dim(i)] : 0.0F;
    return place;
  }

  /// K of a token; V is strides.v_offset behind.
  static HEARTH_KERNEL const uint8_t* token_row(const Args& args, const Place& place, int token) {
    const KvLayerView& kv = args.attention.kv;
    const int page = place.pages[token / kv.page_tokens];
    return place.kv_head + static_cast<size_t>(page) * kv.page_bytes +
           static_cast<size_t>(token % kv.page_tokens) * args.strides.row_bytes;
  }

  /// Value dim(i) of a row of K or V.
  static HEARTH_KERNEL float value_at(const KvLayerView& kv, const uint8_t* row, int i) {
    if (dim(i) >= kv.head_dim) return 0.0F;
    if (kv.dtype == DType::kF16)
      return simt::half_to_float(reinterpret_cast<const uint16_t*>(row)[dim(i)]);
    if (kv.dtype == DType::kF32) return reinterpret_cast<const float*>(row)[dim(i)];
    const quant::BlockQ8_0& block = reinterpret_cast<const quant::BlockQ8_0*>(row)[i];
    return simt::half_to_float(block.d) * static_cast<float>(block.qs[simt::lane_index()]);
  }

  /// Folds the tokens of `span` that the row sees, tile by tile.
  static HEARTH_KERNEL void attend(const Args& args, const Place& place, int span, State& state) {
    for (int tile = 0; tile < kSpanTokens / kTileTokens; ++tile) {
      const int first = span * kSpanTokens + tile * kTileTokens;
      if (first > place.position || first + kTileTokens <= place.begin) continue;
      fold_tile(args, place, first, state);
    }
  }

  static HEARTH_KERNEL void fold_tile(const Args& args, const Place& place, int first,
                                      State& state) {
    const AttentionArgs& a = args.attention;
    const int begin = place.begin > first ? place.begin : first;
    const int end =
        place.position + 1 < first + kTileTokens ? place.position + 1 : first + kTileTokens;
    float dots[kTileTokens];
    HEARTH_UNROLL
    for (int t = 0; t < kTileTokens; ++t) {
      dots[t] = 0.0F;
      if (first + t < begin || first + t >= end) continue;
      const uint8_t* k = token_row(args, place, first + t);
      HEARTH_UNROLL
      for (int i = 0; i < kDims; ++i) dots[t] = fmaf(place.q[i], value_at(a.kv, k, i), dots[t]);
    }
    float score = capped_score(a, sum_by_token(dots) * a.scale);  // of token first + lane
    const int own = first + simt::lane_index();
    if (own < begin || own >= end) score = minus_infinity();
    const float largest = fmaxf(state.softmax.largest, simt::warp_max(score));
    const float factor = rescale(state.softmax.largest, largest);
    const float weight = rescale(score, largest);
    state.softmax.sum = fmaf(state.softmax.sum, factor, simt::warp_sum(weight));
    state.softmax.largest = largest;
    for (int i = 0; i < kDims; ++i) state.values[i] *= factor;
    HEARTH_UNROLL
    for (int t = 0; t < kTileTokens; ++t) {
      const float of_token = simt::shuffle(weight, t);
      if (first + t < begin || first + t >= end) continue;
      const uint8_t* v = token_row(args, place, first + t) + args.strides.v_offset;
      HEARTH_UNROLL
      for (int i = 0; i < kDims; ++i)
        state.values[i] = fmaf(of_token, value_at(a.kv, v, i), state.values[i]);
    }
  }

  /// The sum of dots[t] over all lanes, in lane t: each exchange halves what a lane still sums.
  static HEARTH_KERNEL float sum_by_token(float (&dots)[kTileTokens]) {
    HEARTH_UNROLL
    for (int width = kTileTokens / 2; width > 0; width /= 2) {
      const bool upper = (simt::lane_index() & width) != 0;
      HEARTH_UNROLL
      for (int i = 0; i < width; ++i) {
        const float kept = upper ? dots[i + width] : dots[i];
        const float sent = upper ? dots[i] : dots[i + width];
        dots[i] = kept + simt::shuffle_xor(sent, width);
      }
    }
    return dots[0];
  }

  static HEARTH_KERNEL void join(State& total, const State& part) {
    const MergeFactors factors = merge(total.softmax, part.softmax);
    for (int i = 0; i < kDims; ++i)
      total.values[i] = merge_value(factors, total.values[i], part.values[i]);
  }

  /// Lets the head's sink join, and writes the row.
  static HEARTH_KERNEL void finish(const Args& args, const Place& place, State& total) {
    const AttentionArgs& a = args.attention;
    if (a.sinks != nullptr) {
      State sink = empty();
      sink.softmax = {a.sinks[place.head], 1.0F};
      join(total, sink);
    }
    float* out =
        a.out + place.row * a.out_stride + static_cast<int64_t>(place.head) * a.kv.head_dim;
    for (int i = 0; i < kDims; ++i)
      if (dim(i) < a.kv.head_dim) out[dim(i)] = total.values[i] / total.softmax.sum;
  }
};

/// Merges the spans of a row and head that several warps have folded.
template <int kDims>
struct MergeKernel {
  using Args = AttendArgs;
  using Attend = AttendKernel<kDims>;
  static constexpr int kThreads = Attend::kThreads;
  // Spans whose values are on their way at a time: as many as registers hold for usual heads.
  static constexpr int kAhead = kDims <= 8 ? 4 : 1;

  static HEARTH_KERNEL void run(const Args& args) {
    const AttentionArgs& a = args.attention;
    const int64_t item =
        static_cast<int64_t>(simt::cta_index().x) * Attend::kWarps + simt::warp_index();
    if (item >= int64_t{args.rows} * a.num_heads) return;
    const auto place = Attend::locate(args, args.first_row + item / a.num_heads,
                                      static_cast<int>(item % a.num_heads));
    auto total = Attend::empty();
    const int last = place.position / kSpanTokens;
    for (int first = place.begin / kSpanTokens; first <= last; first += kAhead) {
      typename Attend::State parts[kAhead];
      HEARTH_UNROLL
      for (int ahead = 0; ahead < kAhead; ++ahead)
        parts[ahead] = load(args, place, first + ahead, last);
      HEARTH_UNROLL
      for (int ahead = 0; ahead < kAhead; ++ahead)
        if (first + ahead <= last) Attend::join(total, parts[ahead]);
    }
    Attend::finish(args, place, total);
  }

  static HEARTH_KERNEL typename Attend::State load(const Args& args,
                                                   const typename Attend::Place& place, int span,
                                                   int last) {
    auto part = Attend::empty();
    if (span > last) return part;
    const float* from = partial_of(args, place.row, place.head, span);
    part.softmax = {from[0], from[1]};
    HEARTH_UNROLL
    for (int i = 0; i < kDims; ++i)
      if (Attend::dim(i) < args.attention.kv.head_dim) part.values[i] = from[2 + Attend::dim(i)];
    return part;
  }
};

/// Warps for each multiprocessor up to which sharing out the spans fills the device better than it
/// costs.
constexpr int64_t kFewWarps = 16;

/// Runs `launch` with the number of values of a head that a lane holds.
template <typename Launch>
void for_head_dim(int head_dim, const Launch& launch) {
  if (head_dim <= 128) return launch.template operator()<4>();
  if (head_dim <= 256) return launch.template operator()<8>();
  launch.template operator()<kMaxHeadDim / simt::kWarp>();
}

int ctas_for(const AttendArgs& args) {
  constexpr int kWarps = AttendKernel<1>::kWarps;
  const int64_t items = int64_t{args.rows} * args.attention.num_heads;
  return static_cast<int>((items + kWarps - 1) / kWarps);
}

void plain_attention(const ExecContext& context, AttendArgs args) {
  const simt::OpContext& op = simt::op_context(context);
  const int ctas = ctas_for(args);
  const int64_t enough = kFewWarps * op.multiprocessors / AttendKernel<1>::kWarps;
  args.partial = partial_for(op, args, ctas, enough);
  for_head_dim(args.attention.kv.head_dim, [&]<int kDims>() {
    simt::launch<AttendKernel<kDims>>(
        context, {.x = ctas, .y = args.partial == nullptr ? 1 : args.spans}, 0, args);
  });
  if (args.partial != nullptr) merge_spans(context, args);
}

}  // namespace

void merge_spans(const ExecContext& context, const AttendArgs& args) {
  for_head_dim(args.attention.kv.head_dim, [&]<int kDims>() {
    simt::launch<MergeKernel<kDims>>(context, {.x = ctas_for(args)}, 0, args);
  });
}

void attention(const ExecContext& context, const AttentionArgs& args) {
  const simt::StepTables& step = simt::op_context(context).step;
  HEARTH_CHECK(args.sequences == step.sequences && args.num_sequences == step.num_sequences,
               "the sequences are those of the step that was uploaded");
  HEARTH_CHECK(args.num_heads % args.kv.num_kv_heads == 0, "query heads are groups of a KV head");
  HEARTH_CHECK(args.kv.head_dim <= kMaxHeadDim, "the head is wider than any model's");
  if (step.rows == 0) return;
  const AttendArgs attend{.attention = args,
                          .strides = kv_strides(args.kv),
                          .step = step,
                          .first_row = 0,
                          .rows = step.rows,
                          .spans = (step.longest + kSpanTokens - 1) / kSpanTokens,
                          .partial = nullptr};
  if (!tensor_attention(context, attend)) plain_attention(context, attend);
}

}  // namespace hearth::kernels::HEARTH_SIMT
