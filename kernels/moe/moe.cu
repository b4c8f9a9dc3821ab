// route, gather and combine on the device; expert_matmul is in kernels/matmul/matmul.cu.
#include "kernels/cuda/simt.h"
//
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/ops.h"
#include "kernels/moe/moe.h"

namespace hearth::kernels::HEARTH_SIMT {
namespace {

constexpr int kWarpsPerCta = 4;

/// A warp for each row: its experts and their weights.
struct ChooseKernel {
  using Args = RouteArgs;
  static constexpr int kThreads = kWarpsPerCta * simt::kWarp;

  static HEARTH_KERNEL void run(const Args& args) {
    const int64_t row =
        static_cast<int64_t>(simt::cta_index().x) * kWarpsPerCta + simt::warp_index();
    if (row < args.rows) choose(args, row);  // the whole warp
  }

  static HEARTH_KERNEL void choose(const Args& args, int64_t row) {
    const float* logits = args.logits + row * args.experts;
    int32_t* chosen = args.chosen + row * args.used;
    // Lane l looks at experts l, l + 32, …; bit i says that its i-th one is taken.
    uint32_t taken = 0;
    float largest = 0.0F;
    for (int rank = 0; rank < args.used; ++rank) {
      int best = -1;
      float best_logit = 0.0F;
      for (int i = 0; i * simt::kWarp + simt::lane_index() < args.experts; ++i) {
        const int e = i * simt::kWarp + simt::lane_index();
        if ((taken >> i & 1U) != 0) continue;
        if (best < 0 || logits[e] > best_logit) {
          best = e;
          best_logit = logits[e];
        }
      }
      for (int mask = 16; mask > 0; mask /= 2) {
        const int other = simt::shuffle_xor(best, mask);
        const float other_logit = simt::shuffle_xor(best_logit, mask);
        const bool wins = other >= 0 && (best < 0 || other_logit > best_logit ||
                                         (!(best_logit > other_logit) && other < best));
        if (wins) {
          best = other;
          best_logit = other_logit;
        }
      }
      if (best % simt::kWarp == simt::lane_index()) taken |= 1U << best / simt::kWarp;
      if (rank == 0) largest = best_logit;
      if (simt::lane_index() == 0) chosen[rank] = best;
    }
    simt::sync_warp();
    weigh(args, row, largest);
  }

  static HEARTH_KERNEL void weigh(const Args& args, int64_t row, float largest) {
    const float* logits = args.logits + row * args.experts;
    const int32_t* chosen = args.chosen + row * args.used;
    float sum = 0.0F;
    if (args.router == Router::kSoftmax) {
      for (int e = simt::lane_index(); e < args.experts; e += simt::kWarp)
        sum += expf(logits[e] - largest);
    } else {
      for (int rank = simt::lane_index(); rank < args.used; rank += simt::kWarp)
        sum += expf(logits[chosen[rank]] - largest);
    }
    sum = simt::warp_sum(sum);
    for (int rank = simt::lane_index(); rank < args.used; rank += simt::kWarp) {
      const float logit = logits[chosen[rank]];
      const float share = args.router == Router::kSigmoid ? 1.0F / (1.0F + expf(-logit))
                                                          : expf(logit - largest) / sum;
      args.weight[row * args.used + rank] = share * args.scale;
    }
  }
};

/// The whole op for few slots: one cta, and in its second half a thread for each expert.
struct RouteKernel {
  using Args = RouteArgs;
  static constexpr int kThreads = 512;
  static constexpr int64_t kMostSlots = 512;

  static size_t shared_bytes(const RouteArgs& args) {
    return sizeof(int32_t) * static_cast<size_t>(args.rows * args.used + args.experts);
  }

  static HEARTH_KERNEL void run(const Args& args) {
    for (int64_t row = simt::warp_index(); row < args.rows; row += kThreads / simt::kWarp)
      ChooseKernel::choose(args, row);
    simt::sync_cta();
    const int slots = static_cast<int>(args.rows) * args.used;
    auto* chosen = reinterpret_cast<int32_t*>(simt::shared_memory());
    int32_t* count = chosen + slots;
    for (int i = simt::thread_index(); i < slots; i += kThreads) chosen[i] = args.chosen[i];
    simt::sync_cta();
    for (int e = simt::thread_index(); e < args.experts; e += kThreads) {
      int own = 0;
      for (int i = 0; i < slots; ++i) own += chosen[i] == e ? 1 : 0;
      count[e] = own;
    }
    simt::sync_cta();
    for (int e = simt::thread_index(); e < args.experts; e += kThreads) {
      int slot = 0;
      for (int other = 0; other < e; ++other) slot += count[other];
      args.begin[e] = slot;
      if (e + 1 == args.experts) args.begin[args.experts] = slot + count[e];
      if (count[e] == 0) continue;
      for (int i = 0; i < slots; ++i) {
        if (chosen[i] != e) continue;
        args.slot[i] = slot;
        args.source[slot++] = i;
      }
    }
  }
};

struct SlotArgs {
  RouteArgs route;
  int32_t* count;  // [experts]
};

/// A warp for each expert: how many slots it has.
struct CountKernel {
  using Args = SlotArgs;
  static constexpr int kThreads = kWarpsPerCta * simt::kWarp;

