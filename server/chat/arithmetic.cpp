// Arithmetic operators: numbers of any size, texts, lists.

#include <cmath>

#include "server/chat/operators.h"
#include "server/chat/printing.h"

namespace hearth::jinja {
namespace {

const char* symbol(Op op) {
  switch (op) {
    case Op::kAdd:
      return "+";
    case Op::kSubtract:
      return "-";
    case Op::kMultiply:
      return "*";
    case Op::kDivide:
      return "/";
    case Op::kFloorDivide:
      return "//";
    case Op::kModulo:
      return "%";
    default:
      return "** or pow()";
  }
}

[[noreturn]] void unsupported(Op op, const Value& a, const Value& b) {
  if (op == Op::kAdd && (a.is_string() || a.is_list_like())) {
    std::string type = type_name(a);
    runtime_fault("can only concatenate " + type + " (not \"" + type_name(b) + "\") to " + type);
  }
  runtime_fault(std::string("unsupported operand type(s) for ") + symbol(op) + ": '" +
                type_name(a) + "' and '" + type_name(b) + "'");
}

double floor_mod(double a, double b) {
  double rest = std::fmod(a, b);
  if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
  return rest == 0 ? std::copysign(0.0, b) : rest;
}

double floor_divide(double a, double b) {
  double quotient = (a - floor_mod(a, b)) / b;
  return quotient == 0 ? std::copysign(0.0, a / b) : std::floor(quotient + 0.5);
}

Value real_arithmetic(Op op, double a, double b) {
  switch (op) {
    case Op::kAdd:
      return Value::real(a + b);
    case Op::kSubtract:
      return Value::real(a - b);
    case Op::kMultiply:
      return Value::real(a * b);
    case Op::kDivide:
      if (b == 0) runtime_fault("float division by zero");
      return Value::real(a / b);
    case Op::kFloorDivide:
      if (b == 0) runtime_fault("float floor division by zero");
      return Value::real(floor_divide(a, b));
    case Op::kModulo:
      if (b == 0) runtime_fault("float modulo");
      return Value::real(floor_mod(a, b));
    default:
      if (a == 0 && b < 0) runtime_fault("0.0 cannot be raised to a negative power");
      if (a < 0 && b != std::floor(b)) runtime_fault("complex numbers are not supported");
      double power = std::pow(a, b);
      if (std::isinf(power) && std::isfinite(a) && std::isfinite(b)) {
        runtime_fault("Numerical result out of range");
      }
      return Value::real(power);
  }
}

/// Steps that a big-integer operation is worth: a long division takes about a millisecond.
constexpr uint64_t kBigSteps = 1000;
constexpr uint64_t kBigDivideSteps = 10'000;

Value big_power(Interp& interp, const Value& a, const Value& b) {
  if (b.is(Kind::kBigInt)) limit_fault("an integer of the template is too large");
  if (b.as_int() < 0) return real_arithmetic(Op::kPower, to_double(a), to_double(b));
  BigInt base = to_big(a);
  bool unit = base.zero() || base == BigInt(1) || base == BigInt(-1);
  if (!unit && b.as_int() > static_cast<int64_t>(BigInt::kMaxBits)) {
    limit_fault("an integer of the template is too large");
  }
  interp.budget().step(unit ? 1 : kBigSteps);
  return interp.big(BigInt::pow(base, static_cast<uint64_t>(b.as_int())));
}

Value big_arithmetic(Interp& interp, Op op, const Value& a, const Value& b) {
  if (op == Op::kPower) return big_power(interp, a, b);
  interp.budget().step(kBigSteps);
  BigInt x = to_big(a);
  BigInt y = to_big(b);
  if (op == Op::kAdd) return interp.big(x + y);
  if (op == Op::kSubtract) return interp.big(x - y);
  if (op == Op::kMultiply) return interp.big(x * y);
  if (op == Op::kDivide) return real_arithmetic(op, x.to_double(), y.to_double());
  interp.budget().step(kBigDivideSteps);
  auto [quotient, rest] = BigInt::divmod(x, y);
  return interp.big(op == Op::kFloorDivide ? std::move(quotient) : std::move(rest));
}

Value integer_arithmetic(Interp& interp, Op op, const Value& a, const Value& b) {
  bool divides = op == Op::kDivide || op == Op::kFloorDivide || op == Op::kModulo;
  if (divides && !truthy(b)) {
    runtime_fault(op == Op::kDivide ? "division by zero" : "integer division or modulo by zero");
  }
  if (a.is(Kind::kBigInt) || b.is(Kind::kBigInt) || op == Op::kPower) {
    return big_arithmetic(interp, op, a, b);
  }
  int64_t x = a.as_int();
  int64_t y = b.as_int();
  int64_t out = 0;
  bool overflow = false;
  switch (op) {
    case Op::kAdd:
      overflow = __builtin_add_overflow(x, y, &out);
      break;
    case Op::kSubtract:
      overflow = __builtin_sub_overflow(x, y, &out);
      break;
    case Op::kMultiply:
      overflow = __builtin_mul_overflow(x, y, &out);
      break;
    case Op::kDivide:
      return Value::real(static_cast<double>(x) / static_cast<double>(y));
    default: {
      if (y == -1) {  // INT64_MIN / -1 does not fit
        if (op == Op::kModulo) return Value::integer(0);
        return big_arithmetic(interp, op, a, b);
      }
      int64_t rest = x % y;
      bool adjust = rest != 0 && (rest < 0) != (y < 0);
      if (op == Op::kModulo) return Value::integer(adjust ? rest + y : rest);
      return Value::integer(x / y - (adjust ? 1 : 0));
    }
  }
  return overflow ? big_arithmetic(interp, op, a, b) : Value::integer(out);
}

Value join_lists(Interp& interp, const Value& a, const Value& b) {
  std::vector<Value> items;
  items.reserve(a.items().size() + b.items().size());
  items.insert(items.end(), a.items().begin(), a.items().end());
  items.insert(items.end(), b.items().begin(), b.items().end());
  return a.is(Kind::kList) ? interp.list(std::move(items)) : interp.tuple(std::move(items));
}

Value join_texts(Interp& interp, const Value& a, const Value& b) {
  bool markup = a.markup() || b.markup();
  TextBuilder text(interp.budget());
  for (const Value* part : {&a, &b}) {
    if (markup && !part->markup()) {
      append_escaped(text, part->text());
    } else {
      text << part->text();
    }
  }
  return interp.string(text.take(), markup);
}

Value repeat(Interp& interp, const Value& sequence, const Value& count) {
  int64_t times = std::max<int64_t>(0, to_index(count, "the count of a repetition"));
  if (sequence.is_string()) {
    TextBuilder text(interp.budget());
    text.repeat(sequence.text(), static_cast<size_t>(times));
    return interp.string(text.take(), sequence.markup());
  }
  const auto& items = sequence.items();
  size_t total = 0;
  if (__builtin_mul_overflow(items.size(), static_cast<size_t>(times), &total) ||
      total > interp.budget().max_live_bytes() / sizeof(Value)) {
    limit_fault("a list of the template is too long");
  }
  interp.budget().value_work(total);
  std::vector<Value> out;
  out.reserve(total);
  for (int64_t i = 0; i < times && !items.empty(); ++i) {
    out.insert(out.end(), items.begin(), items.end());
  }
  return sequence.is(Kind::kList) ? interp.list(std::move(out)) : interp.tuple(std::move(out));
}

}  // namespace

Value arithmetic(Interp& interp, Op op, const Value& a, const Value& b) {
  if (a.is_undefined()) fault_undefined(a);
  if (a.is_integral() && b.is_integral()) return integer_arithmetic(interp, op, a, b);
  if (a.is_number() && b.is_number()) return real_arithmetic(op, to_double(a), to_double(b));
  if (op == Op::kModulo && a.is_string()) return format_percent(interp, a, b);
  if (b.is_undefined()) fault_undefined(b);
  if (op == Op::kAdd) {
    if (a.is_string() && b.is_string()) return join_texts(interp, a, b);
    if (a.is_list_like() && a.kind() == b.kind()) return join_lists(interp, a, b);
  }
  if (op == Op::kMultiply) {
    if ((a.is_string() || a.is_list_like()) && b.is_integral()) return repeat(interp, a, b);
    if ((b.is_string() || b.is_list_like()) && a.is_integral()) return repeat(interp, b, a);
    if (a.is_string() || a.is_list_like()) {
      runtime_fault(std::string("can't multiply sequence by non-int of type '") + type_name(b) +
                    "'");
    }
  }
  unsupported(op, a, b);
}

Value negate(Interp& interp, const Value& value) {
  if (value.is(Kind::kFloat)) return Value::real(-value.as_real());
  if (value.is_integral()) return arithmetic(interp, Op::kSubtract, Value::integer(0), value);
  if (value.is_undefined()) fault_undefined(value);
  runtime_fault(std::string("bad operand type for unary -: '") + type_name(value) + "'");
}

Value plus(Interp& interp, const Value& value) {
  if (value.is(Kind::kFloat)) return value;
  if (value.is_integral()) return arithmetic(interp, Op::kAdd, Value::integer(0), value);
  if (value.is_undefined()) fault_undefined(value);
  runtime_fault(std::string("bad operand type for unary +: '") + type_name(value) + "'");
}

}  // namespace hearth::jinja
