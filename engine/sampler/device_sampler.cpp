#include "engine/sampler/device_sampler.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace hearth {
namespace {

using kernels::kSampleMostBiases;
using kernels::kSampleMostCounts;
using kernels::kSampleMostTop;
using kernels::SampleMode;
using kernels::SampleResult;
using kernels::SampleRow;
using kernels::TokenBias;
using kernels::TokenCount;
using kernels::TopLogit;

/// Takes parts of memory one after the other, each aligned to 16 bytes; without memory it counts.
class Parts {
 public:
  explicit Parts(std::byte* base) : base_(base) {}

  template <typename T>
  T* take(size_t count) {
    auto* part = base_ == nullptr ? nullptr : reinterpret_cast<T*>(base_ + used_);
    used_ += (count * sizeof(T) + 15) / 16 * 16;
    return part;
  }
  [[nodiscard]] size_t used() const { return used_; }

 private:
  std::byte* base_;
  size_t used_ = 0;
};

/// Memory of the op; gives its size.
size_t lay_out(std::byte* base, int32_t rows, int32_t vocab_size, kernels::SampleArgs& args) {
  const auto n = static_cast<size_t>(rows);
  Parts parts(base);
  args.vocab_size = vocab_size;
  args.work = parts.take<std::byte>(n * kernels::sample_row_bytes(vocab_size));
  args.row = parts.take<SampleRow>(n);
  args.biases = parts.take<TokenBias>(n * kSampleMostBiases);
  args.counts = parts.take<TokenCount>(n * kSampleMostCounts);
  args.saved = parts.take<float>(n * (kSampleMostBiases + kSampleMostCounts));
  args.result = parts.take<SampleResult>(n);
  args.top = parts.take<TopLogit>(n * kSampleMostTop);
  return parts.used();
}

}  // namespace

uint64_t DeviceSampler::device_bytes(int32_t rows, int32_t vocab_size) {
  kernels::SampleArgs args;
  return lay_out(nullptr, rows, vocab_size, args);
}

Result<DeviceSampler> DeviceSampler::create(kernels::Device& device, int32_t rows,
                                            int32_t vocab_size) {
  if (device.table().sample == nullptr)
    return fail(ErrorCode::kUnsupported, device.info().name + " has no op that samples");
  DeviceSampler sampler(device);
  HEARTH_RETURN_IF_ERROR(sampler.allocate(rows, vocab_size));
  return sampler;
}

Status DeviceSampler::allocate(int32_t rows, int32_t vocab_size) {
  vocab_size_ = vocab_size;
  HEARTH_ASSIGN_OR_RETURN(memory_, device_->allocate(device_bytes(rows, vocab_size), "sampling"));
  lay_out(memory_.data(), rows, vocab_size, args_);
  const auto n = static_cast<size_t>(rows);
  const auto lay_out_pinned = [&](std::byte* base) {
    Parts parts(base);
    rows_ = {parts.take<SampleRow>(n), n};
    results_ = {parts.take<SampleResult>(n), n};
    tops_ = {parts.take<TopLogit>(n * kSampleMostTop), n * kSampleMostTop};
    return parts.used();
  };
  HEARTH_ASSIGN_OR_RETURN(pinned_, device_->allocate_pinned(lay_out_pinned(nullptr), "sampling"));
  lay_out_pinned(pinned_.data());
  slots_.resize(n);
  return {};
}

void DeviceSampler::begin_step() {
  ++step_;
  draws_ = 0;
  launched_rows_ = 0;
  stages_ = {false, false, false, false, false, false, false};
}

int32_t DeviceSampler::add(uint64_t owner, const Sampler& sampler, int64_t position,
                           size_t logit_row) {
  const SamplingParams& params = sampler.params();
  if (sampler.biases().size() > kSampleMostBiases || sampler.counts().size() > kSampleMostCounts ||
      params.num_logprobs > kSampleMostTop)
    return -1;
  HEARTH_CHECK(static_cast<size_t>(draws_) < rows_.size(), "a step has no more draws than planned");
  HEARTH_CHECK(sampler.vocab_size() == vocab_size_, "samplers are of the model's vocabulary");
  SampleRow& row = rows_[static_cast<size_t>(draws_)];
  row = {.bits = sampler.bits(position),
         .mode = params.temperature == 0.0F ? SampleMode::kGreedy : SampleMode::kDraw,
         .logit_row = static_cast<int32_t>(logit_row),
         .num_top = std::max(params.num_logprobs, -1),
         .temperature = params.temperature,
         .top_k = params.top_k > 0 && params.top_k < vocab_size_ ? params.top_k : 0,
         .typical_p = params.typical_p,
         .top_p = params.top_p,
         .min_p = params.min_p,
         .repetition_penalty = params.repetition_penalty,
         .presence_penalty = params.presence_penalty,
         .frequency_penalty = params.frequency_penalty};
  const bool draws = row.mode == SampleMode::kDraw;
  stages_.draws |= draws;
  stages_.top_k |= draws && row.top_k > 0;
  stages_.typical_p |= draws && row.typical_p < 1.0F;
  stages_.top_p |= draws && row.top_p < 1.0F;
  stages_.min_p |= draws && row.min_p > 0.0F;
  stages_.logprobs |= row.num_top >= 0;
  bring_lists(owner, sampler, row);
  return draws_++;
}

