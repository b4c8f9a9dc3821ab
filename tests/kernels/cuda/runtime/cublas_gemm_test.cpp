// What cuBLAS is asked for, by a library that the test plays by the manual's rules; and looking for
// the real one.

#include "kernels/cuda/runtime/cublas_gemm.h"

#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "kernels/cuda/op_context.h"
#include "kernels/quant/half.h"

namespace hearth::kernels {
namespace {

/// What the played library remembers, and what its next product answers.
struct Played {
  int handles = 0;
  void* stream = nullptr;
  void* workspace = nullptr;
  size_t workspace_bytes = 0;
  int create_status = 0;
  int gemm_status = 0;
  int compute_type = 0;
} played;

float value_of(const void* matrix, int type, int64_t i) {
  if (type == kCublasF16) return f16_to_f32(static_cast<const uint16_t*>(matrix)[i]);
  if (type == kCublasBF16) return bf16_to_f32(static_cast<const uint16_t*>(matrix)[i]);
  return static_cast<const float*>(matrix)[i];
}

/// By columns, as the manual defines it.
int play_gemm(void*, int op_a, int op_b, int m, int n, int k, const void* alpha, const void* a,
              int type_a, int lda, const void* b, int type_b, int ldb, const void* beta, void* c,
              int type_c, int ldc, int compute_type, int algorithm) {
  constexpr int kInvalidValue = 7;
  if (played.gemm_status != 0) return played.gemm_status;
  if (lda < (op_a == kCublasTranspose ? k : m) || ldb < (op_b == kCublasTranspose ? n : k) ||
      ldc < m || type_a != type_b || type_c != kCublasF32 || algorithm != kCublasDefaultAlgorithm)
    return kInvalidValue;
  played.compute_type = compute_type;
  const auto at = [](int op, int64_t row, int64_t col, int64_t ld) {
    return op == kCublasTranspose ? row * ld + col : col * ld + row;
  };
  const float by = *static_cast<const float*>(beta);
  for (int64_t col = 0; col < n; ++col)
    for (int64_t row = 0; row < m; ++row) {
      double sum = 0.0;
      for (int64_t i = 0; i < k; ++i)
        sum += double{value_of(a, type_a, at(op_a, row, i, lda))} *
               value_of(b, type_b, at(op_b, i, col, ldb));
      float& out = static_cast<float*>(c)[col * ldc + row];
      const float product = *static_cast<const float*>(alpha) * static_cast<float>(sum);
      out = by == 0.0F ? product : product + by * out;  // with 0, c is not read
    }
  return 0;
}

CublasLibrary played_library() {
  played = {};
  CublasLibrary library;
  library.create = [](void** handle) {
    if (played.create_status != 0) return played.create_status;
    ++played.handles;
    *handle = &played;
    return 0;
  };
  library.destroy = [](void*) {
    --played.handles;
    return 0;
  };
  library.version = [](void*, int* version) {
    *version = 130'102;
    return 0;
  };
  library.set_stream = [](void*, void* stream) {
    played.stream = stream;
    played.workspace = nullptr;
    return 0;
  };
  library.set_workspace = [](void*, void* workspace, size_t bytes) {
    played.workspace = workspace;
    played.workspace_bytes = bytes;
    return 0;
  };
  library.gemm = play_gemm;
  library.status_text = [](int status) { return status == 0 ? "fine" : "out of order"; };
  return library;
}

/// Matrices of a product, with more between the rows than they need.
struct Matrices {
  explicit Matrices(simt::GemmType type) {
    const auto fill = [&](std::vector<uint16_t>& halves, std::vector<float>& floats, size_t count) {
      for (size_t i = 0; i < count; ++i) {
        const float value = normal(rng);
        halves.push_back(type == simt::GemmType::kF16 ? f32_to_f16(value) : f32_to_bf16(value));
        floats.push_back(type == simt::GemmType::kTF32  ? value
                         : type == simt::GemmType::kF16 ? f16_to_f32(halves.back())
                                                        : bf16_to_f32(halves.back()));
      }
    };
    fill(weight_halves, weight, kOutputs * kWeightStride);
    fill(x_halves, x, kRows * kCols);
    out.assign(kRows * kOutStride, std::nanf(""));
    args = {.type = type,
            .weight_stride = kWeightStride,
            .out = out.data(),
            .out_stride = kOutStride,
            .rows = kRows,
            .outputs = kOutputs,
            .cols = kCols};
    const bool halves = type != simt::GemmType::kTF32;
    args.weight = halves ? static_cast<const void*>(weight_halves.data()) : weight.data();
    args.x = halves ? static_cast<const void*>(x_halves.data()) : x.data();
  }

