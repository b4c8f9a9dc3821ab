#include "server/cli/gpu_choice.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "base/unique_fd.h"
#include "engine/backend/gpu.h"
#include "kernels/cuda/cuda_device.h"

namespace hearth {
namespace {

using Json = nlohmann::json;

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

/// What the probe found, as it comes through its pipe.
struct Probe {
  GpuCount machine;
  std::map<int32_t, Result<kernels::DeviceInfo>> gpus;
};

Json answer_of(int32_t index) {
  const auto info = kernels::cuda_device_info(index);
  if (!info.has_value()) return {{"index", index}, {"error", info.error().message}};
  return {{"index", index},
          {"name", info->name},
          {"capability", info->capability},
          {"multiprocessors", info->multiprocessors},
          {"total_bytes", info->total_bytes},
          {"free_bytes", info->free_bytes},
          {"context_bytes", info->context_bytes},
          {"why_not_shared", info->why_not_shared}};
}

Result<kernels::DeviceInfo> info_of(const Json& answer) {
  if (answer.contains("error")) return fail(ErrorCode::kUnsupported, answer.at("error"));
  return kernels::DeviceInfo{.name = answer.at("name"),
                             .index = answer.at("index"),
                             .capability = answer.at("capability"),
                             .multiprocessors = answer.at("multiprocessors"),
                             .total_bytes = answer.at("total_bytes"),
                             .free_bytes = answer.at("free_bytes"),
                             .context_bytes = answer.at("context_bytes"),
                             .uuid = {},
                             .why_not_shared = answer.at("why_not_shared")};
}

/// In the child.
[[noreturn]] void answer_probe(int fd, const DeviceList& devices) {
  const GpuCount machine = count_gpus();
  Json answer = {{"count", machine.count}, {"why_none", machine.why_none}, {"gpus", Json::array()}};
  for (int32_t index = 0; index < machine.count; ++index)
    if (devices.all || std::ranges::find(devices.indices, index) != devices.indices.end())
      answer["gpus"].push_back(answer_of(index));
  const std::string text = answer.dump(-1, ' ', false, Json::error_handler_t::replace);
  ::_exit(write_all(fd, text.data(), text.size()) ? 0 : 1);
}

std::unexpected<Error> cannot_probe() {
  return fail(ErrorCode::kIo, std::string("cannot ask for GPUs: ") + std::strerror(errno));
}

/// The GPUs as a short-lived process sees them.
Result<Probe> probe_gpus(const DeviceList& devices) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return cannot_probe();
  UniqueFd from(ends[0]);
  UniqueFd to(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return cannot_probe();
  if (child == 0) answer_probe(to.get(), devices);
  to = UniqueFd();
  const std::string text = read_all(from.get());
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  Probe probe;
  const Json answer = Json::parse(text, nullptr, false);
  if (answer.is_discarded()) {
    probe.machine.why_none = "no GPU can be used: the CUDA driver ended the process that asked it";
    return probe;
  }
  probe.machine = {.count = answer.at("count"), .why_none = answer.at("why_none")};
  for (const Json& gpu : answer.at("gpus"))
    probe.gpus.emplace(gpu.at("index").get<int32_t>(), info_of(gpu));
  return probe;
}

/// Why the workers do not share the weights: all GPUs must let them. Empty: they do.
std::string why_not_shared(const std::vector<kernels::DeviceInfo>& infos) {
  for (const kernels::DeviceInfo& info : infos)
    if (!info.why_not_shared.empty()) return info.name + ": " + info.why_not_shared;
  return {};
}

/// What all workers are told: numbers that leave nothing to decide.
void settle(EngineOptions& engine, const MemoryPlan& plan, int32_t sharers) {
  engine.gpu_layers = {GpuLayers::Kind::kCount, plan.device_layers()};
  engine.devices = {};
  engine.split = {};
  engine.gpu_budget_bytes.clear();
  engine.gpu_sharers = plan.devices.empty() ? 0 : sharers;
  if (plan.devices.empty()) {
    engine.fast_math_order = false;
    return;
  }
  engine.devices.indices.clear();
  for (const DevicePlan& device : plan.devices) {
    engine.devices.indices.push_back(device.index);
    engine.split.parts.push_back(device.layers.num_layers);
    engine.gpu_budget_bytes.push_back(device.budget_bytes);
  }
}

}  // namespace

Status choose_gpu_layers(std::vector<WorkerOptions>& workers) {
  EngineOptions planned = workers.front().engine;
  if (planned.gpu_layers == GpuLayers{GpuLayers::Kind::kCount, 0}) {
    if (planned.devices != DeviceList() || planned.split != GpuSplit() || !planned.kv_offload ||
        planned.fast_math_order)
      spdlog::warn(
          "--gpu-layers is 0: --device, --split, --no-kv-offload and --fast-math-order change "
          "nothing");
    for (WorkerOptions& worker : workers) worker.engine.fast_math_order = false;
    return {};
  }
  HEARTH_ASSIGN_OR_RETURN(const Probe probe, probe_gpus(planned.devices));
  HEARTH_ASSIGN_OR_RETURN(const auto infos, gather_gpus(planned, probe.machine, [&](int32_t index) {
                            return probe.gpus.at(index);
                          }));
  // For all workers together where they share the weights, else in equal parts.
  const std::string why_copies = why_not_shared(infos);
  const bool shared = why_copies.empty();
  const int32_t sharers = shared ? static_cast<int32_t>(workers.size()) : 0;
  for (const kernels::DeviceInfo& info : infos)
    planned.gpu_budget_bytes.push_back(usable_bytes(info) / (shared ? 1 : workers.size()));
  HEARTH_ASSIGN_OR_RETURN(const auto model, Model::load(planned.model));
  const auto offer = make_offer(infos, planned.gpu_budget_bytes, sharers, *model);
  HEARTH_ASSIGN_OR_RETURN(const MemoryPlan plan,
                          make_memory_plan(planned, model->config(), model->file().mapped_bytes(),
                                           offer ? &*offer : nullptr));
  if (offer && plan.devices.empty())
    spdlog::info("all layers on the CPU: not one fits {}", offer->devices.front().name);
  if (plan.devices.empty() && planned.fast_math_order)
    spdlog::warn("no layers on a GPU: --fast-math-order changes nothing");
  if (!plan.devices.empty() && !shared)
    spdlog::warn("each worker has a copy of its own of the weights on {}", why_copies);
  for (WorkerOptions& worker : workers) settle(worker.engine, plan, sharers);
  return {};
}

}  // namespace hearth
