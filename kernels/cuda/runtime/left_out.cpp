#include "kernels/cuda/runtime/left_out.h"

#include <string>

namespace hearth::kernels {

Result<LeftOut> parse_left_out(std::string_view text) {
  LeftOut out;
  while (!text.empty()) {
    const std::string_view name = text.substr(0, text.find(','));
    text.remove_prefix(name.size() < text.size() ? name.size() + 1 : name.size());
    if (name == "warpgroups") {
      out.warpgroups = true;
    } else if (name == "overlap") {
      out.overlap = true;
    } else {
      return fail(ErrorCode::kInvalidArgument, "HEARTH_GPU_WITHOUT names '" + std::string(name) +
                                                   "', expected warpgroups or overlap");
    }
  }
  return out;
}

}  // namespace hearth::kernels
