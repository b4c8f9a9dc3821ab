#include "server/api/validator.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace hearth::api {
namespace {

// A name from the client goes back to it, but not megabytes of it.
constexpr size_t kMaxEchoedName = 128;

}  // namespace

std::string_view kind_of(const OrderedJson& value) {
  switch (value.type()) {
    case OrderedJson::value_t::null:
      return "null";
    case OrderedJson::value_t::boolean:
      return "a boolean";
    case OrderedJson::value_t::number_integer:
    case OrderedJson::value_t::number_unsigned:
      return "an integer";
    case OrderedJson::value_t::number_float:
      return "a number";
    case OrderedJson::value_t::string:
      return "a string";
    case OrderedJson::value_t::array:
      return "an array";
    default:
      return "an object";
  }
}

FieldReader::FieldReader(const OrderedJson& object, std::string path)
    : object_(object), path_(std::move(path)) {
  if (object_.is_object()) return;
  const std::string what = path_.empty() ? "the body" : path_;
  refuse("", fmt::format("{} must be an object, not {}", what, kind_of(object_)));
}

const OrderedJson* FieldReader::take(std::string_view name) {
  if (!object_.is_object()) return nullptr;
  const auto found = object_.find(std::string(name));
  if (found == object_.end()) return nullptr;
  taken_.push_back(&*found);
  return found->is_null() ? nullptr : &*found;
}

bool FieldReader::boolean(std::string_view name, bool& out) {
  const OrderedJson* const value = take(name);
  if (value == nullptr) return false;
  if (!value->is_boolean()) refuse_type(name, "a boolean", *value);
  if (ok_) out = value->get<bool>();
  return ok_;
}

bool FieldReader::integer(std::string_view name, int64_t min, int64_t max, int64_t& out) {
  const OrderedJson* const value = take(name);
  if (value == nullptr) return false;
  if (!value->is_number_integer()) {
    refuse_type(name, "an integer", *value);
    return false;
  }
  const bool too_big = value->is_number_unsigned() &&
                       value->get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()};
  if (too_big || value->get<int64_t>() < min || value->get<int64_t>() > max) {
    refuse(name, fmt::format("{} is {}, but must be between {} and {}", path_of(name),
                             value->dump(), min, max));
  }
  if (ok_) out = value->get<int64_t>();
  return ok_;
}

bool FieldReader::integer(std::string_view name, int64_t min, int64_t max, int32_t& out) {
  int64_t wide = 0;
  if (!integer(name, min, max, wide)) return false;
  out = static_cast<int32_t>(wide);
  return true;
}

bool FieldReader::number(std::string_view name, double min, double max, float& out) {
  const OrderedJson* const value = take(name);
  if (value == nullptr) return false;
  if (!value->is_number()) {
    refuse_type(name, "a number", *value);
    return false;
  }
  const double number = value->get<double>();
  if (!(number >= min && number <= max)) {
    refuse(name, fmt::format("{} is {}, but must be between {} and {}", path_of(name),
                             value->dump(), min, max));
  }
  if (ok_) out = static_cast<float>(number);
  return ok_;
}

bool FieldReader::text(std::string_view name, std::string& out) {
  const OrderedJson* const value = take(name);
  if (value == nullptr) return false;
  if (!value->is_string()) refuse_type(name, "a string", *value);
  if (ok_) out = value->get<std::string>();
  return ok_;
}

const OrderedJson* FieldReader::array(std::string_view name) {
  const OrderedJson* const value = take(name);
  if (value == nullptr || value->is_array()) return value;
  refuse_type(name, "an array", *value);
  return nullptr;
}

const OrderedJson* FieldReader::object(std::string_view name) {
  const OrderedJson* const value = take(name);
  if (value == nullptr || value->is_object()) return value;
  refuse_type(name, "an object", *value);
  return nullptr;
}

void FieldReader::refuse(std::string_view name, ErrorCode code, std::string message) {
  refuse(Error{.code = code, .message = std::move(message), .param = path_of(name)});
}

void FieldReader::refuse_type(std::string_view name, std::string_view expected,
                              const OrderedJson& value) {
  refuse(name, fmt::format("{} must be {}, not {}", path_of(name), expected, kind_of(value)));
}

void FieldReader::refuse(Error error) {
  if (!ok_) return;
  ok_ = false;
  error_ = std::move(error);
}

void FieldReader::require(std::string_view name) {
  refuse(name, fmt::format("{} is missing", path_of(name)));
}

Status FieldReader::finish() {
  if (!ok_) return std::unexpected(error_);
  for (const auto& [name, value] : object_.items()) {
    if (std::ranges::find(taken_, &value) != taken_.end()) continue;
    const std::string shown = path_of(name.substr(0, kMaxEchoedName));
    return fail(ErrorCode::kInvalidArgument, fmt::format("unknown field {}", shown), shown);
  }
  return {};
}

std::string FieldReader::path_of(std::string_view name) const {
  if (path_.empty()) return std::string(name);
  if (name.empty()) return path_;
  return fmt::format("{}.{}", path_, name);
}

}  // namespace hearth::api
