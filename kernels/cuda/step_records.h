#pragma once
// Records of steps by their shape: which there are, when one is made, which is forgotten.

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "kernels/cuda/op_context.h"

namespace hearth::kernels {

/// What a step launched, to be launched again.
class StepRecord {
 public:
  virtual ~StepRecord() = default;
  virtual void replay() = 0;
};

/// What steps of one record have in common: everything that launches may depend on.
struct StepShape {
  int64_t kind = 0;     // of what the caller does in the step
  int32_t rows = 0;     // StepTables::rows
  int32_t longest = 0;  // StepTables::longest

  friend bool operator==(const StepShape&, const StepShape&) = default;
};

class StepRecords {
 public:
  using Ops = std::function<void()>;
  /// Calls the ops so that their launches are recorded and not run; null if that failed.
  using MakeRecord = std::function<std::unique_ptr<StepRecord>(const Ops&)>;

  /// Runs a step. The first one of a shape runs as it is (a device loads kernels when they are
  /// first launched, which cannot be recorded), the second is recorded and replayed, further ones
  /// are replayed. After a failure every step runs as it is.
  void run(const StepShape& shape, const Ops& ops, const MakeRecord& make_record);

  [[nodiscard]] size_t count() const;
  void clear() { entries_.clear(); }

 private:
  /// A record costs about a kilobyte of device memory for each launch, and a step of a large model
  /// makes a thousand: these are some 64 MiB. A server under steady load uses a dozen.
  static constexpr size_t kMostEntries = 64;

  struct Entry {
    StepShape shape;
    uint64_t used = 0;  // the number of the last step
    std::unique_ptr<StepRecord> record;
  };

  Entry& entry_of(const StepShape& shape, bool& is_new);

  std::vector<Entry> entries_;
  uint64_t steps_ = 0;
  bool failed_ = false;
};

}  // namespace hearth::kernels
