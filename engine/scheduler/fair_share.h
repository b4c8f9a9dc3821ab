#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

namespace hearth {

/// Counts the tokens that each fairness key was served, so that the scheduler can serve the one
/// that had least: a virtual token counter per key (Sheng et al. 2024, "Fairness in Serving Large
/// Language Models"). A key that comes back after a pause starts where the least served of the
/// present keys is: neither can a pause be saved up, nor is anyone punished for having used an
/// idle machine. Memory is bounded however many keys there are.
class FairShare {
 public:
  /// One key's account. Stays valid while its key has sequences.
  struct Flow {
    uint64_t served_tokens = 0;  // since this busy period began, lifted on return
    int32_t sequences = 0;       // waiting or running
  };

  /// Keys without sequences whose counters are remembered; those served least go first.
  static constexpr size_t kMaxAbsent = 1024;

  /// One more sequence of `key`.
  Flow* join(const std::string& key);
  /// One sequence less. With the last sequence of all keys every counter is forgotten: nobody was
  /// made to wait.
  void leave(Flow* flow);
  /// Keys that are remembered.
  [[nodiscard]] size_t size() const { return flows_.size(); }

 private:
  /// Counter of the least served key that has sequences. There must be one.
  [[nodiscard]] uint64_t least_served() const;
  void forget_absent();

  std::unordered_map<std::string, Flow> flows_;
  size_t present_ = 0;  // keys with sequences
};

}  // namespace hearth
