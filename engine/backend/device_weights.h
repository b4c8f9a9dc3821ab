#pragma once
// The weights of a range of a model's layers, in a device's memory and in the file's own layout.

#include <vector>

#include "engine/backend/placement.h"
#include "engine/backend/weights_exchange.h"
#include "engine/model/model.h"
#include "kernels/device.h"

namespace hearth {

/// Bytes on a device of each layer's weights and of the output's, as DeviceWeights lays them out.
struct WeightSizes {
  std::vector<uint64_t> layers;
  uint64_t output = 0;  // final norm and output matrix

  [[nodiscard]] uint64_t of(const LayerRange& range) const;
};
WeightSizes weight_sizes(const Model& model);

/// Owns one allocation, or the mapping of a shared one. The device must outlive it.
class DeviceWeights {
 public:
  DeviceWeights() = default;
  /// Brings the range's layers, and the output if it has it, to `device`, in the order of the
  /// file, or maps what another process has brought there. Errors of the device and of the
  /// source; kIo if memory that was shared cannot be mapped twice in a row.
  static Result<DeviceWeights> load(const Model& model, const LayerRange& range,
                                    kernels::Device& device, const WeightsSource& source = {});

  /// Those of layer range.first_layer + index.
  [[nodiscard]] const std::vector<LayerWeights>& layers() const { return layers_; }
  /// Empty where the range has no output; so is output().
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
