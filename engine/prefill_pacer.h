#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace hearth {

/// How many prompt rows may ride along with decode rows, so that streams keep their pace while a
/// prompt is read. Learns from the durations of steps: what a step of decode rows alone takes, and
/// what one prompt row adds. Results never depend on it (rule 3 of equal bits), only paces do.
class PrefillPacer {
 public:
  using Duration = std::chrono::nanoseconds;

  /// A mixed step may take this much longer than one of its decode rows alone. A stream's worst
  /// gaps beside a prompt then stay under twice its usual ones, with a margin for noise.
  static constexpr double kMaxSlowdown = 1.7;
  /// Where more sequences read their prompts than stream, as after a burst of requests, the pace of
  /// few yields to the first token of many: what a mixed step may take longer grows with their
  /// ratio, up to so many times.
  static constexpr double kMostPrompts = 3.0;
  /// However dear a row is, a prompt gets on. Fewer gain nothing: the matmuls of 2 and of 4 rows
  /// take the same time (docs/measurements.md), and a step reads the prompt's K and V once for all.
  static constexpr int32_t kMinRows = 4;

  /// `max_rows` is the bound where decode steps are slow enough.
  explicit PrefillPacer(int32_t max_rows);

  /// Most prompt rows for the next step, if it has `decode_rows` decode rows and `prompts`
  /// sequences have prompt left to read.
  [[nodiscard]] int32_t prefill_rows(int32_t decode_rows, int32_t prompts) const;
  /// A step of `decode_rows` and `prefill_rows` took `duration`.
  void observe(int32_t decode_rows, int32_t prefill_rows, Duration duration);

 private:
  /// A running mean that one slow step cannot throw off. Zero: nothing seen yet.
  struct Mean {
    double value = 0.0;
    void add(double sample);
  };
  /// Decode steps are told apart by the power of two of their rows: more rows take longer.
  static size_t bucket(int32_t decode_rows);
  /// Nanoseconds of a step of decode rows alone; of a smaller one where none was seen (then the
  /// bound is on the safe side); 0 if nothing is known.
  [[nodiscard]] double decode_step_ns(int32_t decode_rows) const;

  int32_t max_rows_;
  std::array<Mean, 16> decode_ns_;
  Mean row_ns_;  // what one prompt row adds to a step
  int32_t last_rows_ = kMinRows;
};

}  // namespace hearth
