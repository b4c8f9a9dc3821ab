#include "kernels/cuda/runtime/cublas_library.h"

#include <dlfcn.h>

#if __has_include(<cublas_api.h>)
// Not needed, but where it is it must agree.
#include <cublas_api.h>
#endif

namespace hearth::kernels {
namespace {

#if __has_include(<cublas_api.h>)
static_assert(kCublasNoTranspose == int{CUBLAS_OP_N} && kCublasTranspose == int{CUBLAS_OP_T});
static_assert(kCublasF32 == int{CUDA_R_32F} && kCublasF16 == int{CUDA_R_16F} &&
              kCublasBF16 == int{CUDA_R_16BF});
static_assert(kCublasComputeF32 == int{CUBLAS_COMPUTE_32F} &&
              kCublasComputeTF32 == int{CUBLAS_COMPUTE_32F_FAST_TF32});
static_assert(kCublasDefaultAlgorithm == int{CUBLAS_GEMM_DEFAULT});
static_assert(CUBLAS_STATUS_SUCCESS == 0 && sizeof(cublasStatus_t) == sizeof(int));
#endif

/// Earlier ones have no products of TF32.
constexpr int kOldestMajor = 11;

std::string linker_error() {
  const char* const text = ::dlerror();
  return text == nullptr ? "no reason given" : text;
}

template <typename Function>
Status find(void* library, const char* name, Function& function) {
  void* const symbol = ::dlsym(library, name);
  if (symbol == nullptr)
    return fail(ErrorCode::kUnsupported, std::string("it has no ") + name + ": " + linker_error());
  function = reinterpret_cast<Function>(symbol);
  return {};
}

}  // namespace

std::vector<std::string> cublas_names(int toolkit_major) {
  std::vector<std::string> names;
  for (int major = toolkit_major; major >= kOldestMajor; --major)
    names.push_back("libcublas.so." + std::to_string(major));
  return names;
}

Result<CublasLibrary> load_cublas(const std::vector<std::string>& names) {
  void* found = nullptr;
  std::string why;
  for (const std::string& name : names) {
    found = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (found != nullptr) break;
    if (!why.empty()) why += "; ";
    why += linker_error();
  }
  if (found == nullptr) return fail(ErrorCode::kUnsupported, why);
  CublasLibrary out;
  HEARTH_RETURN_IF_ERROR(find(found, "cublasCreate_v2", out.create));
  HEARTH_RETURN_IF_ERROR(find(found, "cublasDestroy_v2", out.destroy));
  HEARTH_RETURN_IF_ERROR(find(found, "cublasGetVersion_v2", out.version));
  HEARTH_RETURN_IF_ERROR(find(found, "cublasSetStream_v2", out.set_stream));
  HEARTH_RETURN_IF_ERROR(find(found, "cublasSetWorkspace_v2", out.set_workspace));
  HEARTH_RETURN_IF_ERROR(find(found, "cublasGemmEx", out.gemm));
  HEARTH_RETURN_IF_ERROR(find(found, "cublasGetStatusString", out.status_text));
  return out;
}

}  // namespace hearth::kernels
