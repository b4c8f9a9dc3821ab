#pragma once
// cuBLAS, loaded when it is asked for: the program starts, and builds, without it.

#include <cstddef>
#include <string>
#include <vector>

#include "base/result.h"

namespace hearth::kernels {

/// The functions that are called, as cublas_v2.h has them; its enumerations are ints here.
struct CublasLibrary {
  using Status = int;  // 0: success
  using Handle = void*;

  Status (*create)(Handle* handle) = nullptr;
  Status (*destroy)(Handle handle) = nullptr;
  Status (*version)(Handle handle, int* version) = nullptr;  // 10000 major + 100 minor + patch
  Status (*set_stream)(Handle handle, void* stream) = nullptr;
  Status (*set_workspace)(Handle handle, void* workspace, size_t bytes) = nullptr;
  /// c = alpha a b + beta c of matrices by columns, ld… values from column to column.
  Status (*gemm)(Handle handle, int op_a, int op_b, int m, int n, int k, const void* alpha,
                 const void* a, int type_a, int lda, const void* b, int type_b, int ldb,
                 const void* beta, void* c, int type_c, int ldc, int compute_type,
                 int algorithm) = nullptr;
  const char* (*status_text)(Status status) = nullptr;
};

/// Values of those enumerations.
enum CublasValue : int {
  kCublasNoTranspose = 0,
  kCublasTranspose = 1,
  kCublasF32 = 0,
  kCublasF16 = 2,
  kCublasBF16 = 14,
  kCublasComputeF32 = 68,
  kCublasComputeTF32 = 77,
  kCublasDefaultAlgorithm = -1,
};

/// File names to try, best first, for a program that was built with this major version of the
/// toolkit: the library's, then older ones, which have the functions too.
std::vector<std::string> cublas_names(int toolkit_major);

/// The first of `names` that the dynamic linker finds; it stays loaded. kUnsupported with the
/// linker's reason where there is none, or with the function that one lacks.
Result<CublasLibrary> load_cublas(const std::vector<std::string>& names);

}  // namespace hearth::kernels
