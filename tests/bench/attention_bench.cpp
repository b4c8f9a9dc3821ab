// Times attention at depth: KV bytes per second, as a share of what one read of that memory reaches
// in the same run, and operations per second, as a share of the fastest arithmetic that fits the
// cache's type. With one layer the cache may stay in L3; with many, each call takes the next one's,
// from memory, as a model does. Each case is first checked against the reference. Not part of
// CTest. Usage: bench_attention [threads] [isa] [part of the cases' names]

#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "kernels/attention/attention.h"
#include "kernels/cpu/arithmetic_peak.h"
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
  int32_t layers = 1;  // each call takes the next one's cache: all of them together outgrow L3
};

constexpr Case kCases[] = {
    {"decode 7B MHA f16, depth 4096", DType::kF16, 32, 32, 128, 4095, 1},
    {"decode 8B GQA f16, depth 4096", DType::kF16, 32, 8, 128, 4095, 1},
    {"decode 8B GQA f16, depth 32768", DType::kF16, 32, 8, 128, 32767, 1},
    {"decode 8B GQA q8_0, depth 32768", DType::kQ8_0, 32, 8, 128, 32767, 1},
    {"decode 1.1B GQA f16, depth 4096", DType::kF16, 32, 4, 64, 4095, 1},
    {"decode 1.1B GQA q8_0, depth 4096", DType::kQ8_0, 32, 4, 64, 4095, 1},
    {"decode 1.1B GQA f16, 22 layers at 4096", DType::kF16, 32, 4, 64, 4095, 1, 22},
    {"decode 1.1B GQA q8_0, 44 layers at 4096", DType::kQ8_0, 32, 4, 64, 4095, 1, 44},
    {"decode 8B GQA f16, 8 layers at 4096", DType::kF16, 32, 8, 128, 4095, 1, 8},
    {"decode 8B GQA q8_0, 16 layers at 4096", DType::kQ8_0, 32, 8, 128, 4095, 1, 16},
    {"prefill 7B MHA f16, 512 rows", DType::kF16, 32, 32, 128, 0, 512},
    {"prefill 8B GQA f16, 512 rows", DType::kF16, 32, 8, 128, 0, 512},
    {"prefill 8B GQA f16, 256 rows at 4096", DType::kF16, 32, 8, 128, 4096, 256},
    {"prefill 1.1B GQA f16, 512 rows", DType::kF16, 32, 4, 64, 0, 512},
    {"prefill 1.1B GQA f16, 256 rows at 4096", DType::kF16, 32, 4, 64, 4096, 256},
    {"prefill 1.1B GQA q8_0, 256 rows at 4096", DType::kQ8_0, 32, 4, 64, 4096, 256},
};

constexpr int32_t kPageTokens = 32;

float unit(uint64_t& state) {
  state = state * 6364136223846793005U + 1442695040888963407U;
  return static_cast<float>(static_cast<double>(state >> 11) * 0x1p-52 - 1.0);
}

/// Private memory in huge pages where there are any, as a KV cache has it.
class HugeMemory {
 public:
  explicit HugeMemory(size_t bytes) : bytes_(bytes) {
    void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    HEARTH_CHECK(data != MAP_FAILED, "there is memory for the cache");
    (void)::madvise(data, bytes, MADV_HUGEPAGE);
    data_ = static_cast<uint8_t*>(data);
  }
  HugeMemory(const HugeMemory&) = delete;
  HugeMemory& operator=(const HugeMemory&) = delete;
  ~HugeMemory() { ::munmap(data_, bytes_); }
  [[nodiscard]] uint8_t* data() const { return data_; }

 private:
  uint8_t* data_;
  size_t bytes_;
};

// A cache whose layers all hold the same random tokens, and the queries of a step. The layers of a
// page lie side by side, pages are taken from the last one down.
struct World {
  int32_t layers;
  int32_t num_pages;
  size_t layer_bytes;  // of one page
  HugeMemory memory;
  AttentionArgs args;
  std::vector<int32_t> pages;
  std::vector<float> q;
  std::vector<float> out;
  SequenceRows rows;

