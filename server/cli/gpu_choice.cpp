#include "server/cli/gpu_choice.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "base/unique_fd.h"
#include "engine/backend/gpu.h"
#include "kernels/cuda/cuda_device.h"

namespace hearth {
namespace {

/// What the probe writes to its pipe: these numbers, then the GPU's name or the reason why there is
/// none, and, of a GPU whose memory processes cannot share, a line end and the reason.
struct ProbeAnswer {
  bool usable = false;
  int32_t capability = 0;
  int32_t multiprocessors = 0;
  uint64_t total_bytes = 0;
  uint64_t free_bytes = 0;
};

bool write_all(int fd, const void* data, size_t bytes) {
  const auto* at = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = ::write(fd, at, bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    at += written;
    bytes -= static_cast<size_t>(written);
  }
  return true;
}

std::string read_all(int fd) {
  std::string out;
  char piece[512];
  while (true) {
    const ssize_t got = ::read(fd, piece, sizeof(piece));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return out;
    out.append(piece, static_cast<size_t>(got));
  }
}

/// In the child.
[[noreturn]] void answer_probe(int fd) {
  const auto info = kernels::cuda_device_info(0);
  ProbeAnswer answer;
  std::string text;
  if (info.has_value()) {
    answer = {true, info->capability, info->multiprocessors, info->total_bytes, info->free_bytes};
    text = info->name;
    if (!info->why_not_shared.empty()) text += "\n" + info->why_not_shared;
  } else {
    text = info.error().message;
  }
  const bool written =
      write_all(fd, &answer, sizeof(answer)) && write_all(fd, text.data(), text.size());
  ::_exit(written ? 0 : 1);
}

/// What the workers may use: nine tenths of what is free, together where they share the weights,
/// else in equal parts.
uint64_t budget_of(uint64_t free_bytes, size_t num_workers, bool shared) {
  return free_bytes / 10 * 9 / (shared ? 1 : num_workers);
}

}  // namespace

Result<kernels::DeviceInfo> probe_gpu() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0)
    return fail(ErrorCode::kIo, std::string("cannot probe the GPU: ") + std::strerror(errno));
  UniqueFd from(ends[0]);
  UniqueFd to(ends[1]);
  const pid_t child = ::fork();
  if (child < 0)
    return fail(ErrorCode::kIo, std::string("cannot probe the GPU: ") + std::strerror(errno));
  if (child == 0) answer_probe(to.get());
  to = UniqueFd();
  const std::string answer = read_all(from.get());
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  ProbeAnswer numbers;
  if (answer.size() < sizeof(numbers))
    return fail(ErrorCode::kUnsupported,
                "no GPU can be used: the CUDA driver ended the process that asked it");
  std::memcpy(&numbers, answer.data(), sizeof(numbers));
  std::string text = answer.substr(sizeof(numbers));
  if (!numbers.usable) return fail(ErrorCode::kUnsupported, std::move(text));
  const size_t name_end = std::min(text.find('\n'), text.size());
  return kernels::DeviceInfo{.name = text.substr(0, name_end),
                             .index = 0,
                             .capability = numbers.capability,
                             .multiprocessors = numbers.multiprocessors,
                             .total_bytes = numbers.total_bytes,
                             .free_bytes = numbers.free_bytes,
                             .uuid = {},
                             .why_not_shared = text.substr(std::min(name_end + 1, text.size()))};
}

Status choose_gpu_layers(const GpuLayers& layers, std::vector<WorkerOptions>& workers) {
  if (layers == GpuLayers{GpuLayers::Kind::kCount, 0}) return {};
  const auto info = probe_gpu();
  if (!info.has_value()) {
    if (layers.demanded()) return std::unexpected(no_gpu_error(layers, info.error().message));
    spdlog::info("all layers on the CPU: {}", info.error().message);
    return {};
  }
  EngineOptions planned = workers.front().engine;
  planned.gpu_layers = layers;
  HEARTH_ASSIGN_OR_RETURN(const auto model, Model::load(planned.model));
  const bool shared = info->why_not_shared.empty();
  const int32_t sharers = shared ? static_cast<int32_t>(workers.size()) : 0;
  const uint64_t budget = budget_of(info->free_bytes, workers.size(), shared);
  const GpuOffer offer = make_offer(*info, budget, sharers, *model);
  HEARTH_ASSIGN_OR_RETURN(
      const MemoryPlan plan,
      make_memory_plan(planned, model->config(), model->file().mapped_bytes(), &offer));
  if (!plan.device) spdlog::info("all layers on the CPU: not one fits {}", info->name);
  if (plan.device && !shared)
    spdlog::warn("each worker has a copy of its own of the weights on {}: {}", info->name,
                 info->why_not_shared);
  for (WorkerOptions& worker : workers) {
    worker.engine.gpu_layers = {GpuLayers::Kind::kCount, plan.device ? plan.device->layers : 0};
    worker.engine.gpu_budget_bytes = budget;
    worker.engine.gpu_sharers = plan.device ? sharers : 0;
  }
  return {};
}

}  // namespace hearth
