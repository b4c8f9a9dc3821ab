#include "engine/model/key_reader.h"

#include <cmath>

namespace hearth {

Result<int32_t> KeyReader::size(std::string_view suffix, uint32_t limit) const {
  HEARTH_ASSIGN_OR_RETURN(const uint32_t value, metadata().u32(key(suffix)));
  return checked(suffix, value, limit);
}

Result<int32_t> KeyReader::size_or(std::string_view suffix, uint32_t fallback,
                                   uint32_t limit) const {
  HEARTH_ASSIGN_OR_RETURN(const uint32_t value, metadata().u32_or(key(suffix), fallback));
  return checked(suffix, value, limit);
}

Result<float> KeyReader::positive(std::string_view suffix) const {
  HEARTH_ASSIGN_OR_RETURN(const float value, metadata().f32(key(suffix)));
  return checked(suffix, value);
}

Result<float> KeyReader::positive_or(std::string_view suffix, float fallback) const {
  HEARTH_ASSIGN_OR_RETURN(const float value, metadata().f32_or(key(suffix), fallback));
  return checked(suffix, value);
}

Result<float> KeyReader::positive_or_none(std::string_view suffix) const {
  HEARTH_ASSIGN_OR_RETURN(const float value, metadata().f32_or(key(suffix), 0.0F));
  if (value == 0.0F) return 0.0F;
  return checked(suffix, value);
}

Result<bool> KeyReader::flag_or(std::string_view suffix, bool fallback) const {
  return metadata().bool_or(key(suffix), fallback);
}

Result<std::vector<bool>> KeyReader::pattern_or(std::string_view suffix, int32_t fallback,
                                                int32_t count) const {
  std::vector<bool> flags;
  const MetaValue* value = metadata().find(key(suffix));
  const auto* array = value == nullptr ? nullptr : std::get_if<MetaArray>(value);
  if (array == nullptr) {
    HEARTH_ASSIGN_OR_RETURN(const int32_t period,
                            size_or(suffix, static_cast<uint32_t>(fallback), kMaxLayers));
    for (int32_t i = 0; i < count; ++i) flags.push_back(i % period < period - 1);
    return flags;
  }
  if (array->element_type != MetaType::kBool || std::cmp_less(array->count, count)) {
    return bad(suffix, fmt::format("an array of {} values", array->count),
               fmt::format("a number, or a flag for each of {} layers", count));
  }
  for (int32_t i = 0; i < count; ++i)
    flags.push_back(array->bytes[static_cast<size_t>(i)] != std::byte{0});
  return flags;
}

Result<int32_t> KeyReader::checked(std::string_view suffix, uint32_t value, uint32_t limit) const {
  if (value < 1 || value > limit) return bad(suffix, value, fmt::format("1 to {}", limit));
  return static_cast<int32_t>(value);
}

Result<float> KeyReader::checked(std::string_view suffix, float value) const {
  if (!(value > 0.0F) || !std::isfinite(value)) return bad(suffix, value, "a positive number");
  return value;
}

std::unexpected<Error> KeyReader::bad_text(std::string_view suffix, const std::string& value,
                                           std::string_view expected) const {
  return fail(ErrorCode::kMalformed,
              fmt::format("{}: {} is {}, expected {}", file_.path().filename().string(),
                          key(suffix), value, expected),
              key(suffix));
}

}  // namespace hearth
