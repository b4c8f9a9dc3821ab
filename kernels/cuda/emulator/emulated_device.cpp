#include "kernels/cuda/emulator/emulated_device.h"

#include <cstdlib>
#include <cstring>
#include <new>
#include <optional>

#include "kernels/cuda/simt.h"
//
#include "kernels/cuda/ops.h"
#include "kernels/cuda/step_staging.h"

namespace hearth::kernels {
namespace {

constexpr size_t kAlignment = 256;
constexpr int kGarbage = 0xCB;

class EmulatedDevice final : public Device {
 public:
  EmulatedDevice(size_t shared_bytes_per_cta, uint64_t free_bytes) {
    info_ = {.name = "emulated",
             .index = 0,
             .capability = 80,
             .multiprocessors = 4,
             .total_bytes = free_bytes,
             .free_bytes = free_bytes};
    op_.multiprocessors = info_.multiprocessors;
    op_.capability = info_.capability;
    op_.shared_bytes_per_cta = shared_bytes_per_cta;
  }

  const DeviceInfo& info() const override { return info_; }
  const KernelTable& table() const override { return emulated::kernel_table(); }
  ExecContext context() override { return {.stream = &op_}; }

  Result<DeviceMemory> allocate(size_t bytes, const char* what) override {
    if (bytes > info_.free_bytes) {
      return fail(ErrorCode::kResourceExhausted, std::string("the emulated device has no ") +
                                                     std::to_string(bytes) + " bytes left for " +
                                                     what);
    }
    info_.free_bytes -= bytes;
    // Reads in whole 16 bytes may go so far beyond the end: devices hand out memory in such units.
    const size_t padded = (bytes + 15) / 16 * 16;
    void* data = ::operator new (padded, std::align_val_t{kAlignment});
    std::memset(data, kGarbage, padded);
    return DeviceMemory(*this, data, bytes);
  }
  void upload(void* to, const void* from, size_t bytes) override { std::memcpy(to, from, bytes); }
  void download(void* to, const void* from, size_t bytes) override { std::memcpy(to, from, bytes); }
  void copy(void* to, const void* from, size_t bytes) override { std::memmove(to, from, bytes); }

  Status reserve(size_t scratch_bytes, int64_t rows, int64_t logit_rows, int64_t pages) override {
    HEARTH_ASSIGN_OR_RETURN(scratch_, allocate(scratch_bytes, "scratch"));
    staging_ = StepStaging(rows, logit_rows, pages);
    HEARTH_ASSIGN_OR_RETURN(step_, allocate(staging_.capacity_bytes(), "steps"));
    op_.scratch = scratch_->data();
    op_.scratch_bytes = scratch_bytes;
    return {};
  }
  StepPointers begin_step(const StepInput& input) override {
    staging_.fill(input);
    upload(step_->data(), staging_.bytes().data(), staging_.bytes().size());
    op_.step = staging_.tables(step_->data());
    return staging_.pointers(step_->data());
  }

 private:
  void release(void* data, size_t bytes) override {
    info_.free_bytes += bytes;
    ::operator delete (data, std::align_val_t{kAlignment});
  }

  DeviceInfo info_;
  simt::OpContext op_;
  std::optional<DeviceMemory> scratch_;
  std::optional<DeviceMemory> step_;
  StepStaging staging_;
};

}  // namespace

std::unique_ptr<Device> make_emulated_device(size_t shared_bytes_per_cta, uint64_t free_bytes) {
  return std::make_unique<EmulatedDevice>(shared_bytes_per_cta, free_bytes);
}

}  // namespace hearth::kernels
