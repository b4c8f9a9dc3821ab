#include "engine/backend/device_weights.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <span>
#include <utility>

#include "base/check.h"

namespace hearth {
namespace {

// Of tensors in the allocation: what the kernels' widest loads need, and lines of the L2 cache.
constexpr uint64_t kAlignment = 256;

uint64_t padded(uint64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// visit(pointer) for each pointer to weights, by reference.

template <typename Visitor>
void visit_pointers(NormWeights& norm, const Visitor& visit) {
  visit(norm.weight);
  visit(norm.bias);
}

template <typename Visitor>
void visit_pointers(LinearWeights& linear, const Visitor& visit) {
  visit(linear.weight.data);
  visit(linear.bias);
}

template <typename Visitor>
void visit_pointers(ExpertMatrices& matrices, const Visitor& visit) {
  for (kernels::WeightView& weight : matrices.weights) visit(weight.data);
  visit(matrices.bias);
}

template <typename Visitor>
void visit_pointers(LayerWeights& w, const Visitor& visit) {
  for (NormWeights* norm : {&w.attention_norm, &w.q_norm, &w.k_norm, &w.post_attention_norm,
                            &w.ffn_norm, &w.post_ffn_norm})
    visit_pointers(*norm, visit);
  for (LinearWeights* linear :
       {&w.q, &w.k, &w.v, &w.attention_out, &w.gate, &w.up, &w.down, &w.experts.router})
    visit_pointers(*linear, visit);
  for (ExpertMatrices* matrices : {&w.experts.gate, &w.experts.up, &w.experts.down})
    visit_pointers(*matrices, visit);
  visit(w.sinks);
}

/// The 64-bit hash of Fowler, Noll and Vo (draft-eastlake-fnv).
class Fnv1a {
 public:
  void add(const void* data, size_t bytes) {
    for (const auto byte : std::span(static_cast<const unsigned char*>(data), bytes))
      value_ = (value_ ^ byte) * 0x100000001b3;
  }
  [[nodiscard]] uint64_t value() const { return value_; }

 private:
  uint64_t value_ = 0xcbf29ce484222325;
};

/// Finds the tensor that an address is in, and gives tensors places in an allocation.
class TensorPlaces {
 public:
  explicit TensorPlaces(const ModelFile& file) {
    for (const TensorInfo& tensor : file.tensors()) by_address_.emplace(tensor.data, &tensor);
  }

  void add(const void* pointer) {
    if (pointer == nullptr) return;
    const TensorInfo& tensor = tensor_of(pointer);
    if (offsets_.emplace(&tensor, bytes_).second) bytes_ += padded(tensor.bytes);
  }
  [[nodiscard]] uint64_t bytes() const { return bytes_; }
  /// Tensors in the order of their addresses, which is that of the file.
  [[nodiscard]] std::vector<kernels::UploadPiece> pieces(std::byte* base) const {
    std::vector<kernels::UploadPiece> pieces;
    for (const auto& [address, tensor] : by_address_)
      if (const auto it = offsets_.find(tensor); it != offsets_.end())
        pieces.push_back({base + it->second, tensor->data, tensor->bytes});
    return pieces;
  }
  /// Of what lies where.
  [[nodiscard]] uint64_t checksum() const {
    Fnv1a hash;
    for (const auto& [address, tensor] : by_address_) {
      const auto it = offsets_.find(tensor);
      if (it == offsets_.end()) continue;
      hash.add(tensor->name.data(), tensor->name.size());
      hash.add(&tensor->dtype, sizeof(tensor->dtype));
      hash.add(tensor->dims.data(), sizeof(tensor->dims));
      hash.add(&it->second, sizeof(it->second));
    }
    return hash.value();
  }

  /// Where a pointer's target lies in the allocation at `base`.
  const void* translate(const void* pointer, const std::byte* base) const {
    const TensorInfo& tensor = tensor_of(pointer);
    return base + offsets_.at(&tensor) + (static_cast<const std::byte*>(pointer) - tensor.data);
  }

 private:
  [[nodiscard]] const TensorInfo& tensor_of(const void* pointer) const {
    const auto* address = static_cast<const std::byte*>(pointer);
    auto it = by_address_.upper_bound(address);
    HEARTH_CHECK(it != by_address_.begin(), "weights lie in tensors of the file");
    const TensorInfo& tensor = *std::prev(it)->second;
    HEARTH_CHECK(address < tensor.data + tensor.bytes, "weights lie in tensors of the file");
    return tensor;
  }

  std::map<const std::byte*, const TensorInfo*> by_address_;
  std::map<const TensorInfo*, uint64_t> offsets_;
  uint64_t bytes_ = 0;
};

uint64_t bytes_of(const Model& model, auto weights) {
  TensorPlaces places(model.file());
  visit_pointers(weights, [&](auto& pointer) { places.add(pointer); });
  return places.bytes();
}

}  // namespace

uint64_t WeightSizes::of(const LayerRange& range) const {
  return std::accumulate(layers.begin() + range.first_layer, layers.begin() + range.end(),
                         range.has_output ? output : 0);
}

WeightSizes weight_sizes(const Model& model) {
  WeightSizes sizes;
  for (const LayerWeights& layer : model.layers()) sizes.layers.push_back(bytes_of(model, layer));
  sizes.output = bytes_of(model, model.output_norm()) + bytes_of(model, model.output());
  return sizes;
}

namespace {

/// An upload of a model's weights, and where they may come from instead.
class Loader {
 public:
  Loader(const TensorPlaces& places, kernels::Device& device, const WeightsSource& source)
      : places_(places), device_(device), exchange_(source.exchange) {}

