#include <cstdlib>

#include "server/chat/parser.h"

namespace hearth::jinja {
namespace {

/// Appends `item` to a flat chain, which `left` becomes if it is not one yet.
ExprPtr chain(ExprPtr left, ExprKind kind, bool& chained, ExprPtr item) {
  if (!chained) {
    auto items = std::make_unique<ItemsExpr>(kind, left->line);
    items->items.push_back(std::move(left));
    left = std::move(items);
    chained = true;
  }
  static_cast<ItemsExpr&>(*left).items.push_back(std::move(item));
  return left;
}

ExprPtr wrap(ExprKind kind, int line, ExprPtr operand) {
  auto expr = std::make_unique<ItemsExpr>(kind, line);
  expr->items.push_back(std::move(operand));
  return expr;
}

}  // namespace

ExprPtr Parser::parse_expression() {
  Deeper deeper(*this);
  int line = current().line;
  ExprPtr value = parse_or();
  uint32_t nested = depth_;
  while (skip_name("if")) {
    // a if b if c nests to the left without recursion here; the tree's walks recurse on it.
    if (++nested > max_depth_) {
      throw TemplateError(Fault::kLimit, "too many conditions in one expression", line);
    }
    auto conditional = std::make_unique<ConditionalExpr>(line);
    conditional->then = std::move(value);
    conditional->test = parse_or();
    if (skip_name("else")) conditional->otherwise = parse_expression();
    value = std::move(conditional);
  }
  return value;
}

ExprPtr Parser::parse_or() {
  ExprPtr left = parse_and();
  bool chained = false;
  while (skip_name("or")) left = chain(std::move(left), ExprKind::kOr, chained, parse_and());
  return left;
}

ExprPtr Parser::parse_and() {
  ExprPtr left = parse_not();
  bool chained = false;
  while (skip_name("and")) left = chain(std::move(left), ExprKind::kAnd, chained, parse_not());
  return left;
}

ExprPtr Parser::parse_not() {
  if (!current().is_name("not")) return parse_compare();
  Deeper deeper(*this);
  int line = next().line;
  return wrap(ExprKind::kNot, line, parse_not());
}

std::optional<Op> Parser::take_comparison() {
  static constexpr std::pair<std::string_view, Op> kOperators[] = {
      {"==", Op::kEqual},     {"!=", Op::kNotEqual}, {"<", Op::kLess},
      {"<=", Op::kLessEqual}, {">", Op::kGreater},   {">=", Op::kGreaterEqual},
  };
  for (const auto& [text, op] : kOperators) {
    if (skip_operator(text)) return op;
  }
  if (skip_name("in")) return Op::kIn;
  if (current().is_name("not") && look().is_name("in")) {
    next();
    next();
    return Op::kNotIn;
  }
  return std::nullopt;
}

ExprPtr Parser::parse_compare() {
  int line = current().line;
  ExprPtr first = parse_arithmetic(0);
  std::optional<Op> op = take_comparison();
  if (!op) return first;
  auto compare = std::make_unique<OperatorExpr>(ExprKind::kCompare, line);
  compare->first = std::move(first);
  for (; op; op = take_comparison()) compare->rest.emplace_back(*op, parse_arithmetic(0));
  return compare;
}

/// Level 0: + and -; then ~ (which binds tighter); level 1: * / // %; level 2: **, from the left.
ExprPtr Parser::parse_arithmetic(int level) {
  static constexpr struct {
    int level;
    std::string_view text;
    Op op;
  } kOperators[] = {{0, "+", Op::kAdd},    {0, "-", Op::kSubtract},     {1, "*", Op::kMultiply},
                    {1, "/", Op::kDivide}, {1, "//", Op::kFloorDivide}, {1, "%", Op::kModulo},
                    {2, "**", Op::kPower}};
  auto operand = [&] {
    if (level == 0) return parse_concat();
    return level == 1 ? parse_arithmetic(2) : parse_unary(true);
  };
  int line = current().line;
  ExprPtr first = operand();
  std::unique_ptr<OperatorExpr> chained;
  for (bool found = true; found;) {
    found = false;
    for (const auto& candidate : kOperators) {
      if (candidate.level != level || !skip_operator(candidate.text)) continue;
      if (chained == nullptr) {
        chained = std::make_unique<OperatorExpr>(ExprKind::kArithmetic, line);
        chained->first = std::move(first);
      }
      chained->rest.emplace_back(candidate.op, operand());
      found = true;
      break;
    }
  }
  if (chained != nullptr) return chained;
  return first;
}

ExprPtr Parser::parse_concat() {
  ExprPtr left = parse_arithmetic(1);
  bool chained = false;
  while (skip_operator("~")) {
    left = chain(std::move(left), ExprKind::kConcat, chained, parse_arithmetic(1));
  }
  return left;
}

ExprPtr Parser::parse_unary(bool with_filter) {
  ExprPtr node;
  int line = current().line;
  if (current().is_operator("-") || current().is_operator("+")) {
    Deeper deeper(*this);
    ExprKind kind = next().value == "-" ? ExprKind::kNegate : ExprKind::kPlus;
    node = wrap(kind, line, parse_unary(false));
  } else {
    node = parse_primary();
  }
  return parse_postfix(std::move(node), with_filter);
}

ExprPtr Parser::parse_primary() {
  const Token& token = current();
  int line = token.line;
  if (token.type == TokenType::kName) {
    const std::string& name = next().value;
    if (name == "true" || name == "True") {
      return std::make_unique<LiteralExpr>(Value::boolean(true), line);
    }
    if (name == "false" || name == "False") {
      return std::make_unique<LiteralExpr>(Value::boolean(false), line);
    }
    if (name == "none" || name == "None") return std::make_unique<LiteralExpr>(Value::none(), line);
    for (MacroStmt* macro : macros_) {
      macro->uses_varargs |= name == "varargs";
      macro->uses_kwargs |= name == "kwargs";
      macro->uses_caller |= name == "caller";
    }
    return std::make_unique<NameExpr>(intern(name), line);
  }
  if (token.type == TokenType::kString) {
    std::string text = next().value;
    while (current().type == TokenType::kString) text += next().value;
    return std::make_unique<LiteralExpr>(literal_string(std::move(text)), line);
  }
  if (token.type == TokenType::kInteger || token.type == TokenType::kFloat) return parse_number();
  if (token.is_operator("(")) {
    next();
    ExprPtr inner = parse_tuple(true, true);
    expect_operator(")");
    return inner;
  }
  if (token.is_operator("[")) return parse_list();
  if (token.is_operator("{")) return parse_dict();
  fail("unexpected '" + describe(token) + "'");
}

ExprPtr Parser::parse_number() {
  const Token& token = next();
  if (token.type == TokenType::kFloat) {
    return std::make_unique<LiteralExpr>(Value::real(std::strtod(token.value.c_str(), nullptr)),
                                         token.line);
  }
  std::string_view digits = token.value;
  int base = 10;
  if (digits.size() > 1 && digits[0] == '0' && (digits[1] | 0x20) > '9') {
    char prefix = static_cast<char>(digits[1] | 0x20);
    base = prefix == 'x' ? 16 : (prefix == 'o' ? 8 : 2);
    digits.remove_prefix(2);
  }
  auto number = BigInt::parse(digits, base);
  if (!number) fail("an integer literal is too large");
  if (auto small = number->to_int64()) {
    return std::make_unique<LiteralExpr>(Value::integer(*small), token.line);
  }
  Value big(Kind::kBigInt, std::make_shared<BigIntObject>(std::move(*number)));
  return std::make_unique<LiteralExpr>(std::move(big), token.line);
}

bool Parser::at_tuple_end(std::string_view end_name) const {
  return current().type == TokenType::kPrintEnd || current().type == TokenType::kBlockEnd ||
         current().is_operator(")") || (!end_name.empty() && current().is_name(end_name));
}

ExprPtr Parser::parse_tuple(bool with_conditional, bool parenthesized, std::string_view end_name) {
  Deeper deeper(*this);
  int line = current().line;
  auto tuple = std::make_unique<ItemsExpr>(ExprKind::kTuple, line);
  bool comma = false;
  while (!at_tuple_end(end_name)) {
    tuple->items.push_back(with_conditional ? parse_expression() : parse_or());
    if (!skip_operator(",")) break;
    comma = true;
  }
  if (comma) return tuple;
  if (!tuple->items.empty()) return std::move(tuple->items.front());
  if (!parenthesized) fail("Expected an expression, got '" + describe(current()) + "'");
  return tuple;
}

ExprPtr Parser::parse_list() {
  auto list = std::make_unique<ItemsExpr>(ExprKind::kList, next().line);
  while (!current().is_operator("]")) {
    list->items.push_back(parse_expression());
    if (!skip_operator(",")) break;
  }
  expect_operator("]");
  return list;
}

ExprPtr Parser::parse_dict() {
  auto dict = std::make_unique<DictExpr>(next().line);
  while (!current().is_operator("}")) {
    ExprPtr key = parse_expression();
    expect_operator(":");
    dict->entries.emplace_back(std::move(key), parse_expression());
    if (!skip_operator(",")) break;
  }
  expect_operator("}");
  return dict;
}

ExprPtr Parser::parse_postfix(ExprPtr base, bool filters) {
  std::unique_ptr<PostfixExpr> postfix;
  bool filtered = false;  // after a filter or test only calls, filters and tests may follow
  while (true) {
    Postfix step;
    int line = current().line;
    if (!filtered && (current().is_operator(".") || current().is_operator("["))) {
      step = parse_subscript();
    } else if (current().is_operator("(")) {
      step.kind = PostfixKind::kCall;
      step.args = parse_call_args();
    } else if (filters && current().is_operator("|")) {
      next();
      step = parse_filter();
      filtered = true;
    } else if (filters && current().is_name("is")) {
      next();
      step = parse_test();
      filtered = true;
    } else {
      break;
    }
    step.line = line;
    if (postfix == nullptr) {
      postfix = std::make_unique<PostfixExpr>(base->line);
      postfix->base = std::move(base);
    }
    postfix->steps.push_back(std::move(step));
  }
  if (postfix != nullptr) return postfix;
  return base;
}

Postfix Parser::parse_subscript() {
  Postfix step;
  if (skip_operator(".")) {
    if (current().type == TokenType::kInteger) {
      step.kind = PostfixKind::kItem;
      step.item = parse_number();
      return step;
    }
    step.name = expect(TokenType::kName).value;
    step.name_value = literal_string(step.name);
    return step;
  }
  expect_operator("[");
  auto at_end = [&] { return current().is_operator("]") || current().is_operator(","); };
  step.kind = PostfixKind::kItem;
  ExprPtr first;
  if (!current().is_operator(":")) first = parse_expression();
  if (skip_operator(":")) {
    step.kind = PostfixKind::kSlice;
    step.start = std::move(first);
    if (!current().is_operator(":") && !at_end()) step.stop = parse_expression();
    if (skip_operator(":") && !at_end()) step.step = parse_expression();
  } else if (current().is_operator(",")) {
    auto tuple = std::make_unique<ItemsExpr>(ExprKind::kTuple, current().line);
    tuple->items.push_back(std::move(first));
    while (skip_operator(",")) tuple->items.push_back(parse_expression());
    step.item = std::move(tuple);
  } else {
    step.item = std::move(first);
  }
  expect_operator("]");
  return step;
}

std::string Parser::parse_dotted_name() {
  std::string name = expect(TokenType::kName).value;
  while (skip_operator(".")) name += "." + expect(TokenType::kName).value;
  return name;
}

Postfix Parser::parse_filter() {
  Postfix step;
  step.kind = PostfixKind::kFilter;
  step.line = current().line;
  step.name = parse_dotted_name();
  if (current().is_operator("(")) step.args = parse_call_args();
  return step;
}

Postfix Parser::parse_test() {
  Postfix step;
  step.kind = PostfixKind::kTest;
  step.negated = skip_name("not");
  step.name = parse_dotted_name();
  const Token& token = current();
  if (token.is_operator("(")) {
    step.args = parse_call_args();
    return step;
  }
  bool value_follows = token.type == TokenType::kName || token.type == TokenType::kString ||
                       token.type == TokenType::kInteger || token.type == TokenType::kFloat ||
                       token.is_operator("[") || token.is_operator("{");
  // `if` and `in` too: a test before an inline condition takes no argument.
  for (std::string_view keyword : {"else", "or", "and", "if", "in", "not", "recursive"}) {
    value_follows = value_follows && !token.is_name(keyword);
  }
  if (!value_follows) return step;
  if (token.is_name("is")) fail("You cannot chain multiple tests with is");
  step.args.positional.push_back(parse_postfix(parse_primary(), false));
  return step;
}

CallArgs Parser::parse_call_args() {
  expect_operator("(");
  CallArgs args;
  while (!current().is_operator(")")) {
    parse_call_arg(args);
    if (!skip_operator(",")) break;
  }
  expect_operator(")");
  return args;
}

void Parser::parse_call_arg(CallArgs& args) {
  auto ensure = [&](bool ok) {
    if (!ok) fail("invalid syntax for function call expression");
  };
  if (skip_operator("*")) {
    ensure(args.star == nullptr && args.double_star == nullptr);
    args.star = parse_expression();
  } else if (skip_operator("**")) {
    ensure(args.double_star == nullptr);
    args.double_star = parse_expression();
  } else if (current().type == TokenType::kName && look().is_operator("=")) {
    ensure(args.double_star == nullptr);
    std::string name = next().value;
    next();
    args.named.emplace_back(std::move(name), parse_expression());
  } else {
    ensure(args.star == nullptr && args.double_star == nullptr && args.named.empty());
    args.positional.push_back(parse_expression());
  }
}

}  // namespace hearth::jinja
