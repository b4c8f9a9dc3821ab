#pragma once
// simt::Gemm by cuBLAS.

#include <cstddef>
#include <memory>
#include <string>

#include "base/result.h"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/runtime/cublas_library.h"

namespace hearth::kernels {

/// Owns a handle of the library. A product may be recorded as part of a CUDA graph: the workspace
/// is the caller's, so that nothing is allocated, and before a step is recorded one of its size
/// has run, by which the library has loaded the kernels that it takes for it.
class CublasGemm final : public simt::Gemm {
 public:
  /// For the thread's current GPU and a stream of it. `workspace` is device memory, aligned to 256
  /// bytes, that the stream's products share; it and the stream must outlive this. kUnsupported,
  /// with the library's reason, if it does not start.
  static Result<std::unique_ptr<CublasGemm>> create(const CublasLibrary& library, void* stream,
                                                    void* workspace, size_t workspace_bytes);
  ~CublasGemm() override;

  /// "cuBLAS 13.1.0"
  [[nodiscard]] const std::string& name() const { return name_; }

  /// A failure ends the process with a line, as simt::check_cuda(); while a step is recorded it
  /// ends the recording, with a line.
  void multiply(const simt::OpContext& op, const simt::GemmArgs& args) override;

 private:
  CublasGemm(const CublasLibrary& library, CublasLibrary::Handle handle)
      : library_(library), handle_(handle) {}
  Status start(void* stream, void* workspace, size_t workspace_bytes);
  [[nodiscard]] Status check(CublasLibrary::Status status, const char* call) const;

  CublasLibrary library_;
  CublasLibrary::Handle handle_;
  std::string name_;
};

}  // namespace hearth::kernels