  static HEARTH_KERNEL void run(const Args& args) {
    const int e = simt::cta_index().x * kWarpsPerCta + simt::warp_index();
    if (e >= args.route.experts) return;
    const int64_t slots = args.route.rows * args.route.used;
    int count = 0;
    for (int64_t i = simt::lane_index(); i < slots; i += simt::kWarp)
      count += args.route.chosen[i] == e ? 1 : 0;
    for (int mask = 16; mask > 0; mask /= 2) count += simt::shuffle_xor(count, mask);
    if (simt::lane_index() == 0) args.count[e] = count;
  }
};

/// A warp for each expert: where its slots begin, and which (row, rank) each one is, in order.
struct AssignKernel {
  using Args = SlotArgs;
  static constexpr int kThreads = kWarpsPerCta * simt::kWarp;

  static HEARTH_KERNEL void run(const Args& args) {
    const RouteArgs& route = args.route;
    const int e = simt::cta_index().x * kWarpsPerCta + simt::warp_index();
    if (e >= route.experts) return;
    int before = 0;
    for (int other = simt::lane_index(); other < e; other += simt::kWarp)
      before += args.count[other];
    for (int mask = 16; mask > 0; mask /= 2) before += simt::shuffle_xor(before, mask);
    if (simt::lane_index() == 0) {
      route.begin[e] = before;
      if (e + 1 == route.experts) route.begin[route.experts] = before + args.count[e];
    }
    const int64_t slots = route.rows * route.used;
    for (int64_t first = 0; first < slots; first += simt::kWarp) {
      const int64_t i = first + simt::lane_index();
      const bool mine = i < slots && route.chosen[i] == e;
      const int upto = inclusive_sum(mine ? 1 : 0);
      if (mine) {
        const int slot = before + upto - 1;
        route.slot[i] = slot;
        route.source[slot] = static_cast<int32_t>(i);
      }
      before += total_of(mine ? 1 : 0);
    }
  }

  static HEARTH_KERNEL int total_of(int value) {
    for (int mask = 16; mask > 0; mask /= 2) value += simt::shuffle_xor(value, mask);
    return value;
  }

  /// The sum of this lane's value and those of the lanes before it.
  static HEARTH_KERNEL int inclusive_sum(int value) {
    int sum = value;       // of the lanes up to this one in its group
    int of_group = value;  // of the whole group
    for (int width = 1; width < simt::kWarp; width *= 2) {
      const int other = simt::shuffle_xor(of_group, width);
      if ((simt::lane_index() & width) != 0) sum += other;
      of_group += other;
    }
    return sum;
  }
};

struct Gather {
  using Args = GatherArgs;
  static HEARTH_KERNEL void at(const Args& args, int64_t index) {
    const int32_t source = args.source[index / args.cols];
    const float value = args.x[source / args.used * args.cols + index % args.cols];
    args.out[index] = args.weight == nullptr ? value : value * args.weight[source];
  }
};

struct Combine {
  using Args = CombineArgs;
  static HEARTH_KERNEL void at(const Args& args, int64_t index) {
    const int64_t row = index / args.cols;
    const int64_t i = index % args.cols;
    float sum = 0.0F;
    for (int64_t at = row * args.used; at < (row + 1) * args.used; ++at) {
      const float weight = args.weight == nullptr ? 1.0F : args.weight[at];
      sum = fmaf(weight, args.x[args.slot[at] * args.cols + i], sum);
    }
    args.out[index] = args.accumulate ? args.out[index] + sum : sum;
  }
};

int ctas_for(int64_t warps) { return static_cast<int>((warps + kWarpsPerCta - 1) / kWarpsPerCta); }

}  // namespace

void route(const ExecContext& context, const RouteArgs& args) {
  HEARTH_CHECK(args.experts > 0 && args.experts <= kMaxExperts, "the number of experts is bounded");
  static_assert(kMaxExperts <= 32 * simt::kWarp);
  HEARTH_CHECK(args.used > 0 && args.used <= args.experts, "a row uses some of the experts");
  const simt::OpContext& op = simt::op_context(context);
  HEARTH_CHECK(op.scratch_bytes >= static_cast<size_t>(args.experts) * sizeof(int32_t),
               "the scratch memory holds the counts");
  if (args.rows == 0) return;
  if (args.rows * args.used <= RouteKernel::kMostSlots) {
    simt::launch<RouteKernel>(context, {}, RouteKernel::shared_bytes(args), args);
    return;
  }
  const SlotArgs slots{args, static_cast<int32_t*>(op.scratch)};
  simt::launch<ChooseKernel>(context, {.x = ctas_for(args.rows)}, 0, args);
  simt::launch<CountKernel>(context, {.x = ctas_for(args.experts)}, 0, slots);
  simt::launch<AssignKernel>(context, {.x = ctas_for(args.experts)}, 0, slots);
}

void gather(const ExecContext& context, const GatherArgs& args) {
  for_each<Gather>(context, args.slots * args.cols, args);
}

void combine(const ExecContext& context, const CombineArgs& args) {
  for_each<Combine>(context, args.rows * args.cols, args);
}

}  // namespace hearth::kernels::HEARTH_SIMT