  [[nodiscard]] double expected(size_t row, size_t output) const {
    double sum = 0.0;
    for (size_t i = 0; i < kCols; ++i)
      sum += double{weight[output * kWeightStride + i]} * x[row * kCols + i];
    return sum;
  }

  static constexpr int kRows = 5, kOutputs = 7, kCols = 12, kWeightStride = 16, kOutStride = 9;
  std::mt19937 rng{4};
  std::normal_distribution<float> distribution;
  float normal(std::mt19937& from) { return distribution(from); }
  std::vector<uint16_t> weight_halves, x_halves;
  std::vector<float> weight, x, out;
  simt::GemmArgs args;
};

}  // namespace

TEST_CASE("cuBLAS: rows here are columns there") {
  int stream = 0;
  alignas(256) char workspace[256];
  const CublasLibrary library = played_library();
  {
    auto gemm = CublasGemm::create(library, &stream, workspace, sizeof workspace);
    REQUIRE(gemm.has_value());
    CHECK((*gemm)->name() == "cuBLAS 13.1.2");
    CHECK(played.stream == &stream);
    CHECK(played.workspace == workspace);  // it outlives the stream that was set
    CHECK(played.workspace_bytes == sizeof workspace);
    for (const auto type : {simt::GemmType::kF16, simt::GemmType::kBF16, simt::GemmType::kTF32}) {
      Matrices m(type);
      (*gemm)->multiply({}, m.args);
      CHECK(played.compute_type ==
            (type == simt::GemmType::kTF32 ? kCublasComputeTF32 : kCublasComputeF32));
      m.args.accumulate = true;
      (*gemm)->multiply({}, m.args);
      for (size_t row = 0; row < Matrices::kRows; ++row)
        for (size_t o = 0; o < Matrices::kOutStride; ++o) {
          const float out = m.out[row * Matrices::kOutStride + o];
          if (o < Matrices::kOutputs) {
            CHECK(out == doctest::Approx(2.0 * m.expected(row, o)));
          } else {
            CHECK(std::isnan(out));
          }
        }
    }
  }
  CHECK(played.handles == 0);
}

TEST_CASE("cuBLAS: a handle that is not made is no GPU that fails") {
  const CublasLibrary library = played_library();
  played.create_status = 3;
  const auto gemm = CublasGemm::create(library, nullptr, nullptr, 0);
  REQUIRE_FALSE(gemm.has_value());
  CHECK(gemm.error().code == ErrorCode::kUnsupported);
  CHECK(gemm.error().message == "cublasCreate: out of order");
}

TEST_CASE("cuBLAS: a product that cannot be recorded ends the recording") {
  auto gemm = CublasGemm::create(played_library(), nullptr, nullptr, 0);
  REQUIRE(gemm.has_value());
  played.gemm_status = 15;
  int capture_error = 0;
  simt::OpContext op;
  op.capture_error = &capture_error;
  const Matrices m(simt::GemmType::kF16);
  (*gemm)->multiply(op, m.args);
  CHECK(capture_error != 0);
}

TEST_CASE("cuBLAS: the toolkit's own comes first") {
  CHECK(cublas_names(13) ==
        std::vector<std::string>{"libcublas.so.13", "libcublas.so.12", "libcublas.so.11"});
}

TEST_CASE("cuBLAS: what is missing is named") {
  const auto none = load_cublas({"libhearth-none.so.2", "libhearth-none.so.1"});
  REQUIRE_FALSE(none.has_value());
  CHECK(none.error().code == ErrorCode::kUnsupported);
  CHECK(none.error().message.find("libhearth-none.so.2") != std::string::npos);
  CHECK(none.error().message.find("libhearth-none.so.1") != std::string::npos);
  const auto another = load_cublas({"libhearth-none.so.2", "libc.so.6"});
  REQUIRE_FALSE(another.has_value());
  CHECK(another.error().message.find("cublasCreate_v2") != std::string::npos);
}

TEST_CASE("cuBLAS: where it is installed all functions are found") {
  const auto library = load_cublas(cublas_names(13));
  if (!library.has_value()) {
    MESSAGE("not tried: ", library.error().message);
    return;
  }
  CHECK(std::string(library->status_text(0)) != library->status_text(1));
}

}  // namespace hearth::kernels
