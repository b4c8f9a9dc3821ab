#pragma once
// What a CUDA op finds behind ExecContext::stream. C++20: CUDA code includes this header.

#include <cstddef>
#include <cstdint>

#include "kernels/kernel_table.h"

namespace hearth::kernels::simt {

/// How many ctas a launch has, or which of them a thread is in.
struct Ctas {
  int x = 1;
  int y = 1;
  int z = 1;
};

/// A row of a step's batch as kernels see it.
struct RowPlace {
  int32_t position = 0;    // in its sequence
  int32_t first_page = 0;  // index into StepTables::pages of its sequence's page 0
};

/// What all layers of a step share, in device memory. Made by Device::begin_step().
///
/// A recorded step is replayed for others of its shape: the grids of an op, its shared and scratch
/// memory, and its choice between kernels may depend on `rows`, on `longest` and on constants of
/// the model, and on nothing else. `longest` is then a bound, the same for a class of lengths; what
/// a row really sees is in its RowPlace, which kernels read. That is no danger to equal bits, since
/// a row's bits never depend on grids or on the rows beside it: recorded or not, and whatever the
/// class, they are the same.
struct StepTables {
  const SequenceRows* sequences = nullptr;  // the host's array that this was made of
  int32_t num_sequences = 0;
  int32_t rows = 0;
  int32_t longest = 0;  // at least the tokens of the longest sequence, this step's rows included
  const RowPlace* row = nullptr;   // device: [rows]
  const int32_t* pages = nullptr;  // device: the sequences' page tables, one after the other
};

/// Devices that a process can tell apart.
inline constexpr int32_t kMaxDevices = 64;

class Gemm;  // kernels/cuda/gemm.h

/// One device and the stream that orders its ops. Owned by the backend.
struct OpContext {
  void* stream = nullptr;           // a cudaStream_t
  int32_t device = 0;               // its index, below kMaxDevices
  int32_t multiprocessors = 1;      // of the device
  int32_t capability = 80;          // 10 * major + minor
  bool has_group_products = false;  // kernels/cuda/warpgroup.h: the device's, and of its code
  bool begins_early = false;        // a kernel begins while the one before it ends (simt.h)
  size_t shared_bytes_per_cta = 0;  // the most that a launch may ask for
  void* scratch = nullptr;          // device memory for ops that work in two launches
  size_t scratch_bytes = 0;
  Gemm* gemm = nullptr;  // takes matmuls of many rows (--fast-math-order); null: our kernels do
  StepTables step;
  int* capture_error = nullptr;  // while a step is recorded: takes its first error (a cudaError_t)
};

/// Shared memory that every device gives without being asked.
inline constexpr size_t kSharedBytesUnasked = 48 * 1024;

inline const OpContext& op_context(const ExecContext& context) {
  return *static_cast<const OpContext*>(context.stream);
}

/// Ends the process, with a line that names the call and the error, if `error` (a cudaError_t) is
/// not success: the gateway replaces the worker and replays its requests.
void check_cuda(int error, const char* call);

/// Ends the process if the launch is none that a device takes.
void check_launch(const OpContext& context, Ctas ctas, size_t shared_bytes);

}  // namespace hearth::kernels::simt