/// The slot of an owner: its own, or that which was used longest ago, which it takes over.
int32_t DeviceSampler::slot_of(uint64_t owner) {
  auto found = std::ranges::find_if(
      slots_, [owner](const Slot& slot) { return slot.taken && slot.owner == owner; });
  if (found == slots_.end()) {
    found = std::ranges::min_element(slots_, {}, &Slot::used);
    *found = {.owner = owner};
  }
  HEARTH_CHECK(found->used < step_, "there is a slot for each draw of a step");
  found->used = step_;
  return static_cast<int32_t>(found - slots_.begin());
}

void DeviceSampler::bring_lists(uint64_t owner, const Sampler& sampler, SampleRow& row) {
  const auto biases = sampler.biases();
  const auto counts = sampler.counts();
  if (biases.empty() && counts.empty()) return;
  stages_.changes = true;
  row.slot = slot_of(owner);
  row.num_biases = static_cast<int32_t>(biases.size());
  row.num_counts = static_cast<int32_t>(counts.size());
  Slot& slot = slots_[static_cast<size_t>(row.slot)];
  const auto index = static_cast<int64_t>(row.slot);
  if (!slot.taken && !biases.empty())
    device_->upload(const_cast<TokenBias*>(args_.biases) + index * kSampleMostBiases, biases.data(),
                    biases.size_bytes());
  const int64_t behind = slot.taken ? sampler.accepted() - slot.accepted : -1;
  if (!counts.empty() && behind == 1) {
    row.changed = sampler.changed_count();
    row.change = counts[static_cast<size_t>(row.changed)];
  } else if (!counts.empty() && behind != 0) {
    device_->upload(args_.counts + index * kSampleMostCounts, counts.data(), counts.size_bytes());
  }
  slot.taken = true;
  slot.accepted = sampler.accepted();
}

int64_t DeviceSampler::kind() const {
  int64_t kind = empty() ? 0 : 1;
  for (const bool stage : {stages_.changes, stages_.draws, stages_.top_k, stages_.typical_p,
                           stages_.top_p, stages_.min_p, stages_.logprobs})
    kind = 2 * kind + (stage ? 1 : 0);
  return kind;
}

void DeviceSampler::upload(int32_t rows) {
  launched_rows_ = std::max(rows, draws_);
  HEARTH_CHECK(static_cast<size_t>(launched_rows_) <= rows_.size(), "rows of a launch");
  const auto launched = rows_.first(static_cast<size_t>(launched_rows_));
  std::ranges::fill(launched.subspan(static_cast<size_t>(draws_)), SampleRow{});
  device_->enqueue_upload(const_cast<SampleRow*>(args_.row), launched.data(),
                          launched.size_bytes());
}

void DeviceSampler::launch(float* logits) const {
  kernels::SampleArgs args = args_;
  args.logits = logits;
  args.rows = launched_rows_;
  args.stages = stages_;
  device_->table().sample(device_->context(), args);
}

void DeviceSampler::download() {
  const auto draws = static_cast<size_t>(draws_);
  device_->enqueue_download(results_.data(), args_.result, draws * sizeof(SampleResult));
  if (stages_.logprobs)
    device_->enqueue_download(tops_.data(), args_.top, draws * kSampleMostTop * sizeof(TopLogit));
}

Result<SampledToken> DeviceSampler::token(int32_t draw, const Sampler& sampler) const {
  const auto index = static_cast<size_t>(draw);
  const SampleResult& result = results_[index];
  if (result.token == -1) return unusable_logits();
  HEARTH_CHECK(result.token >= 0 && result.token < vocab_size_, "the device chose a token");
  SampledToken out;
  out.token = result.token;
  if (sampler.params().num_logprobs < 0) return out;
  const double log_sum = std::log(result.exp_sum);
  out.logprob = logprob_of(result.logit, result.max, log_sum);
  const auto top = tops_.subspan(index * kSampleMostTop, static_cast<size_t>(result.num_top));
  for (const TopLogit& entry : top)
    out.top_logprobs.push_back({entry.token, logprob_of(entry.logit, result.max, log_sum)});
  return out;
}

}  // namespace hearth
