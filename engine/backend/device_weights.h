#pragma once
// The weights of a model's last layers and of its output, in a device's memory and in the file's
// own layout.

#include <vector>

#include "engine/backend/weights_exchange.h"
#include "engine/model/model.h"
#include "kernels/device.h"

namespace hearth {

/// Bytes on a device of each layer's weights and of the output's, as DeviceWeights lays them out.
struct WeightSizes {
  std::vector<uint64_t> layers;
  uint64_t output = 0;  // final norm and output matrix

  /// Of the layers from `first` on, and the output.
  [[nodiscard]] uint64_t from_layer(int32_t first) const;
};
WeightSizes weight_sizes(const Model& model);

/// Owns one allocation, or the mapping of a shared one. The device must outlive it.
class DeviceWeights {
 public:
  DeviceWeights() = default;
  /// Brings layers [first_layer, num_layers) and the output of `model` to `device`, in the order of
  /// the file, or maps what another process has brought there. Errors of the device and of the
  /// source; kIo if memory that was shared cannot be mapped twice in a row.
  static Result<DeviceWeights> load(const Model& model, int32_t first_layer,
                                    kernels::Device& device, const WeightsSource& source = {});

  /// Those of layer first_layer + index.
  [[nodiscard]] const std::vector<LayerWeights>& layers() const { return layers_; }
  [[nodiscard]] const NormWeights& output_norm() const { return output_norm_; }
  [[nodiscard]] const LinearWeights& output() const { return output_; }
  [[nodiscard]] uint64_t bytes() const { return memory_.bytes(); }

 private:
  kernels::DeviceMemory memory_;
  std::vector<LayerWeights> layers_;
  NormWeights output_norm_;
  LinearWeights output_;
};

}  // namespace hearth
