// Checks each matmul variant against the scalar reference, then times it: GB/s of weights for one
// row and a few, Gop/s (a multiply or an add) for many, beside a plain read of the same bytes.
//
//   bench_matmul [--threads N] [--isa NAME] [--type NAME] [--rows N] [--mib N | --kib N] [--cols N]

#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "kernels/cpu/thread_pool.h"
#include "tests/kernels/matmul/support_matmul.h"

namespace hearth::kernels {
namespace {

struct Options {
  int threads = 2;
  std::string isa;
  std::string type;
  int64_t rows = 0;         // 0: a list
  int64_t kib = 256 << 10;  // of weights walked: far more than the caches hold
  int64_t cols = 2048;
};

double seconds_of(auto&& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

struct Timing {
  double median;
  double best;  // the machine is shared: what it does when nobody disturbs
};

Timing time_runs(int runs, auto&& body) {
  std::vector<double> times(static_cast<size_t>(runs));
  for (double& time : times) time = seconds_of(body);
  std::ranges::sort(times);
  return {times[times.size() / 2], times.front()};
}

void check(const test::Variant& variant, DType dtype, int64_t cols, int64_t rows) {
  std::mt19937 rng(1);
  const test::Weights w(dtype, 40, cols, 0.05F, rng);
  const test::Input x(rows, cols, 1.0F, rng);
  const std::vector<float> expected = test::multiply(matmul_ref, w.view, x.view(rows));
  const std::vector<float> actual = test::multiply(variant.fn, w.view, x.view(rows));
  for (size_t i = 0; i < expected.size(); ++i) {
    const auto at = static_cast<int64_t>(i);
    if (std::fabs(actual[i] - expected[i]) <= 1e-4 * w.magnitude(at % 40, x, at / 40)) continue;
    std::fprintf(stderr, "%s %s: element %zu is %g, expected %g\n", variant.name.data(),
                 dtype_info(dtype).name.data(), i, static_cast<double>(actual[i]),
                 static_cast<double>(expected[i]));
    std::exit(1);
  }
}

/// Weights in a mapped file without a name, as a model's are: anonymous memory in huge pages has
/// other walks and other prefetching, and ranked the kernels differently.
class MappedWeights {
 public:
  MappedWeights(DType dtype, int64_t rows, int64_t cols) {
    view_ = {nullptr, dtype, rows, cols, row_bytes(dtype, cols)};
    bytes_ = view_.row_bytes * static_cast<size_t>(rows);
    FILE* file = std::tmpfile();
    if (file == nullptr) fail("tmpfile");
    const std::vector<uint8_t> row(view_.row_bytes, 0x35);
    for (int64_t r = 0; r < rows; ++r)
      if (std::fwrite(row.data(), 1, row.size(), file) != row.size()) fail("fwrite");
    if (std::fflush(file) != 0) fail("fflush");
    base_ = ::mmap(nullptr, bytes_, PROT_READ, MAP_SHARED, fileno(file), 0);
    if (base_ == MAP_FAILED) fail("mmap");
    static_cast<void>(std::fclose(file));
    view_.data = base_;
  }
  MappedWeights(const MappedWeights&) = delete;
  MappedWeights& operator=(const MappedWeights&) = delete;
  ~MappedWeights() { ::munmap(base_, bytes_); }

  [[nodiscard]] const WeightView& view() const { return view_; }
  [[nodiscard]] size_t bytes() const { return bytes_; }

 private:
  [[noreturn]] static void fail(const char* call) {
    std::perror(call);
    std::exit(1);
  }

  WeightView view_;
  size_t bytes_ = 0;
  void* base_ = nullptr;
};

/// Seconds of summing the bytes up on all threads.
Timing time_reading(ThreadPool& pool, const MappedWeights& w) {
  const auto* words = static_cast<const uint64_t*>(w.view().data);
  const auto count = static_cast<int64_t>(w.bytes() / 8);
  std::vector<uint64_t> sums(64);
  const Timing timing = time_runs(5, [&] {
    pool.run([&](int index, int threads) {
      const Slice slice = thread_slice(count, 512, index, threads);
      uint64_t sum[8] = {};
      for (int64_t i = slice.begin; i + 8 <= slice.end; i += 8)
        for (int j = 0; j < 8; ++j) sum[j] += words[i + j];
      for (const uint64_t part : sum) sums[static_cast<size_t>(index)] += part;
    });
  });
  volatile uint64_t sink = sums[0];
  (void)sink;
  return timing;
}

void time_type(const Options& options, const test::Variant& variant, DType dtype,
               ThreadPool& pool) {
  std::mt19937 rng(1);
  const size_t stride = row_bytes(dtype, options.cols);
  const int64_t n = options.kib * 1024 / static_cast<int64_t>(stride) / 64 * 64;
  const MappedWeights w(dtype, n, options.cols);
  std::vector<int64_t> row_counts = {1, 2, 3, 4, 6, 8, 9, 12, 16, 24, 32, 64, 256};
  if (options.rows > 0) row_counts = {options.rows};
  const test::Input x(row_counts.back(), options.cols, 1.0F, rng);
  const Timing reading = time_reading(pool, w);
  const auto bytes = static_cast<double>(w.bytes());
  std::printf("%-7s %-7s plain read %5.1f GB/s (best %5.1f)\n", variant.name.data(),
              dtype_info(dtype).name.data(), bytes / reading.median * 1e-9,
              bytes / reading.best * 1e-9);
  std::vector<float> out(static_cast<size_t>(row_counts.back() * n));
  double one_row = 0.0;
  for (const int64_t rows : row_counts) {
    check(variant, dtype, options.cols, rows);
    // A prompt: fewer rows of weights, so that a run stays short.
    WeightView part = w.view();
    if (rows > 64) part.rows = std::max<int64_t>(64, n / 8 / 64 * 64);
    MatmulArgs job;
    job.weight = part;
    job.out = out.data();
    job.out_stride = part.rows;
    const ExecContext context{&pool, nullptr};
    const ActivationView view = x.view(rows);
    // Little work is repeated: a run takes a millisecond at least.
    const int64_t repeats = std::max<int64_t>(1, 500'000'000 / (rows * part.rows * options.cols));
    Timing timing = time_runs(7, [&] {
      for (int64_t i = 0; i < repeats; ++i) variant.fn(context, view, &job, 1);
    });
    timing.median /= static_cast<double>(repeats);
    timing.best /= static_cast<double>(repeats);
    const double share = static_cast<double>(part.rows) / static_cast<double>(n);
    const double ops = 2.0 * static_cast<double>(rows * part.rows * options.cols);
    if (rows == 1) one_row = timing.best;
    std::printf("  rows %4lld  %7.1f GB/s  %8.1f Gop/s   best %7.1f  %8.1f",
                static_cast<long long>(rows), bytes * share / timing.median * 1e-9,
                ops / timing.median * 1e-9, bytes * share / timing.best * 1e-9,
                ops / timing.best * 1e-9);
    if (one_row > 0.0) std::printf("   %6.2f x one row", timing.best / share / one_row);
    std::printf("\n");
  }
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string flag = argv[i];
    const std::string value = i + 1 < argc ? argv[i + 1] : "";
    if (flag == "--isa") {
      options.isa = value;
    } else if (flag == "--type" && find_dtype(value) != nullptr) {
      options.type = value;
    } else {
      const int64_t number = std::atoll(value.c_str());
      if (flag == "--threads" && number > 0) {
        options.threads = static_cast<int>(number);
      } else if (flag == "--rows" && number > 0) {
        options.rows = number;
      } else if (flag == "--mib" && number > 0) {
        options.kib = number * 1024;
      } else if (flag == "--kib" && number > 0) {
        options.kib = number;
      } else if (flag == "--cols" && number > 0 && number % 256 == 0) {
        options.cols = number;
      } else {
        std::fprintf(stderr, "%s %s: unknown option or value out of range\n", flag.c_str(),
                     value.c_str());
        std::exit(1);
      }
    }
  }
  return options;
}

}  // namespace
}  // namespace hearth::kernels

int main(int argc, char** argv) {
  using namespace hearth;
  using namespace hearth::kernels;
  const Options options = parse(argc, argv);
  ThreadPool pool(options.threads);
  for (const test::Variant& variant : test::variants()) {
    if (!options.isa.empty() && options.isa != variant.name) continue;
    for (const DType dtype : test::kAllTypes)
      if (options.type.empty() || options.type == dtype_info(dtype).name)
        time_type(options, variant, dtype, pool);
  }
  return 0;
}
