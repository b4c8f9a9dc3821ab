#pragma once
// Values of the template language: Python's, as far as templates can meet them. A Value is cheap to
// copy; what it points to is immutable, except namespaces, loops, iterators and cyclers.

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/chat/big_int.h"
#include "server/chat/budget.h"

namespace hearth::jinja {

enum class Kind : uint8_t {
  kUndefined,
  kNone,
  kBool,
  kInt,     // fits int64
  kBigInt,  // does not
  kFloat,
  kString,
  kList,
  kTuple,
  kDict,
  kView,      // dict.keys(), .values(), .items()
  kRange,     // range(…)
  kIterator,  // what map, select, reverse, … give: passes once
  kNamespace,
  kLoop,
  kCallable,  // macros, methods, globals
};

/// What all objects of the heap share. Objects of a rendering are charged to its budget; literals
/// of the parsed template have none and are shared by all renderings.
struct Object {
  Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  virtual ~Object() {
    if (budget != nullptr) budget->release(charged);
  }
  Budget* budget = nullptr;
  size_t charged = 0;
  uint32_t nesting = 0;  // containers: 1 + the deepest element
};

struct StringObject;
struct ListObject;
struct DictObject;

class Value {
 public:
  Value() = default;  // undefined, without a name
  static Value none() { return Value(Kind::kNone, 0); }
  static Value boolean(bool value) { return Value(Kind::kBool, value ? 1 : 0); }
  static Value integer(int64_t value) { return Value(Kind::kInt, value); }
  static Value real(double value);
  Value(Kind kind, std::shared_ptr<Object> object) : kind_(kind), object_(std::move(object)) {}

  [[nodiscard]] Kind kind() const { return kind_; }
  [[nodiscard]] bool is(Kind kind) const { return kind_ == kind; }
  [[nodiscard]] bool is_undefined() const { return kind_ == Kind::kUndefined; }
  [[nodiscard]] bool is_none() const { return kind_ == Kind::kNone; }
  [[nodiscard]] bool is_string() const { return kind_ == Kind::kString; }
  [[nodiscard]] bool is_integral() const {  // what Python's int covers
    return kind_ == Kind::kInt || kind_ == Kind::kBool || kind_ == Kind::kBigInt;
  }
  [[nodiscard]] bool is_number() const { return is_integral() || kind_ == Kind::kFloat; }
  [[nodiscard]] bool is_list_like() const { return kind_ == Kind::kList || kind_ == Kind::kTuple; }

  [[nodiscard]] bool as_bool() const { return integer_ != 0; }
  [[nodiscard]] int64_t as_int() const { return integer_; }  // kInt and kBool
  [[nodiscard]] double as_real() const { return real_; }
  [[nodiscard]] const std::string& text() const;            // kString
  [[nodiscard]] const std::vector<Value>& items() const;    // kList, kTuple
  [[nodiscard]] const DictObject& dict() const;             // kDict
  [[nodiscard]] const StringObject& string_object() const;  // kString
  template <typename T>
  [[nodiscard]] T& object() const {
    return static_cast<T&>(*object_);
  }
  [[nodiscard]] const std::shared_ptr<Object>& pointer() const { return object_; }
  [[nodiscard]] uint32_t nesting() const { return object_ == nullptr ? 0 : object_->nesting; }

  /// Text marked as safe HTML: joining it with plain text escapes the latter.
  [[nodiscard]] bool markup() const { return markup_; }
  [[nodiscard]] Value with_markup(bool markup) const {
    Value out = *this;
    out.markup_ = markup;
    return out;
  }

 private:
  Value(Kind kind, int64_t value) : kind_(kind), integer_(value) {}
  Kind kind_ = Kind::kUndefined;
  bool markup_ = false;
  union {
    int64_t integer_ = 0;
    double real_;
  };
  std::shared_ptr<Object> object_;
};

struct StringObject : Object {
  explicit StringObject(std::string value) : text(std::move(value)) {}
  std::string text;  // UTF-8
  /// Characters of the text. Counted once; literals are shared by threads, hence atomic.
  [[nodiscard]] size_t length() const;
  [[nodiscard]] bool ascii() const { return length() == text.size(); }

 private:
  mutable std::atomic<int64_t> length_{-1};
};

struct BigIntObject : Object {
  explicit BigIntObject(BigInt v) : value(std::move(v)) {}
  BigInt value;
};

struct ListObject : Object {
  std::vector<Value> items;
  bool group = false;  // a pair that groupby made: it has the attributes grouper and list
};

using Entry = std::pair<Value, Value>;

/// Keys keep their order. Built once, then only read.
struct DictObject : Object {
  std::vector<Entry> entries;
  std::vector<uint32_t> sorted;  // indices by key; only if there are more than kLinear entries
  static constexpr size_t kLinear = 8;  // a scan of so few keys is faster than a search

  [[nodiscard]] const Value* find(const Value& key) const;
  [[nodiscard]] const Value* find(std::string_view key) const;
};

enum class ViewKind : uint8_t { kKeys, kValues, kItems };
struct ViewObject : Object {
  Value dict;
  ViewKind view = ViewKind::kKeys;
};

struct RangeObject : Object {
  int64_t start = 0, stop = 0, step = 1;
  int64_t length = 0;
  [[nodiscard]] int64_t at(int64_t index) const {
    // A range may span more than an int64 can: its items fit, the products need not.
    return static_cast<int64_t>(static_cast<uint64_t>(start) +
                                static_cast<uint64_t>(index) * static_cast<uint64_t>(step));
  }
};

struct IteratorObject : Object {
  std::vector<Value> items;
  size_t next = 0;
  const char* name = "generator";
};

/// Why a value is undefined, for the message when it is used.
struct UndefinedObject : Object {
  std::string message;
  bool unsafe = false;  // an attribute the sandbox forbids
};

/// A total order over everything that can be a key: numbers by value, then texts, None, tuples,
/// undefined values (all equal).
/// Faults for values that are not hashable.
int compare_keys(const Value& a, const Value& b);
void check_hashable(const Value& key);

/// Name of the Python type: "str", "int", "NoneType", …
const char* type_name(const Value& value);

/// A string literal of the template: charged to nobody.
Value literal_string(std::string text);

}  // namespace hearth::jinja
