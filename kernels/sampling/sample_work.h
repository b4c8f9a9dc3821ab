#pragma once
// What the launches of one sample op leave each other, for each row. Included by .cu files after
// simt.h.

#include "kernels/cuda/atomics.h"
#include "kernels/sampling/sampling.h"
#include "kernels/sampling/sampling_math.h"

namespace hearth::kernels::HEARTH_SIMT {

/// The truncations that keep a prefix of an order. Each is a selection: by a histogram over bins of
/// the key the bin in which the prefix ends is found, the candidates of that bin are listed, and
/// among these the last one that stays.
enum Selection { kTopK, kTypicalP, kTopP };
inline constexpr int kSelections = 3;

/// Keys lie in [0, 32): beyond, a candidate's mass is 0. Bins are 1/32 wide, so that even a large
/// vocabulary has few tokens in one.
inline constexpr float kKeyEnd = 32.0F;
inline constexpr int kBinsPerUnit = 32;
inline constexpr int kBins = 1024;
static_assert(kBins == static_cast<int>(kKeyEnd) * kBinsPerUnit);

/// Candidates of one bin that are listed. Where there are more, as with many equal logits, the
/// vocabulary is read again and again instead: slow, and rare.
inline constexpr int kMostListed = 4096;

/// The last candidate that stays in the order of (key, token).
struct Cut {
  int32_t on;
  float key;
  int32_t token;

  HEARTH_KERNEL bool keeps(float a_key, int32_t a_token) const {
    return on == 0 || a_key < key || (a_key == key && a_token <= token);
  }
};

struct Listed {
  float key;
  int32_t token;
  uint64_t weight;
};

/// Where a prefix of a selection ends.
struct Boundary {
  int32_t bin;    // -1: nothing is cut off
  uint64_t rest;  // what the prefix must take from this bin
};

struct RowState {
  uint64_t largest_mass;    // of what is left, for min_p
  uint32_t max_bits;        // the largest logit, as float_order()
  uint32_t model_max_bits;  // the same before changes
  float mean;               // logit of what is left, for typical_p
  int32_t listed;           // candidates that asked to be listed
  Cut cut[kSelections];
  uint64_t bins[kSelections][kBins];  // weights
  Listed list[kMostListed];
};

/// Bits that order as the floats do; -0 is 0.
HEARTH_KERNEL uint32_t float_order(float value) {
  const uint32_t bits = float_to_bits(value + 0.0F);
  return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}
HEARTH_KERNEL float float_of_order(uint32_t order) {
  return float_from_bits((order & 0x80000000U) != 0 ? order & 0x7FFFFFFFU : ~order);
}

static_assert(sizeof(RowState) <= kSampleStateBytes);

/// A row's part of SampleArgs::work: its state, then arrays over the chunks of the vocabulary.
struct RowWork {
  RowState* state;
  uint64_t* chunk_mass;  // [chunks] of what is left
  float* chunk_max;      // [chunks]
  float* lanes;          // [chunks, kSampleLanes] sums of exponentials
  int32_t chunks;
};

HEARTH_KERNEL RowWork row_work(const SampleArgs& args, int64_t row) {
  const auto chunks = static_cast<int64_t>(sample_chunks(args.vocab_size));
  unsigned char* at = static_cast<unsigned char*>(args.work) +
                      row * static_cast<int64_t>(sample_row_bytes(args.vocab_size));
  RowWork work;
  work.state = reinterpret_cast<RowState*>(at);
  work.chunk_mass = reinterpret_cast<uint64_t*>(at + kSampleStateBytes);
  work.chunk_max = reinterpret_cast<float*>(work.chunk_mass + chunks);
  work.lanes = work.chunk_max + chunks;
  work.chunks = static_cast<int32_t>(chunks);
  return work;
}

/// A row as its kernels see it.
struct RowView {
  const SampleRow* how;
  const float* logits;  // [vocab_size]
  int32_t vocab_size;
  RowWork work;

