#pragma once
// The device ops as functions on host memory: inputs go to the device, the op runs, outputs come
// back. So the tests of the CPU's variants can be asked of them too. Devices are the emulator, and
// where the build has CUDA and the machine a GPU, that.

#include <memory>
#include <vector>

#include "kernels/device.h"

namespace hearth::kernels::testing {

/// The devices of this build and machine; says once if there is no GPU.
std::vector<Device*> test_devices();
/// Those of these that are to be tested: where HEARTH_TEST_DEVICE is "gpu", not the emulator. Null:
/// there is none.
std::vector<Device*> devices_to_test(Device* emulated, Device* gpu);
/// For tests of what only the emulator can show.
Device& emulated_device();

/// What the functions below run on.
void use_device(Device& device);
Device& device_in_use();

void on_device(const ExecContext&, const EmbedArgs& args);
void on_device(const ExecContext&, const RmsNormArgs& args);
void on_device(const ExecContext&, const LayerNormArgs& args);
/// HalfRows come back, values in their order on the host.
void on_device(const ExecContext&, const QuantizeArgs& args);
/// Quantized weights meet the f32 form as the device quantizes it.
void matmul_on_device(const ExecContext&, const ActivationView& x, const MatmulArgs* jobs,
                      int num_jobs);
/// The same for F16 weights that meet 16-bit floats in their own order; there is no f32 form then.
void ordered_matmul_on_device(const ExecContext&, const ActivationView& x, const MatmulArgs* jobs,
                              int num_jobs);
void on_device(const ExecContext&, const RopeTableArgs& args);
void on_device(const ExecContext&, const RopeArgs& args);
void on_device(const ExecContext&, const KvStoreArgs& args);
void on_device(const ExecContext&, const AttentionArgs& args);
void on_device(const ExecContext&, const ActivateArgs& args);
void on_device(const ExecContext&, const ScaleArgs& args);
void on_device(const ExecContext&, const AddArgs& args);
void on_device(const ExecContext&, const RouteArgs& args);
void on_device(const ExecContext&, const GatherArgs& args);
void expert_matmul_on_device(const ExecContext&, const ActivationView& x,
                             const ExpertMatmulArgs& args);
void on_device(const ExecContext&, const CombineArgs& args);
void on_device(const ExecContext&, const RmsNormQuantizeArgs& args);
void on_device(const ExecContext&, const ActivateQuantizeArgs& args);
/// What is left of K does not come back.
void on_device(const ExecContext&, const RopeKvStoreArgs& args);

}  // namespace hearth::kernels::testing
