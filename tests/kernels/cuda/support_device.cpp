#include "tests/kernels/cuda/support_device.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "kernels/cuda/cuda_device.h"
#include "kernels/cuda/emulator/emulated_device.h"
#include "kernels/cuda/half_layout.h"

namespace hearth::kernels::testing {
namespace {

constexpr size_t kScratchBytes = size_t{8} << 20;
constexpr int64_t kMostRows = 2048;
constexpr int64_t kMostPages = 1 << 16;

Device* current = nullptr;

std::unique_ptr<Device> prepared(std::unique_ptr<Device> device) {
  HEARTH_CHECK(device->reserve(kScratchBytes, kMostRows, kMostRows, kMostPages).has_value(),
               "the device has memory for tests");
  return device;
}

enum class Way { kIn, kInOut };

/// A copy of host memory on the device, which goes back when it ends if it is an output.
template <typename T>
class OnDevice {
 public:
  OnDevice(const T* host, int64_t count, Way way = Way::kIn)
      : host_(host), bytes_(static_cast<size_t>(count) * sizeof(T)), way_(way) {
    if (host == nullptr) return;
    auto memory = device_in_use().allocate(std::max<size_t>(bytes_, 1), "a test");
    HEARTH_CHECK(memory.has_value(), "the device has memory for tests");
    memory_ = std::move(*memory);
    device_in_use().upload(memory_.data(), host, bytes_);
  }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;
  ~OnDevice() {
    if (host_ != nullptr && way_ == Way::kInOut)
      device_in_use().download(const_cast<std::remove_const_t<T>*>(host_), memory_.data(), bytes_);
  }
  operator T*() const { return reinterpret_cast<T*>(memory_.data()); }

 private:
  const T* host_;
  size_t bytes_;
  Way way_;
  DeviceMemory memory_;
};

/// Values of `rows` rows at a stride, the last one without what follows it.
int64_t span_of(int64_t rows, int64_t cols, int64_t stride) { return (rows - 1) * stride + cols; }

ExecContext context() { return device_in_use().context(); }
const KernelTable& table() { return device_in_use().table(); }

int64_t scales_of(int64_t rows) { return rows * HalfRows::kParts; }

/// HalfRows that an op makes; they come back, values in their order on the host.
class Halves {
 public:
  Halves(const HalfRows& host, int64_t rows, int64_t cols)
      : host_(host.value),
        count_(host.value == nullptr ? 0 : rows * cols),
        value_(std::in_place, host.value, count_, Way::kInOut),
        scale_(host.scale, scales_of(rows), Way::kInOut),
        sum32_(host.sum32, rows * cols / 32, Way::kInOut),
        sum16_(host.sum16, rows * cols / 16, Way::kInOut),
        view{*value_, scale_, sum32_, sum16_} {}
  Halves(const Halves&) = delete;
  Halves& operator=(const Halves&) = delete;
  ~Halves() {
    value_.reset();  // brings them back
    const std::vector<uint16_t> values(host_, host_ + count_);
    for (int64_t i = 0; i < count_; ++i)
      host_[i] =
          values[static_cast<size_t>(i / 32 * 32 + simt::half_offset(static_cast<int>(i % 32)))];
  }

 private:
  uint16_t* host_;
  int64_t count_;
  std::optional<OnDevice<uint16_t>> value_;
  OnDevice<float> scale_;
  OnDevice<uint32_t> sum32_;
  OnDevice<float> sum16_;

 public:
  HalfRows view;
};

/// An input as f32 and, where rows are whole blocks, as the device's own quantize makes it.
struct Activations {
  /// in_order: for F16 weights, without the f32 form.
  explicit Activations(const ActivationView& x, bool in_order = false)
      : has_halves(x.cols % 32 == 0),
        f32(x.f32, x.rows * x.cols),
        value(has_halves ? static_cast<size_t>(x.rows * x.cols) : 0),
        scale(static_cast<size_t>(scales_of(x.rows))),
        sum32(value.size() / 32),
        sum16(value.size() / 16),
        on_value(has_halves ? value.data() : nullptr, static_cast<int64_t>(value.size())),
        on_scale(scale.data(), scales_of(x.rows)),
        on_sum32(sum32.data(), static_cast<int64_t>(sum32.size())),
        on_sum16(sum16.data(), static_cast<int64_t>(sum16.size())),
        view{in_order ? nullptr : static_cast<const float*>(f32),
             {},
             x.rows,
             x.cols,
             {on_value, on_scale, on_sum32, on_sum16, in_order}} {
    if (has_halves)
      table().quantize(context(),
                       {.x = f32, .rows = x.rows, .cols = x.cols, .out = {}, .half = view.half});
  }

