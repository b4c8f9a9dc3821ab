#include "engine/evaluate/op_profile.h"

#include <algorithm>
#include <chrono>
#include <span>
#include <utility>

#include "base/check.h"

namespace hearth {
namespace {

using kernels::ExecContext;
using kernels::KernelTable;

// The entries of a table are plain functions: this is how they find the profile they belong to.
OpProfile* active = nullptr;

/// Adds `word` to a list of words that has it not yet.
void add_word(std::string& list, std::string_view word) {
  const std::string padded = " " + list + " ";
  if (padded.find(" " + std::string(word) + " ") != std::string::npos) return;
  if (!list.empty()) list += ' ';
  list += word;
}

}  // namespace

/// The entries of the timed table.
struct OpProfile::Wrappers {
  template <auto Entry>
  static constexpr const char* kName = nullptr;

  template <auto Entry, typename Args>
  static void call(const ExecContext& context, const Args& args) {
    OpProfile& profile = *active;
    profile.time(profile.row(kName<Entry>), cost_of(args),
                 [&] { (profile.inner_->*Entry)(context, args); });
  }

  static void matmul(const ExecContext& context, const kernels::ActivationView& x,
                     const kernels::MatmulArgs* jobs, int num_jobs) {
    OpProfile& profile = *active;
    const auto input = profile.inner_->matmul_input(jobs[0].weight.dtype);
    const OpCost cost = cost_of(x, std::span(jobs, static_cast<size_t>(num_jobs)), input);
    profile.time(profile.matmul_row(jobs, num_jobs), cost,
                 [&] { profile.inner_->matmul(context, x, jobs, num_jobs); });
  }

  static void expert_matmul(const ExecContext& context, const kernels::ActivationView& x,
                            const kernels::ExpertMatmulArgs& args) {
    OpProfile& profile = *active;
    const auto input = profile.inner_->matmul_input(args.weights[0].dtype);
    profile.time(profile.expert_row(args), cost_of(x, args, input),
                 [&] { profile.inner_->expert_matmul(context, x, args); });
  }

