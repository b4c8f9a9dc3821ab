#pragma once
// Sampling on the device that computes the logits: they stay there, tokens come back. The same
// tokens and log-probabilities as Sampler::sample() gives, bit for bit.
//
// A step: begin_step(), add() for each draw, then by the forward pass upload(), launch(),
// download(), and when the device was waited for, token().

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "engine/sampler/sampler.h"
#include "kernels/device.h"
#include "kernels/sampling/sampling.h"

namespace hearth {

/// Owns the device's memory of the op, and there the lists of biases and counts of the sequences
/// that have some: they are uploaded when a sequence is first drawn for, and from then on a step
/// brings the one count that changed.
class DeviceSampler {
 public:
  /// For at most `rows` draws in a step. The device must outlive it. kUnsupported if the device has
  /// no such op.
  static Result<DeviceSampler> create(kernels::Device& device, int32_t rows, int32_t vocab_size);
  /// What create() allocates on the device.
  static uint64_t device_bytes(int32_t rows, int32_t vocab_size);

  void begin_step();
  /// Takes a draw of `sampler` at `position` from logits row `logit_row`; `owner` names the sampler
  /// for as long as it lives. The draw's index, or -1 if its lists are longer than the device's, or
  /// more likeliest tokens are wanted than it gives: then the CPU must draw, from the logits.
  int32_t add(uint64_t owner, const Sampler& sampler, int64_t position, size_t logit_row);
  [[nodiscard]] bool empty() const { return draws_ == 0; }

  /// What launch() launches, and what a record of it must be told apart by.
  [[nodiscard]] int64_t kind() const;
  /// Launches are for `rows` rows, the same for all steps of a record, or for as many as there are
  /// draws if these are more.
  void upload(int32_t rows);
  void launch(float* logits) const;
  void download();

  /// As Sampler::sample().
  [[nodiscard]] Result<SampledToken> token(int32_t draw, const Sampler& sampler) const;

 private:
  /// Lists of one sampler on the device.
  struct Slot {
    uint64_t owner = 0;
    bool taken = false;
    int64_t accepted = 0;  // tokens of the owner that the counts there have
    uint64_t used = 0;     // the last step
  };

  explicit DeviceSampler(kernels::Device& device) : device_(&device) {}
  Status allocate(int32_t rows, int32_t vocab_size);
  int32_t slot_of(uint64_t owner);
  void bring_lists(uint64_t owner, const Sampler& sampler, kernels::SampleRow& row);

  kernels::Device* device_;
  int32_t vocab_size_ = 0;
  kernels::DeviceMemory memory_;
  kernels::SampleArgs args_;  // what is the same in each step
  kernels::PinnedMemory pinned_;
  std::span<kernels::SampleRow> rows_;  // in pinned_, as are these
  std::span<kernels::SampleResult> results_;
  std::span<kernels::TopLogit> tops_;
  std::vector<Slot> slots_;
  kernels::SampleStages stages_;  // of this step
  int32_t draws_ = 0;
  int32_t launched_rows_ = 0;
  uint64_t step_ = 0;
};

}  // namespace hearth
