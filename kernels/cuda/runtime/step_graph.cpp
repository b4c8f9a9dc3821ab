#include "kernels/cuda/runtime/step_graph.h"

#include "base/log.h"

namespace hearth::kernels {
namespace {

using simt::check_cuda;

class StepGraph final : public StepRecord {
 public:
  StepGraph(cudaGraphExec_t graph, cudaStream_t stream) : graph_(graph), stream_(stream) {}
  StepGraph(const StepGraph&) = delete;
  StepGraph& operator=(const StepGraph&) = delete;
  ~StepGraph() override { check_cuda(cudaGraphExecDestroy(graph_), "cudaGraphExecDestroy"); }

  void replay() override { check_cuda(cudaGraphLaunch(graph_, stream_), "cudaGraphLaunch"); }

 private:
  cudaGraphExec_t graph_;
  cudaStream_t stream_;
};

/// One line: StepRecords does not try again.
std::unique_ptr<StepRecord> not_captured(const char* call, int error) {
  static_cast<void>(cudaGetLastError());  // or the next call would report it
  spdlog::warn("steps are launched kernel by kernel, without CUDA graphs: {}: {}", call,
               cudaGetErrorString(static_cast<cudaError_t>(error)));
  return nullptr;
}

}  // namespace

std::unique_ptr<StepRecord> capture_step(simt::OpContext& op, const std::function<void()>& ops) {
  auto* stream = static_cast<cudaStream_t>(op.stream);
  // Thread-local: other threads of the process may allocate meanwhile.
  if (const cudaError_t error = cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
      error != cudaSuccess)
    return not_captured("cudaStreamBeginCapture", error);
  int launch_error = cudaSuccess;
  op.capture_error = &launch_error;
  ops();
  op.capture_error = nullptr;
  cudaGraph_t graph = nullptr;
  const cudaError_t end_error = cudaStreamEndCapture(stream, &graph);
  if (launch_error != cudaSuccess || end_error != cudaSuccess) {
    if (graph != nullptr) check_cuda(cudaGraphDestroy(graph), "cudaGraphDestroy");
    return launch_error != cudaSuccess ? not_captured("a launch while recording", launch_error)
                                       : not_captured("cudaStreamEndCapture", end_error);
  }
  cudaGraphExec_t executable = nullptr;
  const cudaError_t made = cudaGraphInstantiate(&executable, graph, 0);
  check_cuda(cudaGraphDestroy(graph), "cudaGraphDestroy");
  if (made != cudaSuccess) return not_captured("cudaGraphInstantiate", made);
  return std::make_unique<StepGraph>(executable, stream);
}

}  // namespace hearth::kernels
