#include "engine/backend/device_plan.h"

#include <algorithm>

#include "base/checked_math.h"

namespace hearth {

uint64_t DevicePlan::bytes() const {
  const uint64_t each = saturating_add(saturating_add(kv_bytes, activation_bytes), context_bytes);
  return saturating_add(weights_bytes, saturating_mul(static_cast<uint64_t>(workers), each));
}

uint64_t DevicePlan::left_for_kv() const {
  const uint64_t rest = budget_bytes - std::min(budget_bytes, weights_bytes);
  const uint64_t each = rest / static_cast<uint64_t>(workers);
  return each - std::min(each, saturating_add(activation_bytes, context_bytes));
}

}  // namespace hearth
