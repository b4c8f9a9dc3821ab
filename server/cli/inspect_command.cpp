// hearth inspect: what a model file holds, what of it is in the page cache, and what serving it
// would take.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/utf8.h"
#include "engine/backend/gpu.h"
#include "engine/engine.h"
#include "engine/gguf/residency.h"
#include "engine/model/architecture.h"
#include "kernels/cuda/cuda_device.h"
#include "server/cli/commands.h"
#include "server/cli/engine_flags.h"
#include "server/cli/inspect_report.h"

namespace hearth {
namespace {

using Json = nlohmann::ordered_json;

struct InspectArguments {
  std::string file;
  bool tensors = false;
  bool residency = false;
  bool plan = false;
  bool json = false;
  int64_t memory_limit_mb = 0;
  std::vector<int64_t> vram_mb;  // of each GPU
  int32_t workers = 1;
  EngineOptions engine;
};

void declare(CLI::App& app, InspectArguments& arguments) {
  app.add_option("FILE", arguments.file, "model file, or the folder of a safetensors model")
      ->required();
  app.add_flag("--tensors", arguments.tensors, "a line for each tensor");
  app.add_flag("--residency", arguments.residency, "which pages are in the page cache");
  app.add_flag("--plan", arguments.plan,
               "the memory that one worker would need; exit status 1 if it does not fit");
  app.add_option("-c,--ctx", arguments.engine.context_tokens, "context per request; 0: the model's")
      ->check(CLI::Range(0, 1 << 26));
  app.add_option("--parallel", arguments.engine.parallel, "sequences at once; 0: 16 if they fit")
      ->check(CLI::Range(0, 4096));
  app.add_option(
         "--vram-mb", arguments.vram_mb,
         "plan for GPUs with so many MiB free, as 24000,24000, instead of this machine's; 0: "
         "its own")
      ->delimiter(',')
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 30));
  app.add_option("--step-tokens", arguments.engine.step_tokens, "most tokens of one step")
      ->check(CLI::Range(1, 65'536))
      ->capture_default_str();
  app.add_option("--workers", arguments.workers,
                 "plan for so many workers, which share the weights on a GPU")
      ->check(CLI::Range(1, 64));
  app.add_option("--memory-limit-mb", arguments.memory_limit_mb,
                 "memory that the plan may use, in MiB; 0: what there is")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 30));
  app.add_flag("--json", arguments.json, "all of it as JSON");
  arguments.engine.gpu_layers = {GpuLayers::Kind::kAuto, 0};
  add_engine_flags(app, arguments.engine);
  app.get_option("--vram-mb")->excludes("--device");
}

/// GPUs as --vram-mb says they are.
std::vector<kernels::DeviceInfo> told_gpus(const std::vector<int64_t>& vram_mb) {
  std::vector<kernels::DeviceInfo> infos;
  for (const int64_t mib : vram_mb) {
    const auto bytes = static_cast<uint64_t>(mib) << 20;
    const uint64_t context = std::min(bytes, kernels::kCudaContextBytes);
    infos.push_back({.name = "a GPU of --vram-mb",
                     .index = static_cast<int32_t>(infos.size()),
                     .total_bytes = bytes,
                     .free_bytes = bytes - context,
                     .context_bytes = context});
  }
  return infos;
}

/// The GPUs of --vram-mb, or of this machine, if the plan asks for any.
Result<std::optional<GpuOffer>> offer_of(const ModelFile& file, const InspectArguments& arguments) {
  EngineOptions options = arguments.engine;
  const bool told = std::ranges::any_of(arguments.vram_mb, [](int64_t mib) { return mib > 0; });
  const auto infos_told = told_gpus(told ? arguments.vram_mb : std::vector<int64_t>());
  GpuCount machine{.count = static_cast<int32_t>(infos_told.size()), .why_none = {}};
  if (told) {
    options.devices.all = true;
  } else {
    machine = count_gpus();
  }
  HEARTH_ASSIGN_OR_RETURN(
      const auto infos,
      gather_gpus(options, machine, [&](int32_t index) -> Result<kernels::DeviceInfo> {
        if (told) return infos_told[static_cast<size_t>(index)];
        return kernels::cuda_device_info(index);
      }));
  if (infos.empty()) return std::nullopt;
  HEARTH_ASSIGN_OR_RETURN(const auto model, Model::load(file.path()));
  const bool shared = std::ranges::all_of(
      infos, [](const kernels::DeviceInfo& info) { return info.why_not_shared.empty(); });
  if (shared) return make_offer(infos, {}, arguments.workers, *model);
  std::vector<uint64_t> budgets;
  for (const kernels::DeviceInfo& info : infos)
    budgets.push_back(usable_bytes(info) / static_cast<uint64_t>(arguments.workers));
  return make_offer(infos, budgets, 0, *model);
}