  HEARTH_KERNEL float logit(int32_t token) const { return sanitized(logits[token]); }
  HEARTH_KERNEL float max() const { return float_of_order(work.state->max_bits); }
  HEARTH_KERNEL bool draws() const { return how->mode == SampleMode::kDraw && max() > -INFINITY; }
  HEARTH_KERNEL bool wants(int selection) const {
    if (!draws()) return false;
    if (selection == kTopK) return how->top_k > 0;
    return (selection == kTypicalP ? how->typical_p : how->top_p) < 1.0F;
  }
};

HEARTH_KERNEL RowView row_view(const SampleArgs& args, int64_t row) {
  const SampleRow* how = args.row + row;
  return {how, args.logits + int64_t{how->logit_row} * args.vocab_size, args.vocab_size,
          row_work(args, row)};
}

/// A token that may still be drawn.
struct Drawable {
  float scaled;   // (logit - max) / temperature
  uint64_t mass;  // 0: it may not
};

HEARTH_KERNEL Drawable drawable(const RowView& row, float max, int32_t token) {
  const RowState& state = *row.work.state;
  const float logit = row.logit(token);
  Drawable out{(logit - max) / row.how->temperature, 0};
  if (!state.cut[kTopK].keeps(-logit, token)) return out;
  if (!state.cut[kTypicalP].keeps(fabsf(out.scaled - state.mean), token)) return out;
  if (!state.cut[kTopP].keeps(-out.scaled, token)) return out;
  out.mass = mass_of(exp_nonpositive(out.scaled));
  return out;
}

/// The token as a candidate of a selection, and its bin; false if it is none. Bins follow the keys:
/// a smaller key is in no later bin. (top_k counts tokens, also those that are too unlikely to be
/// drawn; those of no bin are too unlikely all.)
HEARTH_KERNEL bool candidate(const RowView& row, float max, int selection, int32_t token,
                             Listed& out, int& bin) {
  float distance;
  out.token = token;
  if (selection == kTopK) {
    const float logit = row.logit(token);
    distance = -((logit - max) / row.how->temperature);
    out.key = -logit;
    out.weight = 1;
  } else {
    const Drawable some = drawable(row, max, token);
    if (some.mass == 0) return false;
    distance = fabsf(selection == kTypicalP ? some.scaled - row.work.state->mean : some.scaled);
    out.key = distance;
    out.weight = some.mass;
  }
  if (!(distance < kKeyEnd)) return false;
  bin = static_cast<int>(distance * static_cast<float>(kBinsPerUnit));
  return true;
}

// ---- Sums over a cta of kSampleThreads threads.

inline constexpr int kSampleThreads = 256;
inline constexpr int kSampleWarps = kSampleThreads / simt::kWarp;

template <typename T>
HEARTH_KERNEL T shuffle_xor_wide(T value, int mask) {
  static_assert(sizeof(T) == 8);
  uint32_t part[2];
  memcpy(part, &value, sizeof(value));
  for (uint32_t& word : part) word = simt::shuffle_xor(word, mask);
  memcpy(&value, part, sizeof(value));
  return value;
}

HEARTH_KERNEL uint64_t warp_total(uint64_t value) {
  for (int mask = simt::kWarp / 2; mask > 0; mask /= 2) value += shuffle_xor_wide(value, mask);
  return value;
}
HEARTH_KERNEL uint64_t warp_largest(uint64_t value) {
  for (int mask = simt::kWarp / 2; mask > 0; mask /= 2) {
    const uint64_t other = shuffle_xor_wide(value, mask);
    value = other > value ? other : value;
  }
  return value;
}

/// `scratch` has room for kSampleWarps; it is free again when all have returned.
HEARTH_KERNEL uint64_t cta_total(uint64_t value, uint64_t* scratch) {
  value = warp_total(value);
  if (simt::lane_index() == 0) scratch[simt::warp_index()] = value;
  simt::sync_cta();
  uint64_t sum = 0;
  for (int i = 0; i < kSampleWarps; ++i) sum += scratch[i];
  simt::sync_cta();
  return sum;
}
HEARTH_KERNEL uint64_t cta_largest(uint64_t value, uint64_t* scratch) {
  value = warp_largest(value);
  if (simt::lane_index() == 0) scratch[simt::warp_index()] = value;
  simt::sync_cta();
  uint64_t largest = 0;
  for (int i = 0; i < kSampleWarps; ++i) largest = scratch[i] > largest ? scratch[i] : largest;
  simt::sync_cta();
  return largest;
}

/// The sum of the values of the threads before this one; `total` becomes that of all. `scratch` has
/// room for kSampleThreads + 1, and is free again when all have returned.
HEARTH_KERNEL uint64_t cta_sum_before(uint64_t value, uint64_t* scratch, uint64_t& total) {
  // By halves within each warp, then over the warps.
  uint64_t sum = value;
  uint64_t of_group = value;
  for (int width = 1; width < simt::kWarp; width *= 2) {
    const uint64_t other = shuffle_xor_wide(of_group, width);
    if ((simt::lane_index() & width) != 0) sum += other;
    of_group += other;
  }
  if (simt::lane_index() == 0) scratch[simt::warp_index()] = of_group;
  simt::sync_cta();
  total = 0;
  for (int i = 0; i < kSampleWarps; ++i) {
    if (i == simt::warp_index()) sum += total;
    total += scratch[i];
  }
  simt::sync_cta();
  return sum - value;
}

}  // namespace hearth::kernels::HEARTH_SIMT
