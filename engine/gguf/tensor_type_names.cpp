#include "engine/gguf/tensor_type_names.h"

#include <array>
#include <utility>

namespace hearth {

std::string_view tensor_type_name(uint32_t type_id) {
  static constexpr std::array<std::pair<uint32_t, std::string_view>, 17> kNames = {{
      {4, "q4_2, withdrawn"},
      {5, "q4_3, withdrawn"},
      {9, "q8_1"},
      {15, "q8_k"},
      {24, "i8"},
      {25, "i16"},
      {26, "i32"},
      {27, "i64"},
      {28, "f64"},
      {31, "q4_0_4_4, withdrawn"},
      {32, "q4_0_4_8, withdrawn"},
      {33, "q4_0_8_8, withdrawn"},
      {36, "iq4_nl_4_4, withdrawn"},
      {37, "iq4_nl_4_8, withdrawn"},
      {40, "nvfp4"},
      {41, "q1_0"},
      {42, "q2_0"},
  }};
  for (const auto& [id, name] : kNames)
    if (id == type_id) return name;
  return "unknown";
}

}  // namespace hearth
