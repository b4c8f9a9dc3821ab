#include "kernels/cuda/runtime/cublas_gemm.h"

#include <driver_types.h>

#include <cstdio>
#include <cstdlib>

#include "base/log.h"
#include "kernels/cuda/op_context.h"

namespace hearth::kernels {
namespace {

using simt::GemmArgs;
using simt::GemmType;

std::string text_of(const CublasLibrary& library, CublasLibrary::Status status, const char* call) {
  return std::string(call) + ": " + library.status_text(status);
}

int type_of(GemmType type) {
  if (type == GemmType::kTF32) return kCublasF32;
  return type == GemmType::kF16 ? kCublasF16 : kCublasBF16;
}

}  // namespace

Result<std::unique_ptr<CublasGemm>> CublasGemm::create(const CublasLibrary& library, void* stream,
                                                       void* workspace, size_t workspace_bytes) {
  CublasLibrary::Handle handle = nullptr;
  if (const auto status = library.create(&handle); status != 0)
    return fail(ErrorCode::kUnsupported, text_of(library, status, "cublasCreate"));
  std::unique_ptr<CublasGemm> gemm(new CublasGemm(library, handle));
  HEARTH_RETURN_IF_ERROR(gemm->start(stream, workspace, workspace_bytes));
  return gemm;
}

Status CublasGemm::start(void* stream, void* workspace, size_t workspace_bytes) {
  int version = 0;
  HEARTH_RETURN_IF_ERROR(check(library_.version(handle_, &version), "cublasGetVersion"));
  // In this order: with a stream the library goes back to a workspace of its own.
  HEARTH_RETURN_IF_ERROR(check(library_.set_stream(handle_, stream), "cublasSetStream"));
  HEARTH_RETURN_IF_ERROR(
      check(library_.set_workspace(handle_, workspace, workspace_bytes), "cublasSetWorkspace"));
  name_ = "cuBLAS " + std::to_string(version / 10'000) + "." + std::to_string(version / 100 % 100) +
          "." + std::to_string(version % 100);
  return {};
}

CublasGemm::~CublasGemm() {
  if (const auto status = library_.destroy(handle_); status != 0)
    spdlog::warn("{}", text_of(library_, status, "cublasDestroy"));
}

Status CublasGemm::check(CublasLibrary::Status status, const char* call) const {
  if (status == 0) return {};
  return fail(ErrorCode::kUnsupported, text_of(library_, status, call));
}

void CublasGemm::multiply(const simt::OpContext& op, const GemmArgs& args) {
  check_gemm(args);
  // To the library matrices lie by columns. So out is [outputs, rows] there, x is [cols, rows], and
  // the weights, [cols, outputs], are transposed.
  const float alpha = 1.0F;
  const float beta = args.accumulate ? 1.0F : 0.0F;
  const int type = type_of(args.type);
  const auto status = library_.gemm(
      handle_, kCublasTranspose, kCublasNoTranspose, args.outputs, args.rows, args.cols, &alpha,
      args.weight, type, static_cast<int>(args.weight_stride), args.x, type, args.cols, &beta,
      args.out, kCublasF32, static_cast<int>(args.out_stride),
      args.type == GemmType::kTF32 ? kCublasComputeTF32 : kCublasComputeF32,
      kCublasDefaultAlgorithm);
  if (status == 0) [[likely]]
    return;
  const std::string text = text_of(library_, status, "cublasGemmEx");
  if (op.capture_error != nullptr) {
    spdlog::warn("while a step was recorded: {}", text);
    if (*op.capture_error == cudaSuccess) *op.capture_error = cudaErrorStreamCaptureUnsupported;
    return;
  }
  std::fprintf(stderr, "hearth: CUDA fault: %s; this process ends\n", text.c_str());
  std::abort();
}

}  // namespace hearth::kernels
