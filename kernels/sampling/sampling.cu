// The sample op on the device: changes, the largest logit, truncations, the draw. A row's passes
// over the vocabulary are shared out among ctas; what they add up is integers and maxima, so that
// no order shows. What the launches leave each other is in sample_work.h; logprobs.cu has the rest.
#include "kernels/cuda/simt.h"
//
#include "base/check.h"
#include "kernels/cuda/ops.h"
#include "kernels/sampling/cuda_sampling.h"

namespace hearth::kernels::HEARTH_SIMT {
namespace {

/// Tokens of a cta that reads a part of the vocabulary: a chunk for each warp.
constexpr int kPartTokens = kSampleWarps * kSampleChunk;

/// A cta for each row: a new state, biases and penalties.
struct PrepareKernel {
  using Args = SampleArgs;
  static constexpr int kThreads = kSampleThreads;

  static HEARTH_KERNEL void run(const Args& args) {
    const int64_t r = simt::cta_index().x;
    const SampleRow& how = args.row[r];
    if (how.mode == SampleMode::kNone) return;
    RowState& state = *row_work(args, r).state;
    if (simt::thread_index() == 0) {
      state.largest_mass = 0;
      state.max_bits = 0;
      state.model_max_bits = 0;
      state.listed = 0;
    }
    for (int s = 0; s < kSelections; ++s) {
      if (simt::thread_index() == 0) state.cut[s].on = 0;
      for (int i = simt::thread_index(); i < kBins; i += kThreads) state.bins[s][i] = 0;
    }
    if (args.stages.changes) change(args, how, r);
  }

  /// Biases first; a token's biases lie next to each other, and its first one's thread adds all.
  static HEARTH_KERNEL void change(const Args& args, const SampleRow& how, int64_t r) {
    float* logits = args.logits + int64_t{how.logit_row} * args.vocab_size;
    float* saved = args.saved + r * (kSampleMostBiases + kSampleMostCounts);
    const TokenBias* biases = args.biases + int64_t{how.slot} * kSampleMostBiases;
    TokenCount* counts = args.counts + int64_t{how.slot} * kSampleMostCounts;
    if (simt::thread_index() == 0 && how.changed >= 0) counts[how.changed] = how.change;
    for (int i = simt::thread_index(); i < how.num_biases; i += kThreads) {
      const int32_t token = biases[i].token;
      if (i > 0 && biases[i - 1].token == token) continue;
      saved[i] = logits[token];
      float logit = sanitized(logits[token]);
      for (int k = i; k < how.num_biases && biases[k].token == token; ++k)
        logit = with_bias(logit, biases[k].bias);
      logits[token] = logit;
    }
    simt::sync_cta();
    for (int i = simt::thread_index(); i < how.num_counts; i += kThreads) {
      float& logit = logits[counts[i].token];
      saved[kSampleMostBiases + i] = logit;
      logit = with_penalties(sanitized(logit), counts[i].count, how.repetition_penalty,
                             how.presence_penalty, how.frequency_penalty);
    }
  }
};

/// A cta for each part of a row: the largest logit of each chunk, and of all.
struct MaximaKernel {
  using Args = SampleArgs;
  static constexpr int kThreads = kSampleThreads;

  static HEARTH_KERNEL void run(const Args& args) {
    const RowView row = row_view(args, simt::cta_index().y);
    if (row.how->mode == SampleMode::kNone) return;
    const int chunk = simt::cta_index().x * kSampleWarps + simt::warp_index();
    if (chunk >= row.work.chunks) return;  // the whole warp
    const float largest = largest_of_chunk(row, chunk);
    if (simt::lane_index() != 0) return;
    row.work.chunk_max[chunk] = largest;
    simt::atomic_max(&row.work.state->max_bits, float_order(largest));
  }
};

/// Calls take(candidate, bin) for the candidates of a selection in this cta's part of a row.
template <typename Take>
HEARTH_KERNEL void for_each_candidate(const RowView& row, int selection, const Take& take) {
  const float max = row.max();
  const int end = (simt::cta_index().x + 1) * kPartTokens;
  for (int i = simt::cta_index().x * kPartTokens + simt::thread_index();
       i < end && i < row.vocab_size; i += kSampleThreads) {
    Listed some;
    int bin;
    if (candidate(row, max, selection, i, some, bin)) take(some, bin);
  }
}

struct SelectArgs {
  SampleArgs sample;
  int selection;
};

/// A cta for each part of a row: weights of a selection's candidates by bins.
struct BinKernel {
  using Args = SelectArgs;
  static constexpr int kThreads = kSampleThreads;
  static constexpr size_t kSharedBytes = kBins * sizeof(uint64_t);

