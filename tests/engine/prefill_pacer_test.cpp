#include "engine/prefill_pacer.h"

#include <doctest/doctest.h>

#include <chrono>

namespace hearth {
namespace {

using std::chrono::microseconds;

/// A machine on which a step costs so much, each decode row, and each prompt row.
struct Machine {
  int64_t step_us;
  int64_t decode_row_us;
  int64_t prompt_row_us;

  [[nodiscard]] microseconds duration(int32_t decodes, int32_t prompt_rows) const {
    return microseconds(step_us + decode_row_us * decodes + prompt_row_us * prompt_rows);
  }
};

/// Paces `steps` steps of a long prompt beside `decodes` streams; returns the last bound.
int32_t pace(PrefillPacer& pacer, const Machine& machine, int32_t decodes, int steps) {
  for (int i = 0; i < 20; ++i) pacer.observe(decodes, 0, machine.duration(decodes, 0));
  for (int i = 0; i < steps; ++i) {
    const int32_t rows = pacer.prefill_rows(decodes, 1);
    pacer.observe(decodes, rows, machine.duration(decodes, rows));
  }
  return pacer.prefill_rows(decodes, 1);
}

}  // namespace

TEST_CASE("without decode rows a prompt has the whole chunk") {
  CHECK(PrefillPacer(256).prefill_rows(0, 1) == 256);
}

TEST_CASE("the first rows beside streams are few") {
  CHECK(PrefillPacer(256).prefill_rows(3, 1) == PrefillPacer::kMinRows);
  CHECK(PrefillPacer(3).prefill_rows(3, 1) == 3);
}

TEST_CASE("a mixed step takes at most the slowdown allowed, and nearly that") {
  const Machine machine{.step_us = 40'000, .decode_row_us = 1000, .prompt_row_us = 700};
  PrefillPacer pacer(256);
  const int32_t rows = pace(pacer, machine, 4, 50);
  const double slowdown = static_cast<double>(machine.duration(4, rows).count()) /
                          static_cast<double>(machine.duration(4, 0).count());
  CHECK(slowdown <= PrefillPacer::kMaxSlowdown + 0.01);
  CHECK(slowdown > PrefillPacer::kMaxSlowdown - 0.05);
}

TEST_CASE("no mixed step on the way there is too slow") {
  const Machine machine{.step_us = 40'000, .decode_row_us = 1000, .prompt_row_us = 500};
  PrefillPacer pacer(256);
  for (int i = 0; i < 20; ++i) pacer.observe(1, 0, machine.duration(1, 0));
  for (int i = 0; i < 50; ++i) {
    const int32_t rows = pacer.prefill_rows(1, 1);
    CHECK(machine.duration(1, rows) < 2 * machine.duration(1, 0));
    pacer.observe(1, rows, machine.duration(1, rows));
  }
}

TEST_CASE("many prompts beside few streams: the streams yield, up to a bound") {
  const Machine machine{.step_us = 40'000, .decode_row_us = 0, .prompt_row_us = 1000};
  PrefillPacer pacer(256);
  const int32_t alone = pace(pacer, machine, 2, 50);
  CHECK(pacer.prefill_rows(2, 2) == alone);
  for (int i = 0; i < 10; ++i) {
    const int32_t rows = pacer.prefill_rows(2, 14);
    pacer.observe(2, rows, machine.duration(2, rows));
  }
  const int32_t rows = pacer.prefill_rows(2, 14);
  CHECK(rows > 5 * alone / 2);
  CHECK(rows <= 3 * alone + 3);
  CHECK(PrefillPacer(256).prefill_rows(1, 15) == 3 * PrefillPacer::kMinRows);
}

TEST_CASE("bounds hold on machines where rows are free or ruinous") {
  PrefillPacer fast(256);
  CHECK(pace(fast, {.step_us = 1000, .decode_row_us = 0, .prompt_row_us = 0}, 2, 50) == 256);
  PrefillPacer slow(256);
  CHECK(pace(slow, {.step_us = 100, .decode_row_us = 10, .prompt_row_us = 900}, 2, 50) ==
        PrefillPacer::kMinRows);
}

TEST_CASE("more decode rows make a step longer, not the prompt's rows more") {
  const Machine machine{.step_us = 1000, .decode_row_us = 1000, .prompt_row_us = 1000};
  PrefillPacer pacer(256);
  for (int i = 0; i < 20; ++i) pacer.observe(1, 0, machine.duration(1, 0));
  // 32 streams were never seen alone: the bound comes from the smaller step and is on the safe
  // side.
  const int32_t rows = pace(pacer, machine, 1, 30);
  CHECK(rows == PrefillPacer::kMinRows);
  CHECK(pace(pacer, machine, 32, 50) > rows);
}

TEST_CASE("one interrupted step does not change the pace much") {
  const Machine machine{.step_us = 40'000, .decode_row_us = 0, .prompt_row_us = 1000};
  PrefillPacer pacer(256);
  const int32_t before = pace(pacer, machine, 1, 50);
  pacer.observe(1, 0, microseconds(5'000'000));
  CHECK(pacer.prefill_rows(1, 1) <= before * 3 / 2);
  for (int i = 0; i < 20; ++i) pacer.observe(1, 0, machine.duration(1, 0));
  CHECK(pacer.prefill_rows(1, 1) <= before + 1);
}

}  // namespace hearth
