#include "engine/backend/device_weights.h"

#include <algorithm>
#include <map>
#include <numeric>

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
  [[nodiscard]] const std::map<const TensorInfo*, uint64_t>& offsets() const { return offsets_; }

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

uint64_t WeightSizes::from_layer(int32_t first) const {
  return std::accumulate(layers.begin() + first, layers.end(), output);
}

WeightSizes weight_sizes(const Model& model) {
  WeightSizes sizes;
  for (const LayerWeights& layer : model.layers()) sizes.layers.push_back(bytes_of(model, layer));
  sizes.output = bytes_of(model, model.output_norm()) + bytes_of(model, model.output());
  return sizes;
}

Result<DeviceWeights> DeviceWeights::load(const Model& model, int32_t first_layer,
                                          kernels::Device& device,
                                          const std::function<void(uint64_t, uint64_t)>& progress) {
  DeviceWeights weights;
  weights.layers_.assign(model.layers().begin() + first_layer, model.layers().end());
  weights.output_norm_ = model.output_norm();
  weights.output_ = model.output();
  const auto visit_all = [&weights](const auto& visit) {
    for (LayerWeights& layer : weights.layers_) visit_pointers(layer, visit);
    visit_pointers(weights.output_norm_, visit);
    visit_pointers(weights.output_, visit);
  };
  TensorPlaces places(model.file());
  visit_all([&](auto& pointer) { places.add(pointer); });
  HEARTH_ASSIGN_OR_RETURN(weights.memory_, device.allocate(places.bytes(), "the weights"));
  uint64_t done = 0;
  for (const auto& [tensor, offset] : places.offsets()) {
    device.upload(weights.memory_.data() + offset, tensor->data, tensor->bytes);
    done += padded(tensor->bytes);
    if (progress) progress(done, places.bytes());
  }
  visit_all([&](auto& pointer) {
    using Pointer = std::remove_reference_t<decltype(pointer)>;
    if (pointer != nullptr)
      pointer = static_cast<Pointer>(places.translate(pointer, weights.memory_.data()));
  });
  return weights;
}

}  // namespace hearth