  static HEARTH_KERNEL void run(const Args& args) {
    const RowView row = row_view(args.sample, simt::cta_index().y);
    if (!row.wants(args.selection)) return;
    auto* bins = reinterpret_cast<uint64_t*>(simt::shared_memory());
    for (int i = simt::thread_index(); i < kBins; i += kThreads) bins[i] = 0;
    simt::sync_cta();
    for_each_candidate(row, args.selection, [&](const Listed& some, int bin) {
      simt::atomic_add(&bins[bin], some.weight);
    });
    simt::sync_cta();
    uint64_t* of_row = row.work.state->bins[args.selection];
    for (int i = simt::thread_index(); i < kBins; i += kThreads)
      if (bins[i] > 0) simt::atomic_add(&of_row[i], bins[i]);
  }
};

/// Where a selection's prefix ends, from the bins. For a whole cta; `scratch` as cta_sum_before().
HEARTH_KERNEL Boundary boundary_of(const RowView& row, int selection, uint64_t* scratch) {
  constexpr int kBinsPerThread = kBins / kSampleThreads;
  const uint64_t* bins = row.work.state->bins[selection];
  const int first = simt::thread_index() * kBinsPerThread;
  uint64_t own = 0;
  for (int i = 0; i < kBinsPerThread; ++i) own += bins[first + i];
  uint64_t total;
  uint64_t before = cta_sum_before(own, scratch, total);
  const SampleRow& how = *row.how;
  const uint64_t target =
      selection == kTopK ? static_cast<uint64_t>(how.top_k)
                         : wanted_mass(selection == kTypicalP ? how.typical_p : how.top_p, total);
  auto* found = reinterpret_cast<Boundary*>(scratch);
  if (simt::thread_index() == 0) *found = {-1, 0};
  simt::sync_cta();
  if (before < target && target <= before + own) {
    int bin = first;
    for (; before + bins[bin] < target; ++bin) before += bins[bin];
    *found = {bin, target - before};
  }
  simt::sync_cta();
  const Boundary boundary = *found;
  simt::sync_cta();
  return boundary;
}

/// A cta for each part of a row: lists the candidates of the boundary's bin, in any order.
struct ListKernel {
  using Args = SelectArgs;
  static constexpr int kThreads = kSampleThreads;
  static constexpr size_t kSharedBytes = kSampleWarps * sizeof(uint64_t);

  static HEARTH_KERNEL void run(const Args& args) {
    const RowView row = row_view(args.sample, simt::cta_index().y);
    if (!row.wants(args.selection)) return;
    const Boundary boundary =
        boundary_of(row, args.selection, reinterpret_cast<uint64_t*>(simt::shared_memory()));
    if (boundary.bin < 0) return;
    RowState& state = *row.work.state;
    for_each_candidate(row, args.selection, [&](const Listed& some, int bin) {
      if (bin != boundary.bin) return;
      const int32_t at = simt::atomic_add(&state.listed, 1);
      if (at < kMostListed) state.list[at] = some;
    });
  }
};

/// A cta for each row: the last candidate of the prefix, among those of its bin.
struct CutKernel {
  using Args = SelectArgs;
  static constexpr int kThreads = kSampleThreads;
  /// Up to here each candidate is compared with each other; beyond, the place is searched by
  /// halves.
  static constexpr int kFew = 2 * kThreads;
  static constexpr size_t kSharedBytes = kFew * sizeof(Listed);

  static HEARTH_KERNEL void run(const Args& args) {
    const RowView row = row_view(args.sample, simt::cta_index().x);
    if (!row.wants(args.selection)) return;
    auto* scratch = reinterpret_cast<uint64_t*>(simt::shared_memory());
    const Boundary boundary = boundary_of(row, args.selection, scratch);
    if (boundary.bin < 0) return;
    RowState& state = *row.work.state;
    const int listed = state.listed;
    simt::sync_cta();  // all have read it
    if (simt::thread_index() == 0) state.listed = 0;
    Cut& cut = state.cut[args.selection];
    if (listed <= kFew) {
      compare_all(state.list, listed, boundary.rest, cut);
    } else if (listed <= kMostListed) {
      search(FromList{state.list, listed}, boundary.rest, scratch, cut);
    } else {
      search(FromVocabulary{row, row.max(), args.selection, boundary.bin}, boundary.rest, scratch,
             cut);
    }
  }