Result<MemoryPlan> plan_of(const ModelFile& file, const InspectArguments& arguments) {
  EngineOptions options = arguments.engine;
  options.memory_limit_bytes = static_cast<uint64_t>(arguments.memory_limit_mb) << 20;
  HEARTH_ASSIGN_OR_RETURN(const std::optional<GpuOffer> gpu, offer_of(file, arguments));
  HEARTH_ASSIGN_OR_RETURN(const ModelConfig config, read_model_config(file));
  return size_memory_plan(options, config, file.mapped_bytes(), gpu ? &*gpu : nullptr);
}

/// Entries by key: the table itself has no order.
std::vector<std::pair<std::string_view, const MetaValue*>> sorted_entries(
    const Metadata& metadata) {
  std::vector<std::pair<std::string_view, const MetaValue*>> out;
  for (const auto& [key, value] : metadata.entries()) out.emplace_back(key, &value);
  std::ranges::sort(out, {}, &std::pair<std::string_view, const MetaValue*>::first);
  return out;
}

double percent(uint64_t part, uint64_t whole) {
  return whole == 0 ? 100.0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

void print_sum(const std::string& name, const TensorSum& sum, bool residency) {
  std::printf("  %-12s %6llu tensors  %10s", name.c_str(),
              static_cast<unsigned long long>(sum.tensors), readable_bytes(sum.bytes).c_str());
  if (residency) std::printf("  %5.1f %% in the page cache", percent(sum.resident, sum.bytes));
  std::printf("\n");
}

void print_overview(const ModelFile& file, const InspectReport& report) {
  std::printf("%s\n", file.path().filename().c_str());
  std::printf("  format       %s%s\n", file.format().c_str(),
              file.version() > 0 ? (" " + std::to_string(file.version())).c_str() : "");
  std::printf("  size         %llu bytes (%s) in %zu file%s\n",
              static_cast<unsigned long long>(file.mapped_bytes()),
              readable_bytes(file.mapped_bytes()).c_str(), file.mappings().size(),
              file.mappings().size() == 1 ? "" : "s");
  std::printf("  parameters   %llu\n", static_cast<unsigned long long>(report.parameters));
  for (const auto& [type, sum] : report.types) print_sum(type, sum, report.has_residency);
  std::printf("\nmetadata\n");
  for (const auto& [key, value] : sorted_entries(file.metadata()))
    std::printf("  %-44s %s\n", std::string(key).c_str(), readable_value(*value).c_str());
}

void print_tensors(const ModelFile& file, const InspectReport& report) {
  std::printf("\ntensors\n");
  for (size_t i = 0; i < file.tensors().size(); ++i) {
    const TensorInfo& tensor = file.tensors()[i];
    std::printf("  %-36s %-8s %-22s %12llu bytes", std::string(tensor.name).c_str(),
                std::string(dtype_info(tensor.dtype).name).c_str(), readable_shape(tensor).c_str(),
                static_cast<unsigned long long>(tensor.bytes));
    if (report.has_residency) std::printf("  %5.1f %%", percent(report.resident[i], tensor.bytes));
    std::printf("\n");
  }
}

void print_residency(const ModelFile& file, const InspectReport& report) {
  std::printf("\nin the page cache: %llu of %llu bytes (%.1f %%)\n",
              static_cast<unsigned long long>(report.file_resident),
              static_cast<unsigned long long>(file.mapped_bytes()),
              percent(report.file_resident, file.mapped_bytes()));
  for (const auto& [name, sum] : report.layers) print_sum(name, sum, true);
}

void print_plan(const MemoryPlan& plan) {
  const auto line = [](const char* what, uint64_t bytes) {
    std::printf("  %-34s %16llu bytes  %10s\n", what, static_cast<unsigned long long>(bytes),
                readable_bytes(bytes).c_str());
  };
  std::printf("\nmemory plan of one worker: %d sequences of %d tokens, KV cache in %s\n",
              plan.parallel, plan.context_tokens,
              std::string(dtype_info(plan.kv_type).name).c_str());
  std::printf("cpu\n");
  line("weights, mapped and shared", plan.weights_bytes);
  line("KV cache, touched as it fills", plan.kv_bytes);
  line("activations", plan.activation_bytes);
  line("available", plan.available_bytes);
  line("  of it for KV cache and activations", plan.own_budget());
  if (plan.kv_on_host)
    std::printf("  the KV cache of all layers is here, and attention on the CPU\n");
  for (const DevicePlan& device : plan.devices) {
    std::printf("GPU %d, %s: layers %d to %d of %d%s\n", device.index, device.name.c_str(),
                device.layers.first_layer, device.layers.end() - 1, plan.num_layers,
                device.layers.has_output ? ", and the output" : "");
    line("weights, once for all workers", device.weights_bytes);
    line("KV cache of a worker", device.kv_bytes);
    line("activations and scratch of a worker", device.activation_bytes);
    line("context of a worker", device.context_bytes);
    std::printf("  %d %s:\n", device.workers, device.workers == 1 ? "worker" : "workers");
    line("together", device.bytes());
    line("  of what they may use", device.budget_bytes);
  }
  for (const std::string& name : plan.unused) std::printf("%s: no layers\n", name.c_str());
  if (!plan.devices.empty() || !plan.unused.empty())
    std::printf("the most layers that fit on GPUs: %d\n", plan.most_device_layers);
}

Json value_json(const MetaValue& value) {
  if (const auto* text = std::get_if<std::string_view>(&value)) return sanitize_utf8(*text);
  if (std::holds_alternative<MetaArray>(value)) return readable_value(value);
  return std::visit(
      [](const auto& scalar) -> Json {
        if constexpr (std::is_arithmetic_v<std::decay_t<decltype(scalar)>>) return scalar;
        return nullptr;
      },
      value);
}

Json sum_json(const TensorSum& sum, bool residency) {
  Json out = {{"tensors", sum.tensors}, {"bytes", sum.bytes}};
  if (residency) out["resident_bytes"] = sum.resident;
  return out;
}

Json plan_json(const MemoryPlan& plan) {
  Json devices = Json::array({{{"device", "cpu"},
                               {"weights_bytes", plan.weights_bytes},
                               {"kv_bytes", plan.kv_bytes},
                               {"activation_bytes", plan.activation_bytes},
                               {"budget_bytes", plan.own_budget()},
                               {"available_bytes", plan.available_bytes}}});
  for (const DevicePlan& device : plan.devices)
    devices.push_back({{"device", device.name},
                       {"index", device.index},
                       {"first_layer", device.layers.first_layer},
                       {"layers", device.layers.num_layers},
                       {"has_output", device.layers.has_output},
                       {"largest_layers", plan.most_device_layers},
                       {"workers", device.workers},
                       {"weights_bytes", device.weights_bytes},
                       {"kv_bytes", device.kv_bytes},
                       {"activation_bytes", device.activation_bytes},
                       {"context_bytes", device.context_bytes},
                       {"together_bytes", device.bytes()},
                       {"budget_bytes", device.budget_bytes},
                       {"available_bytes", device.total_bytes}});
  return {{"fits", plan.fits()},
          {"context_tokens", plan.context_tokens},
          {"parallel", plan.parallel},
          {"kv_type", dtype_info(plan.kv_type).name},
          {"kv_pages", plan.kv_pages},
          {"kv_on_host", plan.kv_on_host},
          {"page_tokens", plan.page_tokens},
          {"largest_context_tokens", plan.largest_context()},
          {"devices", std::move(devices)}};
}

Json report_json(const ModelFile& file, const InspectReport& report,
                 const InspectArguments& arguments) {
  Json out = {{"file", sanitize_utf8(file.path().filename().string())},
              {"format", file.format()},
              {"version", file.version()},
              {"bytes", file.mapped_bytes()},
              {"files", file.mappings().size()},
              {"parameters", report.parameters}};
  for (const auto& [key, value] : sorted_entries(file.metadata()))
    out["metadata"][std::string(key)] = value_json(*value);
  for (const auto& [type, sum] : report.types)
    out["types"][type] = sum_json(sum, report.has_residency);
  for (const auto& [name, sum] : report.layers)
    out["layers"][name] = sum_json(sum, report.has_residency);
  if (report.has_residency) out["resident_bytes"] = report.file_resident;
  for (size_t i = 0; arguments.tensors && i < file.tensors().size(); ++i) {
    const TensorInfo& tensor = file.tensors()[i];
    Json entry = {
        {"name", sanitize_utf8(tensor.name)},
        {"type", dtype_info(tensor.dtype).name},
        {"shape", std::vector<int64_t>(tensor.dims.begin(), tensor.dims.begin() + tensor.num_dims)},
        {"bytes", tensor.bytes}};
    if (report.has_residency) entry["resident_bytes"] = report.resident[i];
    out["tensors"].push_back(std::move(entry));
  }
  return out;
}

/// The exit status: 1 where the plan does not fit.
Result<int> inspect(const InspectArguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const auto file, ModelFile::open(arguments.file));
  if (arguments.residency) HEARTH_RETURN_IF_ERROR(check_residency_is_told(file->path()));
  HEARTH_ASSIGN_OR_RETURN(const InspectReport report,
                          make_inspect_report(*file, arguments.residency));
  std::optional<MemoryPlan> plan;
  if (arguments.plan) {
    HEARTH_ASSIGN_OR_RETURN(plan, plan_of(*file, arguments));
  }
  if (arguments.json) {
    Json out = report_json(*file, report, arguments);
    if (plan) out["plan"] = plan_json(*plan);
    std::puts(out.dump(2).c_str());
  } else {
    print_overview(*file, report);
    if (arguments.tensors) print_tensors(*file, report);
    if (arguments.residency) print_residency(*file, report);
    if (plan) print_plan(*plan);
  }
  if (!plan || plan->fits()) return 0;
  return std::unexpected(plan->shortfall());
}

}  // namespace

int inspect_command(int argc, char** argv) {
  CLI::App app{"Shows what a model file holds and what serving it would take.", "hearth inspect"};
  InspectArguments arguments;
  declare(app, arguments);
  try {
    spell_out(argc, argv);
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const auto status = inspect(arguments);
  return status.has_value() ? *status : report_failure(status.error());
}

}  // namespace hearth