  bool has_halves;
  OnDevice<const float> f32;
  std::vector<uint16_t> value;
  std::vector<float> scale;
  std::vector<uint32_t> sum32;
  std::vector<float> sum16;
  OnDevice<uint16_t> on_value;
  OnDevice<float> on_scale;
  OnDevice<uint32_t> on_sum32;
  OnDevice<float> on_sum16;
  ActivationView view;
};

/// The pages that the sequences name, and the step that has those sequences.
class Paged {
 public:
  Paged(const KvLayerView& kv, const SequenceRows* sequences, int32_t num_sequences, Way way)
      : memory_(static_cast<uint8_t*>(kv.base), bytes_of(kv, sequences, num_sequences), way),
        view(kv) {
    view.base = static_cast<uint8_t*>(memory_);
    std::vector<int32_t> positions;
    for (int32_t s = 0; s < num_sequences; ++s)
      for (int32_t i = 0; i < sequences[s].row_count; ++i)
        positions.push_back(sequences[s].first_position + i);
    rows = static_cast<int64_t>(positions.size());
    device_in_use().begin_step({.sequences = {sequences, static_cast<size_t>(num_sequences)},
                                .page_tokens = kv.page_tokens,
                                .positions = positions,
                                .logit_rows = {}});
  }

 private:
  static int64_t bytes_of(const KvLayerView& kv, const SequenceRows* sequences,
                          int32_t num_sequences) {
    int32_t pages = 0;
    for (int32_t s = 0; s < num_sequences; ++s) {
      const int32_t last = sequences[s].first_position + sequences[s].row_count - 1;
      for (int32_t p = 0; p <= last / kv.page_tokens; ++p)
        pages = std::max(pages, sequences[s].pages[p] + 1);
    }
    return static_cast<int64_t>(static_cast<size_t>(pages) * kv.page_bytes);
  }
  OnDevice<uint8_t> memory_;