  static HEARTH_KERNEL bool better(const Listed& a, const Listed& b) {
    return a.key < b.key || (a.key == b.key && a.token < b.token);
  }

  static HEARTH_KERNEL void compare_all(const Listed* list, int count, uint64_t rest, Cut& cut) {
    auto* own = reinterpret_cast<Listed*>(simt::shared_memory());
    for (int i = simt::thread_index(); i < count; i += kThreads) own[i] = list[i];
    simt::sync_cta();
    for (int i = simt::thread_index(); i < count; i += kThreads) {
      uint64_t before = 0;
      for (int k = 0; k < count; ++k) before += better(own[k], own[i]) ? own[k].weight : 0;
      if (before < rest && rest <= before + own[i].weight) cut = {1, own[i].key, own[i].token};
    }
  }

  /// Place of a candidate in the order, as a number.
  static HEARTH_KERNEL uint64_t place_of(const Listed& some) {
    static_assert(kSampleMostVocab <= 1 << 20);
    return static_cast<uint64_t>(float_order(some.key)) << 20 | static_cast<uint32_t>(some.token);
  }

  struct FromList {
    const Listed* list;
    int count;

    HEARTH_KERNEL uint64_t weight_up_to(uint64_t place) const {
      uint64_t sum = 0;
      for (int i = simt::thread_index(); i < count; i += kThreads)
        sum += place_of(list[i]) <= place ? list[i].weight : 0;
      return sum;
    }
  };
  struct FromVocabulary {
    RowView row;
    float max;
    int selection;
    int bin;

    HEARTH_KERNEL uint64_t weight_up_to(uint64_t place) const {
      uint64_t sum = 0;
      for (int i = simt::thread_index(); i < row.vocab_size; i += kThreads) {
        Listed some;
        int of;
        if (candidate(row, max, selection, i, some, of) && of == bin && place_of(some) <= place)
          sum += some.weight;
      }
      return sum;
    }
  };

  /// The least place up to which the weights reach `rest` is a candidate's.
  template <typename Source>
  static HEARTH_KERNEL void search(const Source& source, uint64_t rest, uint64_t* scratch,
                                   Cut& cut) {
    uint64_t low = 0;
    uint64_t high = (uint64_t{1} << 52) - 1;
    while (low < high) {
      const uint64_t middle = low + (high - low) / 2;
      if (cta_total(source.weight_up_to(middle), scratch) >= rest) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    if (simt::thread_index() == 0)
      cut = {1, float_of_order(static_cast<uint32_t>(low >> 20)),
             static_cast<int32_t>(low & 0xFFFFFU)};
  }
};

/// A cta for each row: the mean logit of what top_k has left. The sampler of the CPU adds the
/// products in order of ids, in double; so does one thread here.
struct MeanKernel {
  using Args = SampleArgs;
  static constexpr int kThreads = kSampleThreads;
  static constexpr size_t kSharedBytes = kSampleChunk * sizeof(double);

  static HEARTH_KERNEL void run(const Args& args) {
    const RowView row = row_view(args, simt::cta_index().x);
    if (!row.wants(kTypicalP)) return;
    auto* products = reinterpret_cast<double*>(simt::shared_memory());
    const float max = row.max();
    double weighted = 0.0;
    uint64_t total = 0;
    for (int begin = 0; begin < row.vocab_size; begin += kSampleChunk) {
      for (int i = simt::thread_index(); i < kSampleChunk; i += kThreads) {
        Drawable some{0.0F, 0};
        if (begin + i < row.vocab_size) some = drawable(row, max, begin + i);
        // Adding 0 changes no bit of a sum that is not -0.
        products[i] = some.mass == 0 ? 0.0 : static_cast<double>(some.mass) * some.scaled;
        total += some.mass;
      }
      simt::sync_cta();
      if (simt::thread_index() == 0)
        for (int i = 0; i < kSampleChunk; ++i) weighted += products[i];
      simt::sync_cta();
    }
    total = cta_total(total, reinterpret_cast<uint64_t*>(products));
    if (simt::thread_index() == 0)
      row.work.state->mean = static_cast<float>(weighted / static_cast<double>(total));
  }
};

/// A cta for each part of a row: the largest mass that is left.
struct LargestMassKernel {
  using Args = SampleArgs;
  static constexpr int kThreads = kSampleThreads;