  explicit World(const Case& c)
      : layers(c.layers),
        num_pages((c.depth + c.rows + kPageTokens - 1) / kPageTokens),
        layer_bytes(2 * row_bytes(c.dtype, c.head_dim) *
                    static_cast<size_t>(kPageTokens * c.num_kv_heads)),
        memory(layer_bytes * static_cast<size_t>(layers * num_pages)) {
    for (int32_t i = 0; i < num_pages; ++i) pages.push_back(num_pages - 1 - i);
    const KvLayerView kv{.base = memory.data(),
                         .page_bytes = layer_bytes * static_cast<size_t>(layers),
                         .dtype = c.dtype,
                         .page_tokens = kPageTokens,
                         .num_kv_heads = c.num_kv_heads,
                         .head_dim = c.head_dim};
    uint64_t state = 1;
    fill(kv, c.depth + c.rows, state);
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

  void fill(const KvLayerView& kv, int32_t tokens, uint64_t& state) {
    const int64_t kv_cols = int64_t{kv.num_kv_heads} * kv.head_dim;
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
    for (int32_t page = 0; page < num_pages; ++page)
      for (int32_t layer = 1; layer < layers; ++layer)
        std::memcpy(at(page, layer), at(page, 0), layer_bytes);
  }

  [[nodiscard]] uint8_t* at(int32_t page, int32_t layer) const {
    return memory.data() + layer_bytes * static_cast<size_t>(page * layers + layer);
  }
  [[nodiscard]] double bytes() const {
    return static_cast<double>(layer_bytes) * static_cast<double>(num_pages);
  }
  /// What the layers' calls are given, in turn.
  [[nodiscard]] AttentionArgs of_layer(int32_t layer) const {
    AttentionArgs result = args;
    result.kv.base = at(0, layer);
    return result;
  }
};

/// The median of several timed calls, in seconds.
template <typename F>
double median_seconds(const F& f) {
  std::vector<double> times;
  const auto begin = Clock::now();
  while (times.size() < 5 ||
         (times.size() < 200 && Clock::now() - begin < std::chrono::milliseconds(400))) {
    const auto start = Clock::now();
    f();
    times.push_back(std::chrono::duration<double>(Clock::now() - start).count());
  }
  std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
  return times[times.size() / 2];
}

/// Bytes per second that all threads together read, of the very memory that attention reads.
double read_speed(ThreadPool& pool, const World& world) {
  std::vector<uint64_t> sums(static_cast<size_t>(pool.num_threads()) * 8);
  int32_t layer = 0;
  const double seconds = median_seconds([&] {
    pool.run([&](int index, int threads) {
      const Slice slice = thread_slice(world.num_pages, 1, index, threads);
      uint64_t lanes[8] = {};
      for (int64_t page = slice.begin; page < slice.end; ++page) {
        const uint8_t* rows = world.at(static_cast<int32_t>(page), layer);
        for (size_t i = 0; i < world.layer_bytes; i += 64) {
          uint64_t line[8];
          std::memcpy(line, rows + i, sizeof line);
          for (int k = 0; k < 8; ++k) lanes[k] ^= line[k];
        }
      }
      std::memcpy(&sums[static_cast<size_t>(index) * 8], lanes, sizeof lanes);
    });
    layer = (layer + 1) % world.layers;
  });
  volatile uint64_t keep = sums[0];
  static_cast<void>(keep);
  return world.bytes() / seconds;
}

/// Operations per second of all threads together; 0 where there is no loop for them.
double peak_speed(ThreadPool& pool, std::string_view isa, Arithmetic arithmetic) {
  const PeakLoop loop = find_peak_loop(isa, arithmetic);
  if (loop == nullptr) return 0.0;
  constexpr int64_t kRounds = 1 << 18;
  int64_t each = 0;
  const double seconds = median_seconds([&] {
    pool.run([&](int index, int) {
      const int64_t done = loop(kRounds);
      if (index == 0) each = done;
    });
  });
  return static_cast<double>(each) * pool.num_threads() / seconds;
}

// The last row against the reference.
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
  const bool fixed = table.name == "avx512" && c.dtype != DType::kF32;
  if (!(error < (fixed ? 1e-3 : 1e-5))) {
    std::printf("%s: error %g\n", c.name, error);
    std::exit(1);
  }
  int32_t layer = 0;
  const double seconds = median_seconds([&] {
    table.attention({.pool = &pool}, world.of_layer(layer));
    layer = (layer + 1) % world.layers;
  });
  const double pairs = static_cast<double>(c.rows) * (c.depth + 0.5 * (c.rows + 1));
  const double operations = 4.0 * pairs * c.num_heads * c.head_dim;
  const double peak = peak_speed(pool, table.name, fixed ? Arithmetic::kInt16 : Arithmetic::kF32);
  std::printf("%-40s %-7s %9.1f us  %7.1f Gop/s", c.name, table.name.data(), seconds * 1e6,
              operations / seconds * 1e-9);
  if (peak > 0.0)
    std::printf(" = %3.0f %% of %s", 100.0 * operations / seconds / peak, fixed ? "int16" : "f32");
  if (c.rows == 1) {
    const double limit = read_speed(pool, world);
    std::printf("  %6.1f GB/s = %3.0f %% of reading it", world.bytes() / seconds * 1e-9,
                100.0 * world.bytes() / seconds / limit);
  }
  std::printf("\n");
}

}  // namespace

int main(int argc, char** argv) {
  ThreadPool pool(argc > 1 ? std::max(1, std::atoi(argv[1])) : 1);
  const std::string_view only_isa = argc > 2 ? argv[2] : "";
  const std::string_view part = argc > 3 ? argv[3] : "";
  for (const Case& c : kCases) {
    if (std::string_view(c.name).find(part) == std::string_view::npos) continue;
    for (const auto& [table, runs_here] : cpu_kernels())
      if (runs_here && table->attention != attention_ref &&
          (only_isa.empty() || table->name == only_isa))
        bench(c, *table, pool);
  }
}
