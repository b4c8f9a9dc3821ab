// What stands after `is`.

#include <unordered_map>

#include "server/chat/bound_args.h"
#include "server/chat/operators.h"
#include "server/chat/printing.h"
#include "server/chat/string_case.h"

namespace hearth::jinja {
namespace {

void none(const char* name, const Args& args) { BoundArgs(name, args, {}); }

const Value& one(const char* name, const Args& args) {
  if (args.positional.size() != 1 || !args.named.empty()) {
    runtime_fault(std::string("the test '") + name + "' takes one argument");
  }
  return args.positional[0];
}

/// Whether dividing by `divisor` leaves `rest`: 1.5 is neither odd nor even.
bool leaves(Interp& interp, const Value& subject, const Value& divisor, int64_t rest) {
  return equals(interp, arithmetic(interp, Op::kModulo, subject, divisor), Value::integer(rest));
}

/// A test that only looks at the value.
template <bool (*kCheck)(const Value&)>
bool simple(Interp&, const Value& subject, Args& args) {
  none("is", args);
  return kCheck(subject);
}

bool is_defined(const Value& v) { return !v.is_undefined(); }
bool is_undefined(const Value& v) { return v.is_undefined(); }
bool is_none(const Value& v) { return v.is_none(); }
bool is_boolean(const Value& v) { return v.is(Kind::kBool); }
bool is_true(const Value& v) { return v.is(Kind::kBool) && v.as_bool(); }
bool is_false(const Value& v) { return v.is(Kind::kBool) && !v.as_bool(); }
bool is_integer(const Value& v) { return v.is(Kind::kInt) || v.is(Kind::kBigInt); }
bool is_float(const Value& v) { return v.is(Kind::kFloat); }
bool is_number(const Value& v) { return v.is_number(); }
bool is_string(const Value& v) { return v.is_string(); }
bool is_mapping(const Value& v) { return v.is(Kind::kDict); }
bool is_iterable(const Value& v) { return iterable(v) || v.is(Kind::kLoop); }
bool is_callable(const Value& v) {
  return v.is(Kind::kCallable) || v.is(Kind::kLoop) || v.is_undefined();
}
bool is_escaped(const Value& v) { return v.is_string() && v.markup(); }
bool is_sequence(const Value& v) {
  return v.is_string() || v.is_list_like() || v.is(Kind::kDict) || v.is(Kind::kRange) ||
         v.is_undefined();
}

bool test_odd(Interp& interp, const Value& subject, Args& args) {
  none("odd", args);
  return leaves(interp, subject, Value::integer(2), 1);
}
bool test_even(Interp& interp, const Value& subject, Args& args) {
  none("even", args);
  return leaves(interp, subject, Value::integer(2), 0);
}
bool test_divisible(Interp& interp, const Value& subject, Args& args) {
  return leaves(interp, subject, one("divisibleby", args), 0);
}
bool test_lower(Interp& interp, const Value& subject, Args& args) {
  none("lower", args);
  return is_lower_text(str_of(interp, subject));
}
bool test_upper(Interp& interp, const Value& subject, Args& args) {
  none("upper", args);
  return is_upper_text(str_of(interp, subject));
}
bool test_filter(Interp&, const Value& subject, Args& args) {
  none("filter", args);
  return subject.is_string() && find_filter(subject.text()) != nullptr;
}
bool test_test(Interp&, const Value& subject, Args& args) {
  none("test", args);
  return subject.is_string() && find_test(subject.text()) != nullptr;
}

bool test_same(Interp&, const Value& subject, Args& args) {
  const Value& other = one("sameas", args);
  if (subject.kind() != other.kind()) return false;
  switch (subject.kind()) {
    case Kind::kNone:
      return true;
    case Kind::kBool:
    case Kind::kInt:
      return subject.as_int() == other.as_int();
    case Kind::kFloat:
      return subject.as_real() == other.as_real();
    case Kind::kString:  // short strings are shared in Python too
      return subject.text() == other.text();
    default:
      return subject.pointer() == other.pointer();
  }
}

bool test_in(Interp& interp, const Value& subject, Args& args) {
  return contains(interp, one("in", args), subject);
}

template <Op kOp>
bool comparison(Interp& interp, const Value& subject, Args& args) {
  return compare(interp, kOp, subject, one("comparison", args));
}

}  // namespace

TestFn find_test(std::string_view name) {
  static const std::unordered_map<std::string_view, TestFn> kTests = {
      {"defined", simple<is_defined>},
      {"undefined", simple<is_undefined>},
      {"none", simple<is_none>},
      {"boolean", simple<is_boolean>},
      {"true", simple<is_true>},
      {"false", simple<is_false>},
      {"integer", simple<is_integer>},
      {"float", simple<is_float>},
      {"number", simple<is_number>},
      {"string", simple<is_string>},
      {"mapping", simple<is_mapping>},
      {"iterable", simple<is_iterable>},
      {"sequence", simple<is_sequence>},
      {"callable", simple<is_callable>},
      {"escaped", simple<is_escaped>},
      {"odd", test_odd},
      {"even", test_even},
      {"divisibleby", test_divisible},
      {"lower", test_lower},
      {"upper", test_upper},
      {"filter", test_filter},
      {"test", test_test},
      {"sameas", test_same},
      {"in", test_in},
      {"==", comparison<Op::kEqual>},
      {"eq", comparison<Op::kEqual>},
      {"equalto", comparison<Op::kEqual>},
      {"!=", comparison<Op::kNotEqual>},
      {"ne", comparison<Op::kNotEqual>},
      {">", comparison<Op::kGreater>},
      {"gt", comparison<Op::kGreater>},
      {"greaterthan", comparison<Op::kGreater>},
      {">=", comparison<Op::kGreaterEqual>},
      {"ge", comparison<Op::kGreaterEqual>},
      {"<", comparison<Op::kLess>},
      {"lt", comparison<Op::kLess>},
      {"lessthan", comparison<Op::kLess>},
      {"<=", comparison<Op::kLessEqual>},
      {"le", comparison<Op::kLessEqual>},
  };
  auto it = kTests.find(name);
  return it != kTests.end() ? it->second : nullptr;
}

}  // namespace hearth::jinja