  static HEARTH_KERNEL void run(const Args& args) {
    const RowView row = row_view(args, simt::cta_index().y);
    if (!row.draws() || !(row.how->min_p > 0.0F)) return;
    const float max = row.max();
    const int end = (simt::cta_index().x + 1) * kPartTokens;
    uint64_t largest = 0;
    for (int i = simt::cta_index().x * kPartTokens + simt::thread_index();
         i < end && i < row.vocab_size; i += kThreads) {
      const uint64_t mass = drawable(row, max, i).mass;
      largest = mass > largest ? mass : largest;
    }
    largest = warp_largest(largest);
    if (simt::lane_index() == 0) simt::atomic_max(&row.work.state->largest_mass, largest);
  }
};

/// The mass of a token after min_p, which comes last.
HEARTH_KERNEL uint64_t mass_left(const RowView& row, float max, int32_t token) {
  const uint64_t mass = drawable(row, max, token).mass;
  if (!(row.how->min_p > 0.0F)) return mass;
  const double least = least_mass(row.how->min_p, row.work.state->largest_mass);
  return static_cast<double>(mass) < least ? 0 : mass;
}

/// A cta for each part of a row: the mass that is left of each chunk.
struct WeighKernel {
  using Args = SampleArgs;
  static constexpr int kThreads = kSampleThreads;

  static HEARTH_KERNEL void run(const Args& args) {
    const RowView row = row_view(args, simt::cta_index().y);
    if (!row.draws()) return;
    const int chunk = simt::cta_index().x * kSampleWarps + simt::warp_index();
    if (chunk >= row.work.chunks) return;  // the whole warp
    const float max = row.max();
    const int end = (chunk + 1) * kSampleChunk;
    uint64_t mass = 0;
    for (int i = chunk * kSampleChunk + simt::lane_index(); i < end && i < row.vocab_size;
         i += simt::kWarp)
      mass += mass_left(row, max, i);
    mass = warp_total(mass);
    if (simt::lane_index() == 0) row.work.chunk_mass[chunk] = mass;
  }
};

/// A cta for each row: the token. Then the model's logits are put back.
struct ChooseKernel {
  using Args = SampleArgs;
  static constexpr int kThreads = kSampleThreads;
  static constexpr int kPerThread = kSampleChunk / kThreads;
  static constexpr size_t kSharedBytes = (kSampleWarps + 2) * sizeof(uint64_t);
  static_assert(kSampleMostVocab / kSampleChunk <= kThreads * kPerThread);

  static HEARTH_KERNEL void run(const Args& args) {
    const int64_t r = simt::cta_index().x;
    const RowView row = row_view(args, r);
    if (row.how->mode == SampleMode::kNone) return;
    auto* scratch = reinterpret_cast<uint64_t*>(simt::shared_memory());
    if (!(row.max() > -INFINITY)) {
      if (simt::thread_index() == 0) args.result[r].token = -1;
    } else if (row.draws()) {
      draw(args, row, r, scratch);
    } else {
      take_largest(args, row, r, scratch);
    }
    simt::sync_cta();
    if (args.stages.changes) restore(args, *row.how, r);
  }

  /// The thread of the token whose stretch of the line of masses has the place writes it.
  static HEARTH_KERNEL void draw(const Args& args, const RowView& row, int64_t r,
                                 uint64_t* scratch) {
    const float max = row.max();
    const int first_chunk = simt::thread_index() * kPerThread;
    uint64_t own = 0;
    for (int i = first_chunk; i < first_chunk + kPerThread && i < row.work.chunks; ++i)
      own += row.work.chunk_mass[i];
    uint64_t total;
    uint64_t before = cta_sum_before(own, scratch, total);
    uint64_t place = scaled_place(row.how->bits, total);
    uint64_t* found = scratch;  // the chunk, and the place in it
    if (before <= place && place < before + own) {
      int chunk = first_chunk;
      for (; place - before >= row.work.chunk_mass[chunk]; ++chunk)
        before += row.work.chunk_mass[chunk];
      found[0] = static_cast<uint64_t>(chunk);
      found[1] = place - before;
    }
    simt::sync_cta();
    const int first = static_cast<int>(found[0]) * kSampleChunk + simt::thread_index() * kPerThread;
    place = found[1];
    simt::sync_cta();
    uint64_t mass[kPerThread];
    own = 0;
    for (int i = 0; i < kPerThread; ++i) {
      mass[i] = first + i < row.vocab_size ? mass_left(row, max, first + i) : 0;
      own += mass[i];
    }
    before = cta_sum_before(own, scratch, total);
    if (before > place || place >= before + own) return;
    int i = 0;
    for (; place - before >= mass[i]; ++i) before += mass[i];
    args.result[r].token = first + i;
  }

