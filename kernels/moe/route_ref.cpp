#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "kernels/cpu/parallel.h"
#include "kernels/moe/moe.h"

namespace hearth::kernels {
namespace {

/// The experts of the `used` largest logits, in falling order; equals, and what is not a number, in
/// order of number.
void choose(const float* logits, int32_t experts, int32_t used, int32_t* chosen) {
  bool taken[kMaxExperts] = {};
  for (int32_t rank = 0; rank < used; ++rank) {
    int32_t best = -1;
    for (int32_t e = 0; e < experts; ++e) {
      if (taken[e]) continue;
      if (best < 0 || logits[e] > logits[best]) best = e;
    }
    taken[best] = true;
    chosen[rank] = best;
  }
}

/// Sum of e^(logit - largest) over the experts that share the softmax.
double softmax_sum(const RouteArgs& args, const float* logits, const int32_t* chosen) {
  const float largest = logits[chosen[0]];
  double sum = 0.0;
  if (args.router == Router::kSoftmax) {
    for (int32_t e = 0; e < args.experts; ++e) sum += std::exp(double{logits[e]} - largest);
  } else {
    for (int32_t rank = 0; rank < args.used; ++rank)
      sum += std::exp(double{logits[chosen[rank]]} - largest);
  }
  return sum;
}

void weigh(const RouteArgs& args, const float* logits, const int32_t* chosen, float* weight) {
  const bool sigmoid = args.router == Router::kSigmoid;
  const double sum = sigmoid ? 0.0 : softmax_sum(args, logits, chosen);
  for (int32_t rank = 0; rank < args.used; ++rank) {
    const double logit = logits[chosen[rank]];
    const double share =
        sigmoid ? 1.0 / (1.0 + std::exp(-logit)) : std::exp(logit - logits[chosen[0]]) / sum;
    weight[rank] = static_cast<float>(share * args.scale);
  }
}

/// Slots in order of (expert, row, rank): a counting sort.
void assign_slots(const RouteArgs& args) {
  const int64_t slots = args.rows * args.used;
  std::memset(args.begin, 0, (static_cast<size_t>(args.experts) + 1) * sizeof(int32_t));
  for (int64_t i = 0; i < slots; ++i) ++args.begin[args.chosen[i] + 1];
  for (int32_t e = 0; e < args.experts; ++e) args.begin[e + 1] += args.begin[e];
  // begin[e] moves on with every slot given out, to what is begin[e + 1] now.
  for (int64_t i = 0; i < slots; ++i) {
    const int32_t slot = args.begin[args.chosen[i]]++;
    args.slot[i] = slot;
    args.source[slot] = static_cast<int32_t>(i);
  }
  for (int32_t e = args.experts; e > 0; --e) args.begin[e] = args.begin[e - 1];
  args.begin[0] = 0;
}

}  // namespace

void route_ref(const ExecContext& context, const RouteArgs& args) {
  HEARTH_CHECK(args.experts > 0 && args.experts <= kMaxExperts, "the number of experts is bounded");
  HEARTH_CHECK(args.used > 0 && args.used <= args.experts, "a row uses some of the experts");
  const int64_t work = int64_t{args.experts} * (args.used + 1);
  for_each_slice(context, args.rows, work, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* logits = args.logits + row * args.experts;
      int32_t* chosen = args.chosen + row * args.used;
      choose(logits, args.experts, args.used, chosen);
      weigh(args, logits, chosen, args.weight + row * args.used);
    }
  });
  assign_slots(args);
}

}  // namespace hearth::kernels
