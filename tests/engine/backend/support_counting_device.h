#pragma once
// An emulated device that counts what crosses its border.

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <utility>

#include "kernels/cuda/emulator/emulated_device.h"

namespace hearth::testing {

/// Calls since they were set to zero. A step's input (begin_step) is not counted.
struct Crossings {
  int uploads = 0;
  int downloads = 0;
  int sends = 0;  // to this device
  int waits = 0;  // until all is done; download() is one
};

class CountingDevice final : public kernels::Device {
 public:
  /// `counts` must outlive it.
  CountingDevice(std::unique_ptr<kernels::Device> device, Crossings& counts)
      : device_(std::move(device)), counts_(counts) {}

  const kernels::DeviceInfo& info() const override { return device_->info(); }
  const kernels::KernelTable& table() const override { return device_->table(); }
  kernels::ExecContext context() override { return device_->context(); }
  Result<kernels::DeviceMemory> allocate(size_t bytes, const char* what) override {
    return device_->allocate(bytes, what);
  }
  void upload(void* to, const void* from, size_t bytes) override {
    ++counts_.uploads;
    ++counts_.waits;
    device_->upload(to, from, bytes);
  }
  void download(void* to, const void* from, size_t bytes) override {
    ++counts_.downloads;
    ++counts_.waits;
    device_->download(to, from, bytes);
  }
  void copy(void* to, const void* from, size_t bytes) override { device_->copy(to, from, bytes); }
  Status upload_all(std::span<const kernels::UploadPiece> pieces,
                    const kernels::UploadProgress& progress) override {
    return device_->upload_all(pieces, progress);
  }
  Result<kernels::SharedMemory> allocate_shared(size_t bytes, const char* what) override {
    return device_->allocate_shared(bytes, what);
  }
  Result<kernels::DeviceMemory> map_shared(const UniqueFd& handle, size_t bytes) override {
    return device_->map_shared(handle, bytes);
  }
  void protect_shared(const kernels::DeviceMemory& memory) override {
    device_->protect_shared(memory);
  }
  Result<std::unique_ptr<kernels::DeviceLink>> link_from(kernels::Device& source,
                                                         size_t bytes) override {
    HEARTH_ASSIGN_OR_RETURN(
        auto link, device_->link_from(*dynamic_cast<CountingDevice&>(source).device_, bytes));
    return std::make_unique<Link>(std::move(link), counts_);
  }
  Status reserve(size_t scratch_bytes, int64_t rows, int64_t logit_rows, int64_t pages) override {
    return device_->reserve(scratch_bytes, rows, logit_rows, pages);
  }
  Result<std::string> use_gemm_library() override { return device_->use_gemm_library(); }
  kernels::StepPointers begin_step(const kernels::StepInput& input) override {
    return device_->begin_step(input);
  }
  Result<kernels::PinnedMemory> allocate_pinned(size_t bytes, const char* what) override {
    return device_->allocate_pinned(bytes, what);
  }
  void enqueue_upload(void* to, const void* from, size_t bytes) override {
    ++counts_.uploads;
    device_->enqueue_upload(to, from, bytes);
  }
  void enqueue_download(void* to, const void* from, size_t bytes) override {
    ++counts_.downloads;
    device_->enqueue_download(to, from, bytes);
  }
  void wait_for_uploads() override { device_->wait_for_uploads(); }
  void wait() override {
    ++counts_.waits;
    device_->wait();
  }
  void run_recorded(int64_t kind, const std::function<void()>& ops) override {
    device_->run_recorded(kind, ops);
  }

 private:
  class Link final : public kernels::DeviceLink {
   public:
    Link(std::unique_ptr<kernels::DeviceLink> link, Crossings& counts)
        : link_(std::move(link)), counts_(counts) {}
    void send(void* to, const void* from, size_t bytes) override {
      ++counts_.sends;
      link_->send(to, from, bytes);
    }
    std::string way() const override { return link_->way(); }

   private:
    std::unique_ptr<kernels::DeviceLink> link_;
    Crossings& counts_;
  };

  // What allocate() gave is the wrapped device's.
  void release(void*, size_t) override { FAIL("the device below releases its memory"); }
  void release_pinned(void*) override { FAIL("the device below releases its memory"); }

  std::unique_ptr<kernels::Device> device_;
  Crossings& counts_;
};

}  // namespace hearth::testing