  /// Entries that the inner table has not stay null.
  template <auto Entry, typename Args>
  static void wrap(KernelTable& table, void (*)(const ExecContext&, const Args&)) {
    if (table.*Entry != nullptr) table.*Entry = call<Entry, Args>;
  }
  template <auto Entry>
  static void wrap(KernelTable& table) {
    wrap<Entry>(table, table.*Entry);
  }
};

template <>
constexpr const char* OpProfile::Wrappers::kName<&KernelTable::embed> = "embedding";
template <>
constexpr const char* OpProfile::Wrappers::kName<&KernelTable::rms_norm> = "norm";
template <>
constexpr const char* OpProfile::Wrappers::kName<&KernelTable::layer_norm> = "norm";
template <>
constexpr const char* OpProfile::Wrappers::kName<&KernelTable::quantize> = "quantize activations";
template <>
constexpr const char* OpProfile::Wrappers::kName<&KernelTable::rope_table> = "rope";
template <>
constexpr const char* OpProfile::Wrappers::kName<&KernelTable::rope> = "rope";
template <>
constexpr const char* OpProfile::Wrappers::kName<&KernelTable::kv_store> = "KV store";
template <>
constexpr const char* OpProfile::Wrappers::kName<&KernelTable::attention> = "attention";
template <>
constexpr const char* OpProfile::Wrappers::kName<&KernelTable::activate> = "activation";
template <>
constexpr const char* OpProfile::Wrappers::kName<&KernelTable::scale> = "scale and add";
template <>
constexpr const char* OpProfile::Wrappers::kName<&KernelTable::add> = "scale and add";
template <>
constexpr const char* OpProfile::Wrappers::kName<&KernelTable::route> = "expert routing";
template <>
constexpr const char* OpProfile::Wrappers::kName<&KernelTable::gather> = "expert routing";
template <>
constexpr const char* OpProfile::Wrappers::kName<&KernelTable::combine> = "expert routing";

OpProfile::OpProfile(const KernelTable& table, const Clock& clock)
    : inner_(&table), clock_(&clock), timed_(table) {
  HEARTH_CHECK(active == nullptr, "one profile at a time");
  active = this;
  Wrappers::wrap<&KernelTable::embed>(timed_);
  Wrappers::wrap<&KernelTable::rms_norm>(timed_);
  Wrappers::wrap<&KernelTable::layer_norm>(timed_);
  Wrappers::wrap<&KernelTable::quantize>(timed_);
  Wrappers::wrap<&KernelTable::rope_table>(timed_);
  Wrappers::wrap<&KernelTable::rope>(timed_);
  Wrappers::wrap<&KernelTable::kv_store>(timed_);
  Wrappers::wrap<&KernelTable::attention>(timed_);
  Wrappers::wrap<&KernelTable::activate>(timed_);
  Wrappers::wrap<&KernelTable::scale>(timed_);
  Wrappers::wrap<&KernelTable::add>(timed_);
  Wrappers::wrap<&KernelTable::route>(timed_);
  Wrappers::wrap<&KernelTable::gather>(timed_);
  Wrappers::wrap<&KernelTable::combine>(timed_);
  timed_.matmul = Wrappers::matmul;
  timed_.expert_matmul = Wrappers::expert_matmul;
}

OpProfile::~OpProfile() { active = nullptr; }

void OpProfile::name_weights(const Model& model) {
  const auto name = [&](const kernels::WeightView& weight, const char* role) {
    if (weight.data != nullptr) roles_[weight.data] = role;
  };
  for (const LayerWeights& layer : model.layers()) {
    name(layer.q.weight, "attention q");
    name(layer.k.weight, "attention k");
    name(layer.v.weight, "attention v");
    name(layer.attention_out.weight, "attention out");
    name(layer.gate.weight, "ffn gate");
    name(layer.up.weight, "ffn up");
    name(layer.down.weight, "ffn down");
    name(layer.experts.router.weight, "expert router");
    const auto name_first = [&](const ExpertMatrices& experts, const char* role) {
      if (!experts.weights.empty()) name(experts.weights.front(), role);
    };
    name_first(layer.experts.gate, "expert gate");
    name_first(layer.experts.up, "expert up");
    name_first(layer.experts.down, "expert down");
  }
  name(model.output().weight, "output");
}

std::string OpProfile::role_of(const void* weight) const {
  const auto found = roles_.find(weight);
  return found == roles_.end() ? "matmul" : found->second;
}

size_t OpProfile::row(const std::string& name) {
  const auto [at, is_new] = rows_.try_emplace(name, totals_.size());
  if (is_new) totals_.push_back({.name = name, .calls = 0, .seconds = 0.0, .cost = {}});
  return at->second;
}

/// The roles of the jobs and their types, each word once: "attention q k v q4_k q6_k".
size_t OpProfile::matmul_row(const kernels::MatmulArgs* jobs, int num_jobs) {
  const auto known = matmul_rows_.find(jobs[0].weight.data);
  if (known != matmul_rows_.end()) return known->second;
  std::string name;
  for (int i = 0; i < num_jobs; ++i) {
    const std::string role = role_of(jobs[i].weight.data);
    for (size_t begin = 0; begin < role.size();) {
      const size_t end = std::min(role.find(' ', begin), role.size());
      add_word(name, std::string_view(role).substr(begin, end - begin));
      begin = end + 1;
    }
  }
  for (int i = 0; i < num_jobs; ++i) add_word(name, dtype_info(jobs[i].weight.dtype).name);
  return matmul_rows_[jobs[0].weight.data] = row(name);
}

size_t OpProfile::expert_row(const kernels::ExpertMatmulArgs& args) {
  const kernels::WeightView& first = args.weights[0];
  const auto known = matmul_rows_.find(first.data);
  if (known != matmul_rows_.end()) return known->second;
  return matmul_rows_[first.data] =
             row(role_of(first.data) + " " + std::string(dtype_info(first.dtype).name));
}

template <typename Call>
void OpProfile::time(size_t row, const OpCost& cost, const Call& call) {
  const Nanoseconds start = clock_->now();
  call();
  const Nanoseconds end = clock_->now();
  OpTotal& total = totals_[row];
  ++total.calls;
  total.seconds += std::chrono::duration<double>(end - start).count();
  total.cost.bytes += cost.bytes;
  total.cost.cold_bytes += cost.cold_bytes;
  total.cost.operations += cost.operations;
  total.cost.arithmetic = cost.arithmetic;
}

std::vector<OpTotal> OpProfile::take() {
  rows_.clear();
  matmul_rows_.clear();
  return std::exchange(totals_, {});
}

std::vector<OpShare> op_shares(const std::vector<OpTotal>& ops, double seconds,
                               const MachineLimits& limits) {
  std::vector<OpShare> shares;
  double rest = seconds;
  const auto ratio = [](double a, double b) { return b > 0.0 ? a / b : 0.0; };
  for (const OpTotal& op : ops) {
    const double by_memory = ratio(op.cost.cold_bytes, limits.read_bytes);
    const double by_arithmetic = ratio(op.cost.operations, limits.operations(op.cost.arithmetic));
    shares.push_back({.total = op,
                      .share = ratio(op.seconds, seconds),
                      .limit_seconds = std::max(by_memory, by_arithmetic),
                      .bound_by_memory = by_memory >= by_arithmetic});
    rest -= op.seconds;
  }
  shares.push_back({.total = {.name = "the rest", .calls = 0, .seconds = rest, .cost = {}},
                    .share = ratio(rest, seconds)});
  return shares;
}

}  // namespace hearth
