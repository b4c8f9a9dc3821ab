// Times attention: decode at depth, as KV bytes per second and as a share of what one read of
// memory reaches in the same run, and prefill, as floating-point operations per second. Each case
// is first checked against the reference. Not part of CTest.
// Usage: bench_attention [threads]

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "kernels/attention/attention.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/kv_store/kv_store.h"

using namespace hearth;
using namespace hearth::kernels;

namespace {

using Clock = std::chrono::steady_clock;

struct Case {
  const char* name;
  DType dtype;
  int32_t num_heads;
  int32_t num_kv_heads;
  int32_t head_dim;
  int32_t depth;  // tokens before the rows
  int32_t rows;
};

constexpr Case kCases[] = {
    {"decode 7B MHA f16, depth 4096", DType::kF16, 32, 32, 128, 4095, 1},
    {"decode 8B GQA f16, depth 4096", DType::kF16, 32, 8, 128, 4095, 1},
    {"decode 8B GQA f16, depth 32768", DType::kF16, 32, 8, 128, 32767, 1},
    {"decode 8B GQA q8_0, depth 32768", DType::kQ8_0, 32, 8, 128, 32767, 1},
    {"decode 1.1B GQA f16, depth 2048", DType::kF16, 32, 4, 64, 2047, 1},
    {"prefill 7B MHA f16, 512 rows", DType::kF16, 32, 32, 128, 0, 512},
    {"prefill 8B GQA f16, 512 rows", DType::kF16, 32, 8, 128, 0, 512},
    {"prefill 8B GQA f16, 256 rows at 4096", DType::kF16, 32, 8, 128, 4096, 256},
    {"prefill 1.1B GQA f16, 512 rows", DType::kF16, 32, 4, 64, 0, 512},
};

constexpr int32_t kPageTokens = 32;

float unit(uint64_t& state) {
  state = state * 6364136223846793005U + 1442695040888963407U;
  return static_cast<float>(static_cast<double>(state >> 11) * 0x1p-52 - 1.0);
}

// One layer's cache filled with random tokens, and the queries of a step.
struct World {
  AttentionArgs args;
  std::vector<uint8_t> memory;
  std::vector<int32_t> pages;
  std::vector<float> q;
  std::vector<float> out;
  SequenceRows rows;