  /// A copy of this process's own.
  Result<kernels::DeviceMemory> copy() {
    HEARTH_ASSIGN_OR_RETURN(auto memory, device_.allocate(places_.bytes(), kWhat));
    HEARTH_RETURN_IF_ERROR(upload(memory.data()));
    return memory;
  }

  /// The copy that the processes of the exchange share.
  Result<kernels::DeviceMemory> share(const WeightsLayout& layout) {
    constexpr int kTries =
        2;  // what was rejected once is uploaded anew, by this or another process
    for (int i = 1;; ++i) {
      HEARTH_ASSIGN_OR_RETURN(const std::optional<UniqueFd> held, exchange_->acquire(layout));
      if (!held) return upload_shared(layout);
      auto memory = device_.map_shared(*held, layout.bytes);
      if (memory.has_value()) return memory;
      HEARTH_RETURN_IF_ERROR(exchange_->reject(layout, memory.error().message));
      if (i == kTries) return fail(ErrorCode::kIo, memory.error().message);
    }
  }

 private:
  static constexpr const char* kWhat = "the weights";

  Result<kernels::DeviceMemory> upload_shared(const WeightsLayout& layout) {
    HEARTH_ASSIGN_OR_RETURN(auto shared, device_.allocate_shared(layout.bytes, kWhat));
    HEARTH_RETURN_IF_ERROR(upload(shared.memory.data()));
    device_.protect_shared(shared.memory);
    HEARTH_RETURN_IF_ERROR(exchange_->publish(layout, std::move(shared.handle)));
    return std::move(shared.memory);
  }
  Status upload(std::byte* base) {
    const auto pieces = places_.pieces(base);
    uint64_t total = 0;
    for (const kernels::UploadPiece& piece : pieces) total += piece.bytes;
    return device_.upload_all(pieces, [&](uint64_t done) -> Status {
      if (exchange_ == nullptr) return {};
      return exchange_->progress(done, total);
    });
  }

  const TensorPlaces& places_;
  kernels::Device& device_;
  WeightsExchange* const exchange_;
};

}  // namespace

Result<DeviceWeights> DeviceWeights::load(const Model& model, const LayerRange& range,
                                          kernels::Device& device, const WeightsSource& source) {
  DeviceWeights weights;
  weights.layers_.assign(model.layers().begin() + range.first_layer,
                         model.layers().begin() + range.end());
  if (range.has_output) {
    weights.output_norm_ = model.output_norm();
    weights.output_ = model.output();
  }
  const auto visit_all = [&weights](const auto& visit) {
    for (LayerWeights& layer : weights.layers_) visit_pointers(layer, visit);
    visit_pointers(weights.output_norm_, visit);
    visit_pointers(weights.output_, visit);
  };
  TensorPlaces places(model.file());
  visit_all([&](auto& pointer) { places.add(pointer); });
  Loader loader(places, device, source);
  if (source.shared) {
    Fnv1a identity;
    const auto numbers = model.file().identity();
    identity.add(numbers.data(), numbers.size() * sizeof(numbers[0]));
    HEARTH_ASSIGN_OR_RETURN(weights.memory_, loader.share({.device = device.info().uuid,
                                                           .first_layer = range.first_layer,
                                                           .bytes = places.bytes(),
                                                           .model = identity.value(),
                                                           .checksum = places.checksum()}));
  } else {
    HEARTH_ASSIGN_OR_RETURN(weights.memory_, loader.copy());
  }
  visit_all([&](auto& pointer) {
    using Pointer = std::remove_reference_t<decltype(pointer)>;
    if (pointer != nullptr)
      pointer = static_cast<Pointer>(places.translate(pointer, weights.memory_.data()));
  });
  return weights;
}

}  // namespace hearth