  static HEARTH_KERNEL void take_largest(const Args& args, const RowView& row, int64_t r,
                                         uint64_t* scratch) {
    const float max = row.max();
    // The lowest is wanted: the largest of what is left of a bound.
    constexpr uint64_t kBound = uint64_t{1} << 32;
    uint64_t lowest = 0;
    for (int i = simt::thread_index(); i < row.work.chunks; i += kThreads)
      if (lowest == 0 && row.work.chunk_max[i] == max) lowest = kBound - static_cast<uint32_t>(i);
    const auto chunk = static_cast<int>(kBound - cta_largest(lowest, scratch));
    lowest = 0;
    for (int i = simt::thread_index(); i < kSampleChunk; i += kThreads) {
      const int token = chunk * kSampleChunk + i;
      if (lowest == 0 && token < row.vocab_size && row.logit(token) == max)
        lowest = kBound - static_cast<uint32_t>(token);
    }
    lowest = cta_largest(lowest, scratch);
    if (simt::thread_index() == 0) args.result[r].token = static_cast<int32_t>(kBound - lowest);
  }

  static HEARTH_KERNEL void restore(const Args& args, const SampleRow& how, int64_t r) {
    float* logits = args.logits + int64_t{how.logit_row} * args.vocab_size;
    const float* saved = args.saved + r * (kSampleMostBiases + kSampleMostCounts);
    const TokenBias* biases = args.biases + int64_t{how.slot} * kSampleMostBiases;
    const TokenCount* counts = args.counts + int64_t{how.slot} * kSampleMostCounts;
    for (int i = simt::thread_index(); i < how.num_counts; i += kThreads)
      logits[counts[i].token] = saved[kSampleMostBiases + i];
    simt::sync_cta();
    for (int i = simt::thread_index(); i < how.num_biases; i += kThreads)
      if (i == 0 || biases[i - 1].token != biases[i].token) logits[biases[i].token] = saved[i];
  }
};

void select(const ExecContext& context, const SampleArgs& args, int selection, int parts) {
  const SelectArgs select{args, selection};
  const simt::Ctas shared_out{.x = parts, .y = args.rows};
  simt::launch<BinKernel>(context, shared_out, BinKernel::kSharedBytes, select);
  simt::launch<ListKernel>(context, shared_out, ListKernel::kSharedBytes, select);
  simt::launch<CutKernel>(context, {.x = args.rows}, CutKernel::kSharedBytes, select);
}

}  // namespace

void sample(const ExecContext& context, const SampleArgs& args) {
  HEARTH_CHECK(args.vocab_size > 0 && args.vocab_size < kSampleMostVocab, "vocabulary size");
  if (args.rows == 0) return;
  const int parts = (args.vocab_size + kPartTokens - 1) / kPartTokens;
  const simt::Ctas of_rows{.x = args.rows};
  const simt::Ctas shared_out{.x = parts, .y = args.rows};
  simt::launch<PrepareKernel>(context, of_rows, 0, args);
  simt::launch<MaximaKernel>(context, shared_out, 0, args);
  if (args.stages.top_k) select(context, args, kTopK, parts);
  if (args.stages.typical_p) {
    simt::launch<MeanKernel>(context, of_rows, MeanKernel::kSharedBytes, args);
    select(context, args, kTypicalP, parts);
  }
  if (args.stages.top_p) select(context, args, kTopP, parts);
  if (args.stages.min_p) simt::launch<LargestMassKernel>(context, shared_out, 0, args);
  if (args.stages.draws) simt::launch<WeighKernel>(context, shared_out, 0, args);
  simt::launch<ChooseKernel>(context, of_rows, ChooseKernel::kSharedBytes, args);
  if (args.stages.logprobs) sample_logprobs(context, args);
}

}  // namespace hearth::kernels::HEARTH_SIMT