  explicit World(const Case& c) {
    const int32_t tokens = c.depth + c.rows;
    const int32_t num_pages = (tokens + kPageTokens - 1) / kPageTokens;
    for (int32_t i = 0; i < num_pages; ++i) pages.push_back(num_pages - 1 - i);
    KvLayerView kv{.page_bytes = 2 * row_bytes(c.dtype, c.head_dim) *
                                 static_cast<size_t>(kPageTokens * c.num_kv_heads),
                   .dtype = c.dtype,
                   .page_tokens = kPageTokens,
                   .num_kv_heads = c.num_kv_heads,
                   .head_dim = c.head_dim};
    memory.resize(kv.page_bytes * static_cast<size_t>(num_pages));
    kv.base = memory.data();
    const int64_t kv_cols = int64_t{c.num_kv_heads} * c.head_dim;
    uint64_t state = 1;
    std::vector<float> token(static_cast<size_t>(kv_cols));
    for (int32_t t = 0; t < tokens; ++t) {
      for (float& value : token) value = unit(state);
      const SequenceRows one{0, 1, t, pages.data()};
      kv_store_ref({}, {.k = token.data(),
                        .v = token.data(),
                        .k_stride = kv_cols,
                        .v_stride = kv_cols,
                        .kv = kv,
                        .sequences = &one,
                        .num_sequences = 1});
    }
    const int64_t cols = int64_t{c.num_heads} * c.head_dim;
    q.resize(static_cast<size_t>(c.rows * cols));
    for (float& value : q) value = unit(state);
    out.resize(q.size());
    rows = {0, c.rows, c.depth, pages.data()};
    args = {.q = q.data(),
            .q_stride = cols,
            .kv = kv,
            .sequences = &rows,
            .num_sequences = 1,
            .num_heads = c.num_heads,
            .scale = 1.0F / std::sqrt(static_cast<float>(c.head_dim)),
            .out = out.data(),
            .out_stride = cols};
  }
};

/// The median of several timed calls, in seconds.
template <typename F>
double median_seconds(const F& f) {
  std::vector<double> times;
  const auto begin = Clock::now();
  while (times.size() < 5 ||
         (times.size() < 50 && Clock::now() - begin < std::chrono::milliseconds(400))) {
    const auto start = Clock::now();
    f();
    times.push_back(std::chrono::duration<double>(Clock::now() - start).count());
  }
  std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
  return times[times.size() / 2];
}

/// Bytes per second that all threads together read, of the very memory that attention reads.
double read_speed(ThreadPool& pool, const std::vector<uint8_t>& memory) {
  std::vector<uint64_t> sums(static_cast<size_t>(pool.num_threads()) * 8);
  const double seconds = median_seconds([&] {
    pool.run([&](int index, int threads) {
      const Slice slice = thread_slice(static_cast<int64_t>(memory.size() / 64), 1, index, threads);
      uint64_t lanes[8] = {};
      for (int64_t i = slice.begin; i < slice.end; ++i) {
        uint64_t line[8];
        std::memcpy(line, memory.data() + i * 64, sizeof line);
        for (int k = 0; k < 8; ++k) lanes[k] ^= line[k];
      }
      std::memcpy(&sums[static_cast<size_t>(index) * 8], lanes, sizeof lanes);
    });
  });
  volatile uint64_t keep = sums[0];
  static_cast<void>(keep);
  return static_cast<double>(memory.size()) / seconds;
}

// The first head of the last row against the reference.
double check(const World& world, const KernelTable& table, ThreadPool& pool) {
  AttentionArgs one = world.args;
  SequenceRows last = world.rows;
  last.first_position += last.row_count - 1;
  last.row_count = 1;
  one.sequences = &last;
  one.q += int64_t{world.rows.row_count - 1} * one.q_stride;
  std::vector<float> expected(static_cast<size_t>(one.out_stride));
  one.out = expected.data();
  attention_ref({.pool = &pool}, one);
  table.attention({.pool = &pool}, world.args);
  const float* actual = world.args.out + int64_t{world.rows.row_count - 1} * world.args.out_stride;
  double worst = 0.0;
  for (size_t i = 0; i < expected.size(); ++i)
    worst = std::max(worst, std::abs(static_cast<double>(actual[i]) - expected[i]));
  return worst;
}

void bench(const Case& c, const KernelTable& table, ThreadPool& pool) {
  const World world(c);
  const double error = check(world, table, pool);
  if (!(error < 1e-5)) {
    std::printf("%s: error %g\n", c.name, error);
    std::exit(1);
  }
  const double seconds = median_seconds([&] { table.attention({.pool = &pool}, world.args); });
  const double pairs = static_cast<double>(c.rows) * (c.depth + 0.5 * (c.rows + 1));
  const double flops = 4.0 * pairs * c.num_heads * c.head_dim;
  const double bytes = static_cast<double>(world.memory.size());
  std::printf("%-40s %-7s %9.1f us  %7.1f GFLOP/s", c.name, table.name.data(), seconds * 1e6,
              flops / seconds * 1e-9);
  if (c.rows == 1) {
    const double limit = read_speed(pool, world.memory);
    std::printf("  %6.1f GB/s = %3.0f %% of reading it", bytes / seconds * 1e-9,
                100.0 * bytes / seconds / limit);
  }
  std::printf("\n");
}

}  // namespace

int main(int argc, char** argv) {
  ThreadPool pool(argc > 1 ? std::max(1, std::atoi(argv[1])) : 1);
  for (const Case& c : kCases)
    for (const auto& [table, runs_here] : cpu_kernels())
      if (runs_here && table->attention != attention_ref) bench(c, *table, pool);
}
