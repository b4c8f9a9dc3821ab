#include "server/api/json_body.h"

#include <fmt/format.h>

#include <unordered_set>
#include <utility>
#include <vector>

namespace hearth::api {
namespace {

// Parser events to a tree. Members are appended without a search (an ordered object searches its
// whole list on each insertion, which an attacker turns into quadratic time); a set per open object
// finds duplicates.
class TreeBuilder final : public nlohmann::json_sax<OrderedJson> {
 public:
  explicit TreeBuilder(const JsonLimits& limits) : limits_(limits) {}

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t& /*text*/) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t& /*value*/) override { return false; }  // JSON text has none

  bool start_object(size_t /*count*/) override { return open(OrderedJson::object()); }
  bool start_array(size_t /*count*/) override { return open(OrderedJson::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    Level& level = levels_.back();
    if (level.keys.size() >= limits_.max_members) {
      return refuse(
          ErrorCode::kInvalidArgument,
          fmt::format("an object of the body has more than {} members", limits_.max_members));
    }
    if (!level.keys.insert(name).second) {
      return refuse(ErrorCode::kMalformed, "a key comes twice in one object of the body",
                    name.size() <= 128 ? name : std::string());
    }
    level.key = std::move(name);
    return true;
  }

  bool parse_error(size_t position, const std::string& /*last_token*/,
                   const nlohmann::detail::exception& exception) override {
    constexpr int kNumberOverflow = 406;
    return refuse(
        ErrorCode::kMalformed,
        fmt::format("the body is not valid JSON: {} at byte {}",
                    exception.id == kNumberOverflow ? "a number too large" : "error", position));
  }

  Result<OrderedJson> take(bool parsed) {
    if (!parsed) return std::unexpected(std::move(error_));
    return std::move(root_);
  }

 private:
  struct Level {
    OrderedJson* container;
    std::string key;  // of the member that comes next
    std::unordered_set<std::string> keys;
  };

  bool refuse(ErrorCode code, std::string message, std::string param = {}) {
    error_ = {.code = code, .message = std::move(message), .param = std::move(param)};
    return false;
  }

  bool add(OrderedJson value) { return place(std::move(value)) != nullptr; }

  bool open(OrderedJson container) {
    if (levels_.size() >= limits_.max_depth) {
      return refuse(ErrorCode::kInvalidArgument,
                    fmt::format("the body nests deeper than {} levels", limits_.max_depth));
    }
    OrderedJson* const placed = place(std::move(container));
    if (placed == nullptr) return false;
    levels_.push_back({.container = placed, .key = {}, .keys = {}});
    return true;
  }

  bool close() {
    levels_.pop_back();
    return true;
  }

  // Appends to the open container. The pointer stays good while that container is not appended to,
  // which is as long as the value itself is open.
  OrderedJson* place(OrderedJson value) {
    if (++values_ > limits_.max_values) {
      refuse(ErrorCode::kInvalidArgument,
             fmt::format("the body holds more than {} values", limits_.max_values));
      return nullptr;
    }
    if (levels_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Level& level = levels_.back();
    if (level.container->is_array()) {
      level.container->push_back(std::move(value));
      return &level.container->back();
    }
    using Members = OrderedJson::object_t::Container;
    auto& members = static_cast<Members&>(level.container->get_ref<OrderedJson::object_t&>());
    return &members.emplace_back(std::move(level.key), std::move(value)).second;
  }

  const JsonLimits& limits_;
  OrderedJson root_;
  std::vector<Level> levels_;
  size_t values_ = 0;
  Error error_;
};

}  // namespace

Result<OrderedJson> parse_json(std::string_view text, const JsonLimits& limits) {
  // The parser would skip a byte order mark, which RFC 8259 forbids senders to write.
  if (text.starts_with("\xEF\xBB\xBF")) {
    return fail(ErrorCode::kMalformed, "the body is not valid JSON: error at byte 1");
  }
  TreeBuilder builder(limits);
  const bool parsed = OrderedJson::sax_parse(text, &builder);
  return builder.take(parsed);
}

std::string to_text(const OrderedJson& value) {
  return value.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

}  // namespace hearth::api
