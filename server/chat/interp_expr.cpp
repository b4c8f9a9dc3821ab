// Expressions.

#include "server/chat/interp.h"
#include "server/chat/operators.h"
#include "server/chat/printing.h"

namespace hearth::jinja {

Value Interp::eval(const Expr& expr) {
  Deeper deeper(*this);
  budget_.step();
  switch (expr.kind) {
    case ExprKind::kLiteral:
      return static_cast<const LiteralExpr&>(expr).value;
    case ExprKind::kName:
      return lookup(static_cast<const NameExpr&>(expr).name);
    case ExprKind::kList:
      return list(eval_items(static_cast<const ItemsExpr&>(expr)));
    case ExprKind::kTuple:
      return tuple(eval_items(static_cast<const ItemsExpr&>(expr)));
    case ExprKind::kDict:
      return eval_dict(static_cast<const DictExpr&>(expr));
    case ExprKind::kPostfix:
      return eval_postfix(static_cast<const PostfixExpr&>(expr));
    case ExprKind::kArithmetic:
      return eval_arithmetic(static_cast<const OperatorExpr&>(expr));
    case ExprKind::kConcat:
      return eval_concat(static_cast<const ItemsExpr&>(expr));
    case ExprKind::kCompare:
      return eval_compare(static_cast<const OperatorExpr&>(expr));
    case ExprKind::kAnd:
    case ExprKind::kOr:
      return eval_logic(static_cast<const ItemsExpr&>(expr));
    case ExprKind::kNot:
      return Value::boolean(!truthy(eval(*static_cast<const ItemsExpr&>(expr).items[0])));
    case ExprKind::kNegate:
      return negate(*this, eval(*static_cast<const ItemsExpr&>(expr).items[0]));
    case ExprKind::kPlus:
      return plus(*this, eval(*static_cast<const ItemsExpr&>(expr).items[0]));
    case ExprKind::kConditional: {
      const auto& conditional = static_cast<const ConditionalExpr&>(expr);
      if (truthy(eval(*conditional.test))) return eval(*conditional.then);
      if (conditional.otherwise != nullptr) return eval(*conditional.otherwise);
      return undefined("the inline if-expression on line " + std::to_string(expr.line) +
                       " evaluated to false and no else section was defined.");
    }
  }
  return {};
}

std::vector<Value> Interp::eval_items(const ItemsExpr& expr) {
  std::vector<Value> items;
  items.reserve(expr.items.size());
  for (const ExprPtr& item : expr.items) items.push_back(eval(*item));
  return items;
}

Value Interp::eval_dict(const DictExpr& expr) {
  std::vector<Entry> entries;
  entries.reserve(expr.entries.size());
  for (const auto& [key, value] : expr.entries) {
    Value evaluated = eval(*key);
    entries.emplace_back(std::move(evaluated), eval(*value));
  }
  return dict(std::move(entries));
}

Value Interp::eval_logic(const ItemsExpr& expr) {
  bool stop_at = expr.kind == ExprKind::kOr;
  Value value;
  for (const ExprPtr& item : expr.items) {
    value = eval(*item);
    if (truthy(value) == stop_at) return value;
  }
  return value;
}

Value Interp::eval_concat(const ItemsExpr& expr) {
  TextBuilder text(budget_);
  for (const ExprPtr& item : expr.items) append_str(*this, text, eval(*item));
  return string(text.take());
}

Value Interp::eval_arithmetic(const OperatorExpr& expr) {
  Value left = eval(*expr.first);
  for (const auto& [op, operand] : expr.rest) {
    budget_.step();
    left = arithmetic(*this, op, left, eval(*operand));
  }
  return left;
}

Value Interp::eval_compare(const OperatorExpr& expr) {
  Value left = eval(*expr.first);
  for (const auto& [op, operand] : expr.rest) {
    Value right = eval(*operand);
    if (!compare(*this, op, left, right)) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

Args Interp::eval_args(const CallArgs& args) {
  Args out;
  out.positional.reserve(args.positional.size());
  for (const ExprPtr& arg : args.positional) out.positional.push_back(eval(*arg));
  if (args.star != nullptr) {
    Items more(*this, eval(*args.star));
    out.positional.insert(out.positional.end(), more.begin(), more.end());
  }
  for (const auto& [name, arg] : args.named) out.named.emplace_back(name, eval(*arg));
  if (args.double_star != nullptr) {
    Value more = eval(*args.double_star);
    if (!more.is(Kind::kDict)) runtime_fault("argument after ** must be a mapping");
    for (const Entry& entry : more.dict().entries) {
      if (!entry.first.is_string()) runtime_fault("keywords must be strings");
      out.named.emplace_back(entry.first.text(), entry.second);
    }
    budget_.step(out.named.size());
  }
  return out;
}

Value Interp::eval_postfix(const PostfixExpr& expr) {
  Value value = eval(*expr.base);
  for (size_t i = 0; i < expr.steps.size(); ++i) {
    const Postfix& step = expr.steps[i];
    bool calls_next = i + 1 < expr.steps.size() && expr.steps[i + 1].kind == PostfixKind::kCall;
    if (step.kind == PostfixKind::kAttribute && calls_next) {
      // text.strip(): no need to make an object of the method first.
      MethodFn found = value.is_string() ? find_string_method(step.name)
                                         : find_container_method(value, step.name);
      if (found != nullptr && !is_mutating_method(value, step.name)) {
        budget_.step();
        Args args = eval_args(expr.steps[i + 1].args);
        line_ = step.line;
        value = found(*this, value, args);
        ++i;
        continue;
      }
    }
    value = apply(step, value);
  }
  return value;
}

Value Interp::apply(const Postfix& step, Value& value) {
  budget_.step();
  switch (step.kind) {
    case PostfixKind::kAttribute:
      return get_attribute(*this, value, step.name_value);
    case PostfixKind::kItem:
      return get_item(*this, value, eval(*step.item));
    case PostfixKind::kSlice: {
      auto part = [&](const ExprPtr& expr) { return expr ? eval(*expr) : Value::none(); };
      Value start = part(step.start);
      Value stop = part(step.stop);
      return get_slice(*this, value, start, stop, part(step.step));
    }
    case PostfixKind::kCall: {
      Args args = eval_args(step.args);
      line_ = step.line;
      return call(value, args);
    }
    case PostfixKind::kFilter: {
      Args args = eval_args(step.args);
      line_ = step.line;
      return call_filter(step.name, value, args);
    }
    case PostfixKind::kTest: {
      Args args = eval_args(step.args);
      line_ = step.line;
      return Value::boolean(call_test(step.name, value, args) != step.negated);
    }
  }
  return {};
}

}  // namespace hearth::jinja