 public:
  KvLayerView view;
  int64_t rows = 0;
};

WeightView weights_at(const OnDevice<uint8_t>& data, WeightView view) {
  view.data = static_cast<const uint8_t*>(data);
  return view;
}

int64_t weight_bytes(const WeightView& view) {
  return view.rows * static_cast<int64_t>(view.row_bytes);
}

}  // namespace

Device& emulated_device() {
  static const std::unique_ptr<Device> emulated = prepared(make_emulated_device());
  return *emulated;
}

std::vector<Device*> devices_to_test(Device* emulated, Device* gpu) {
  const char* const wanted = std::getenv("HEARTH_TEST_DEVICE");
  const bool gpu_alone = wanted != nullptr && std::string_view(wanted) == "gpu";
  std::vector<Device*> devices;
  if (!gpu_alone && emulated != nullptr) devices.push_back(emulated);
  if (gpu != nullptr) devices.push_back(gpu);
  return devices;
}

std::vector<Device*> test_devices() {
  static const std::unique_ptr<Device> gpu = []() -> std::unique_ptr<Device> {
    auto device = open_cuda_device(0);
    if (device.has_value()) return prepared(std::move(*device));
    MESSAGE("the emulator alone is tested: ", device.error().message);
    return nullptr;
  }();
  const std::vector<Device*> devices = devices_to_test(&emulated_device(), gpu.get());
  REQUIRE_MESSAGE(!devices.empty(), "HEARTH_TEST_DEVICE is gpu, and there is none");
  return devices;
}

void use_device(Device& device) { current = &device; }

Device& device_in_use() {
  HEARTH_CHECK(current != nullptr, "a test names its device");
  return *current;
}

void on_device(const ExecContext&, const EmbedArgs& host) {
  EmbedArgs args = host;
  const OnDevice weights(static_cast<const uint8_t*>(host.table.data), weight_bytes(host.table));
  const OnDevice tokens(host.tokens, host.rows);
  const OnDevice out(host.out, host.rows * host.table.cols, Way::kInOut);
  args.table = weights_at(weights, host.table);
  args.tokens = tokens;
  args.out = out;
  table().embed(context(), args);
}

void on_device(const ExecContext&, const RmsNormArgs& host) {
  RmsNormArgs args = host;
  const OnDevice weight(host.weight, host.cols);
  const OnDevice x(host.x, span_of(host.rows, host.cols, host.x_stride));
  const OnDevice out(host.out, span_of(host.rows, host.cols, host.out_stride), Way::kInOut);
  args.weight = weight;
  args.x = host.x == host.out ? static_cast<float*>(out) : static_cast<const float*>(x);
  args.out = out;
  table().rms_norm(context(), args);
}

void on_device(const ExecContext&, const LayerNormArgs& host) {
  LayerNormArgs args = host;
  const OnDevice weight(host.weight, host.cols);
  const OnDevice bias(host.bias, host.cols);
  const OnDevice x(host.x, span_of(host.rows, host.cols, host.x_stride));
  const OnDevice out(host.out, span_of(host.rows, host.cols, host.out_stride), Way::kInOut);
  args.weight = weight;
  args.bias = bias;
  args.x = host.x == host.out ? static_cast<float*>(out) : static_cast<const float*>(x);
  args.out = out;
  table().layer_norm(context(), args);
}

void on_device(const ExecContext&, const QuantizeArgs& host) {
  const Halves halves(host.half, host.rows, host.cols);
  QuantizeArgs args = host;
  const OnDevice x(host.x, host.rows * host.cols);
  args.x = x;
  args.half = halves.view;
  table().quantize(context(), args);
}

namespace {

void multiply_on_device(const Activations& input, int64_t rows, const MatmulArgs* jobs,
                        int num_jobs) {
  std::vector<MatmulArgs> on(jobs, jobs + num_jobs);
  std::vector<std::unique_ptr<OnDevice<uint8_t>>> weights;
  std::vector<std::unique_ptr<OnDevice<const float>>> biases;
  // Jobs may write to columns of one array.
  float* first = jobs[0].out;
  float* last = first;
  for (const MatmulArgs& job : on) {
    first = std::min(first, job.out);
    last = std::max(last, job.out + span_of(rows, job.weight.rows, job.out_stride));
  }
  const OnDevice out(first, last - first, Way::kInOut);
  for (MatmulArgs& job : on) {
    weights.push_back(std::make_unique<OnDevice<uint8_t>>(
        static_cast<const uint8_t*>(job.weight.data), weight_bytes(job.weight)));
    biases.push_back(std::make_unique<OnDevice<const float>>(job.bias, job.weight.rows));
    job.weight = weights_at(*weights.back(), job.weight);
    job.bias = *biases.back();
    job.out = out + (job.out - first);
  }
  table().matmul(context(), input.view, on.data(), num_jobs);
}

}  // namespace

void matmul_on_device(const ExecContext&, const ActivationView& x, const MatmulArgs* jobs,
                      int num_jobs) {
  multiply_on_device(Activations(x), x.rows, jobs, num_jobs);
}

void ordered_matmul_on_device(const ExecContext&, const ActivationView& x, const MatmulArgs* jobs,
                              int num_jobs) {
  multiply_on_device(Activations(x, /*in_order=*/true), x.rows, jobs, num_jobs);
}

void on_device(const ExecContext&, const RopeTableArgs& host) {
  RopeTableArgs args = host;
  const OnDevice positions(host.positions, host.rows);
  const OnDevice frequency(host.inverse_frequency, host.rotary_dim / 2);
  const OnDevice out(host.table, host.rows * host.rotary_dim, Way::kInOut);
  args.positions = positions;
  args.inverse_frequency = frequency;
  args.table = out;
  table().rope_table(context(), args);
}

void on_device(const ExecContext&, const RopeArgs& host) {
  RopeArgs args = host;
  const OnDevice angles(host.table, host.rows * host.rotary_dim);
  const OnDevice x(host.x,
                   span_of(host.rows, int64_t{host.num_heads} * host.head_dim, host.x_stride),
                   Way::kInOut);
  args.table = angles;
  args.x = x;
  table().rope(context(), args);
}

void on_device(const ExecContext&, const KvStoreArgs& host) {
  KvStoreArgs args = host;
  const Paged paged(host.kv, host.sequences, host.num_sequences, Way::kInOut);
  const int64_t cols = int64_t{host.kv.num_kv_heads} * host.kv.head_dim;
  const OnDevice k(host.k, span_of(paged.rows, cols, host.k_stride));
  const OnDevice v(host.v, span_of(paged.rows, cols, host.v_stride));
  args.k = k;
  args.v = v;
  args.kv = paged.view;
  table().kv_store(context(), args);
}

void on_device(const ExecContext&, const AttentionArgs& host) {
  AttentionArgs args = host;
  const Paged paged(host.kv, host.sequences, host.num_sequences, Way::kIn);
  const int64_t cols = int64_t{host.num_heads} * host.kv.head_dim;
  const OnDevice q(host.q, span_of(paged.rows, cols, host.q_stride));
  const OnDevice sinks(host.sinks, host.num_heads);
  const OnDevice out(host.out, span_of(paged.rows, cols, host.out_stride), Way::kInOut);
  args.q = q;
  args.sinks = sinks;
  args.kv = paged.view;
  args.out = out;
  table().attention(context(), args);
}

void on_device(const ExecContext&, const ActivateArgs& host) {
  ActivateArgs args = host;
  const OnDevice gate(host.gate, span_of(host.rows, host.cols, host.gate_stride));
  const OnDevice up(host.up,
                    host.up == nullptr ? 1 : span_of(host.rows, host.cols, host.up_stride));
  const OnDevice out(host.out, span_of(host.rows, host.cols, host.out_stride), Way::kInOut);
  args.gate = host.gate == host.out ? static_cast<float*>(out) : static_cast<const float*>(gate);
  args.up = up;
  args.out = out;
  table().activate(context(), args);
}

void on_device(const ExecContext&, const ScaleArgs& host) {
  ScaleArgs args = host;
  const OnDevice x(host.x, host.count, Way::kInOut);
  args.x = x;
  table().scale(context(), args);
}

void on_device(const ExecContext&, const AddArgs& host) {
  AddArgs args = host;
  const OnDevice x(host.x, host.count);
  const OnDevice out(host.out, host.count, Way::kInOut);
  args.x = x;
  args.out = out;
  table().add(context(), args);
}

void on_device(const ExecContext&, const RouteArgs& host) {
  RouteArgs args = host;
  const int64_t slots = host.rows * host.used;
  const OnDevice logits(host.logits, host.rows * host.experts);
  const OnDevice chosen(host.chosen, slots, Way::kInOut);
  const OnDevice weight(host.weight, slots, Way::kInOut);
  const OnDevice begin(host.begin, host.experts + 1, Way::kInOut);
  const OnDevice source(host.source, slots, Way::kInOut);
  const OnDevice slot(host.slot, slots, Way::kInOut);
  args.logits = logits;
  args.chosen = chosen;
  args.weight = weight;
  args.begin = begin;
  args.source = source;
  args.slot = slot;
  table().route(context(), args);
}

void on_device(const ExecContext&, const GatherArgs& host) {
  GatherArgs args = host;
  const int64_t rows =
      *std::max_element(host.source, host.source + host.slots) / host.used + int64_t{1};
  const OnDevice x(host.x, rows * host.cols);
  const OnDevice source(host.source, host.slots);
  const OnDevice weight(host.weight, rows * host.used);
  const OnDevice out(host.out, host.slots * host.cols, Way::kInOut);
  args.x = x;
  args.source = source;
  args.weight = weight;
  args.out = out;
  table().gather(context(), args);
}

void expert_matmul_on_device(const ExecContext&, const ActivationView& x,
                             const ExpertMatmulArgs& host) {
  ExpertMatmulArgs args = host;
  const Activations input(x);
  const int64_t expert_bytes = weight_bytes(host.weights[0]);
  const int64_t outputs = host.weights[0].rows;
  const auto* base = static_cast<const uint8_t*>(host.weights[0].data);
  const OnDevice data(base, expert_bytes * host.experts);
  std::vector<WeightView> weights(host.weights, host.weights + host.experts);
  for (WeightView& weight : weights)
    weight.data =
        static_cast<const uint8_t*>(data) + (static_cast<const uint8_t*>(weight.data) - base);
  const OnDevice bias(host.bias, outputs * host.experts);
  const OnDevice begin(host.begin, host.experts + 1);
  const OnDevice out(host.out, x.rows * outputs, Way::kInOut);
  args.weights = weights.data();
  args.bias = bias;
  args.begin = begin;
  args.out = out;
  table().expert_matmul(context(), input.view, args);
}

void on_device(const ExecContext&, const CombineArgs& host) {
  CombineArgs args = host;
  const int64_t slots = host.rows * host.used;
  const OnDevice x(host.x, slots * host.cols);
  const OnDevice slot(host.slot, slots);
  const OnDevice weight(host.weight, slots);
  const OnDevice out(host.out, host.rows * host.cols, Way::kInOut);
  args.x = x;
  args.slot = slot;
  args.weight = weight;
  args.out = out;
  table().combine(context(), args);
}

void on_device(const ExecContext&, const RmsNormQuantizeArgs& host) {
  RmsNormQuantizeArgs args = host;
  const RmsNormArgs& norm = host.norm;
  const OnDevice weight(norm.weight, norm.cols);
  const OnDevice x(norm.x, span_of(norm.rows, norm.cols, norm.x_stride));
  const OnDevice out(norm.out, span_of(norm.rows, norm.cols, norm.out_stride), Way::kInOut);
  const Halves halves(host.half, norm.rows, norm.cols);
  args.norm.weight = weight;
  args.norm.x = x;
  args.norm.out = out;
  args.half = halves.view;
  table().rms_norm_quantize(context(), args);
}

void on_device(const ExecContext&, const ActivateQuantizeArgs& host) {
  ActivateQuantizeArgs args = host;
  const ActivateArgs& a = host.activate;
  const OnDevice gate(a.gate, span_of(a.rows, a.cols, a.gate_stride));
  const OnDevice up(a.up, span_of(a.rows, a.cols, a.up_stride));
  const OnDevice out(a.out, span_of(a.rows, a.cols, a.out_stride), Way::kInOut);
  const Halves halves(host.half, a.rows, a.cols);
  args.activate.gate = gate;
  args.activate.up = up;
  args.activate.out = out;
  args.half = halves.view;
  table().activate_quantize(context(), args);
}

void on_device(const ExecContext&, const RopeKvStoreArgs& host) {
  RopeKvStoreArgs args = host;
  const KvLayerView& kv = host.store.kv;
  const Paged paged(kv, host.store.sequences, host.store.num_sequences, Way::kInOut);
  const int64_t kv_cols = int64_t{kv.num_kv_heads} * kv.head_dim;
  const int64_t q_cols = int64_t{host.q.num_heads} * kv.head_dim;
  const OnDevice q(host.q.x, span_of(paged.rows, q_cols, host.q.x_stride), Way::kInOut);
  const OnDevice k(host.k.x, span_of(paged.rows, kv_cols, host.k.x_stride));
  const OnDevice v(host.store.v, span_of(paged.rows, kv_cols, host.store.v_stride));
  const OnDevice angles(host.q.table, paged.rows * host.q.rotary_dim);
  const OnDevice q_norm(host.q_norm, kv.head_dim);
  const OnDevice k_norm(host.k_norm, kv.head_dim);
  args.q_norm = q_norm;
  args.k_norm = k_norm;
  args.q.x = q;
  args.k.x = k;
  args.q.table = args.k.table = angles;
  args.store.k = k;
  args.store.v = v;
  args.store.kv = paged.view;
  table().rope_kv_store(context(), args);
}

}  // namespace hearth::kernels::testing
