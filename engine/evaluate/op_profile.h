#pragma once
// Times the ops of a forward pass from outside: a kernel table whose entries call another table's
// and keep the time. Model code calls it like any table; without it nothing is timed and nothing
// costs anything.

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "engine/evaluate/machine_limits.h"
#include "engine/evaluate/op_cost.h"
#include "engine/model/model.h"
#include "kernels/kernel_table.h"

namespace hearth {

/// All calls of one op, or of the matmuls of one role and type.
struct OpTotal {
  std::string name;  // "attention", "ffn up gate q4_0", …
  int64_t calls = 0;
  double seconds = 0.0;
  OpCost cost;  // summed
};

/// One profile is in use at a time, and one thread calls its table.
class OpProfile {
 public:
  /// `table` and `clock` must outlive the profile.
  OpProfile(const kernels::KernelTable& table, const Clock& clock);
  ~OpProfile();
  OpProfile(const OpProfile&) = delete;
  OpProfile& operator=(const OpProfile&) = delete;

  /// The timed table. It must not be called after the profile has ended.
  [[nodiscard]] const kernels::KernelTable& table() const { return timed_; }

  /// Tells the roles of a model's matrices: matmuls are listed by them.
  void name_weights(const Model& model);

  /// What was called since the last take(), in order of the first call.
  std::vector<OpTotal> take();

 private:
  struct Wrappers;  // op_profile.cpp

  /// Where calls of this name are added up.
  size_t row(const std::string& name);
  size_t matmul_row(const kernels::MatmulArgs* jobs, int num_jobs);
  size_t expert_row(const kernels::ExpertMatmulArgs& args);
  [[nodiscard]] std::string role_of(const void* weight) const;
  template <typename Call>
  void time(size_t row, const OpCost& cost, const Call& call);

  const kernels::KernelTable* inner_;
  const Clock* clock_;
  kernels::KernelTable timed_;
  std::unordered_map<const void*, std::string> roles_;   // by a matrix's data
  std::unordered_map<const void*, size_t> matmul_rows_;  // by the first matrix's data
  std::unordered_map<std::string, size_t> rows_;
  std::vector<OpTotal> totals_;
};

/// An op's part of a profile, against the limits of the machine.
struct OpShare {
  OpTotal total;
  double share = 0.0;           // of the time of the whole
  double limit_seconds = 0.0;   // reading weights and KV, or computing, at the limit; 0: no limit
  bool bound_by_memory = true;  // or by arithmetic
};

/// The shares of `ops` in `seconds` that passed as a whole, the rest of them last, with the name
/// "the rest". They add up to 1.
std::vector<OpShare> op_shares(const std::vector<OpTotal>& ops, double seconds,
                               const MachineLimits& limits);

}  // namespace hearth
