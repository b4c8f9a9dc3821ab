#include "server/chat/parser.h"

#include <algorithm>

namespace hearth::jinja {

Template parse_template(std::string_view source, uint32_t max_depth) {
  return Parser(tokenize_template(source), max_depth).run();
}

std::string describe(const Token& token) {
  switch (token.type) {
    case TokenType::kData:
      return "text";
    case TokenType::kPrintBegin:
      return "{{";
    case TokenType::kPrintEnd:
      return "}}";
    case TokenType::kBlockBegin:
      return "{%";
    case TokenType::kBlockEnd:
      return "%}";
    case TokenType::kString:
      return "string";
    case TokenType::kEnd:
      return "end of template";
    default:
      return token.value;
  }
}

Parser::Deeper::Deeper(Parser& parser) : parser_(parser) {
  if (parser_.depth_ >= parser_.max_depth_) {
    throw TemplateError(
        Fault::kLimit,
        "the template nests deeper than " + std::to_string(parser_.max_depth_) + " levels",
        parser_.current().line);
  }
  ++parser_.depth_;
}

void Parser::fail(const std::string& message) const {
  throw TemplateError(Fault::kSyntax, message, current().line);
}

void Parser::fail_unexpected(const std::string& expected) const {
  if (current().type == TokenType::kEnd) fail("unexpected end of template, expected " + expected);
  fail("expected " + expected + ", got '" + describe(current()) + "'");
}

bool Parser::skip_operator(std::string_view op) {
  if (!current().is_operator(op)) return false;
  next();
  return true;
}

bool Parser::skip_name(std::string_view name) {
  if (!current().is_name(name)) return false;
  next();
  return true;
}

void Parser::expect_operator(std::string_view op) {
  if (!skip_operator(op)) fail_unexpected("'" + std::string(op) + "'");
}

const Token& Parser::expect(TokenType type) {
  if (current().type != type) {
    fail_unexpected(type == TokenType::kName       ? "a name"
                    : type == TokenType::kBlockEnd ? "'%}'"
                    : type == TokenType::kPrintEnd ? "'}}'"
                                                   : "another token");
  }
  return next();
}

NameId Parser::intern(const std::string& name) {
  auto [it, fresh] = name_ids_.try_emplace(name, static_cast<NameId>(names_.size()));
  if (fresh) names_.push_back(name);
  return it->second;
}

Template Parser::run() {
  Template out;
  out.body = parse_body({});
  out.names = std::move(names_);
  return out;
}

Body Parser::parse_body(std::initializer_list<std::string_view> ends) {
  Deeper deeper(*this);
  Body body;
  while (current().type != TokenType::kEnd) {
    int line = current().line;
    if (current().type == TokenType::kData) {
      body.push_back(std::make_unique<TextStmt>(next().value, line));
      continue;
    }
    if (current().type == TokenType::kPrintBegin) {
      next();
      body.push_back(std::make_unique<OutputStmt>(parse_tuple(true, false), line));
      expect(TokenType::kPrintEnd);
      continue;
    }
    expect(TokenType::kBlockBegin);
    if (std::any_of(ends.begin(), ends.end(),
                    [&](std::string_view end) { return current().is_name(end); })) {
      return body;
    }
    parse_statement(body);
    expect(TokenType::kBlockEnd);
  }
  if (ends.size() != 0) {
    fail("unexpected end of template, expected '" + std::string(*(ends.end() - 1)) + "'");
  }
  return body;
}

Body Parser::parse_block(std::string_view end) {
  expect(TokenType::kBlockEnd);
  Body body = parse_body({end});
  next();
  return body;
}

void Parser::parse_statement(Body& out) {
  const Token tag = expect(TokenType::kName);
  const std::string& name = tag.value;
  if (name == "if") {
    out.push_back(parse_if());
  } else if (name == "for") {
    out.push_back(parse_for());
  } else if (name == "set") {
    out.push_back(parse_set());
  } else if (name == "macro") {
    out.push_back(parse_macro());
  } else if (name == "call") {
    out.push_back(parse_call_block());
  } else if (name == "filter") {
    out.push_back(parse_filter_block());
  } else if (name == "with") {
    out.push_back(parse_with());
  } else if (name == "generation") {
    out.push_back(parse_scope("endgeneration", false));
  } else if (name == "block") {
    out.push_back(parse_scope("endblock", true));
  } else if (name == "print") {
    parse_print(out);
  } else if (name == "break" || name == "continue") {
    if (loop_depth_ == 0) fail("'" + name + "' outside of a loop");
    out.push_back(
        std::make_unique<Stmt>(name == "break" ? StmtKind::kBreak : StmtKind::kContinue, tag.line));
  } else {
    refuse_tag(tag);
  }
}

void Parser::refuse_tag(const Token& tag) {
  for (std::string_view other : {"extends", "include", "import", "from", "autoescape"}) {
    if (tag.value != other) continue;
    throw TemplateError(Fault::kSyntax,
                        "the tag '" + tag.value + "' is not supported in chat templates", tag.line);
  }
  throw TemplateError(Fault::kSyntax, "Encountered unknown tag '" + tag.value + "'.", tag.line);
}

StmtPtr Parser::parse_set() {
  int line = current().line;
  Target target = parse_target(true);
  if (skip_operator("=")) {
    auto set = std::make_unique<SetStmt>(line);
    set->target = std::move(target);
    set->value = parse_tuple(true, false);
    return set;
  }
  auto set = std::make_unique<SetBlockStmt>(line);
  set->target = std::move(target);
  while (skip_operator("|")) set->filters.push_back(parse_filter());
  set->body = parse_block("endset");
  return set;
}

StmtPtr Parser::parse_for() {
  auto loop = std::make_unique<ForStmt>(current().line);
  loop->target = parse_target(false);
  if (!skip_name("in")) fail_unexpected("'in'");
  loop->iterable = parse_tuple(false, false, "recursive");
  if (skip_name("if")) loop->filter = parse_expression();
  loop->recursive = skip_name("recursive");
  expect(TokenType::kBlockEnd);
  ++loop_depth_;
  loop->body = parse_body({"else", "endfor"});
  --loop_depth_;
  if (next().value == "else") loop->otherwise = parse_block("endfor");
  return loop;
}

StmtPtr Parser::parse_if() {
  auto statement = std::make_unique<IfStmt>(current().line);
  while (true) {
    ExprPtr test = parse_tuple(false, false);
    expect(TokenType::kBlockEnd);
    Body body = parse_body({"elif", "else", "endif"});
    statement->branches.emplace_back(std::move(test), std::move(body));
    const Token& end = next();
    if (end.value == "elif") continue;
    if (end.value == "else") statement->otherwise = parse_block("endif");
    return statement;
  }
}

StmtPtr Parser::parse_with() {
  auto with = std::make_unique<WithStmt>(current().line);
  while (current().type != TokenType::kBlockEnd) {
    if (!with->bindings.empty()) expect_operator(",");
    Target target = parse_target(false);
    expect_operator("=");
    with->bindings.emplace_back(std::move(target), parse_expression());
  }
  with->body = parse_block("endwith");
  return with;
}

void Parser::parse_signature(MacroStmt& macro) {
  expect_operator("(");
  while (!current().is_operator(")")) {
    if (!macro.parameters.empty()) expect_operator(",");
    Parameter parameter;
    parameter.name = intern(expect(TokenType::kName).value);
    for (const Parameter& other : macro.parameters) {
      if (other.name == parameter.name) {
        fail("the parameter '" + names_[parameter.name] + "' appears twice");
      }
    }
    if (skip_operator("=")) {
      parameter.fallback = parse_expression();
    } else if (!macro.parameters.empty() && macro.parameters.back().fallback != nullptr) {
      fail("non-default argument follows default argument");
    }
    macro.parameters.push_back(std::move(parameter));
  }
  expect_operator(")");
}

void Parser::parse_macro_body(MacroStmt& macro, std::string_view end) {
  // A loop around the macro is not a loop around its body.
  uint32_t loops = std::exchange(loop_depth_, 0);
  macros_.push_back(&macro);
  macro.body = parse_block(end);
  macros_.pop_back();
  loop_depth_ = loops;
}

StmtPtr Parser::parse_macro() {
  auto macro = std::make_unique<MacroStmt>(current().line);
  macro->name = expect(TokenType::kName).value;
  macro->name_id = intern(macro->name);
  parse_signature(*macro);
  parse_macro_body(*macro, "endmacro");
  return macro;
}

StmtPtr Parser::parse_call_block() {
  auto block = std::make_unique<CallBlockStmt>(current().line);
  block->caller = std::make_unique<MacroStmt>(current().line);
  block->caller->name = "caller";
  if (current().is_operator("(")) parse_signature(*block->caller);
  block->call = parse_expression();
  bool is_call = block->call->kind == ExprKind::kPostfix &&
                 static_cast<PostfixExpr&>(*block->call).steps.back().kind == PostfixKind::kCall;
  if (!is_call) fail("expected call");
  parse_macro_body(*block->caller, "endcall");
  return block;
}

StmtPtr Parser::parse_filter_block() {
  auto block = std::make_unique<FilterBlockStmt>(current().line);
  do {
    block->filters.push_back(parse_filter());
  } while (skip_operator("|"));
  block->body = parse_block("endfilter");
  return block;
}

StmtPtr Parser::parse_scope(std::string_view end, bool named) {
  auto scope = std::make_unique<ScopeStmt>(current().line);
  std::string name;
  if (named) {
    name = expect(TokenType::kName).value;
    skip_name("scoped");
    skip_name("required");
  }
  uint32_t loops = std::exchange(loop_depth_, 0);
  scope->body = parse_block(end);
  loop_depth_ = loops;
  if (named) skip_name(name);
  return scope;
}

void Parser::parse_print(Body& out) {
  bool first = true;
  while (current().type != TokenType::kBlockEnd) {
    if (!std::exchange(first, false)) expect_operator(",");
    int line = current().line;
    out.push_back(std::make_unique<OutputStmt>(parse_expression(), line));
  }
}

Target Parser::parse_target(bool with_namespace) {
  Target tuple;
  tuple.kind = Target::Kind::kTuple;
  bool comma = false;
  while (!(comma && (current().is_operator("=") || current().is_name("in") ||
                     current().is_operator(")") || current().type == TokenType::kBlockEnd))) {
    tuple.items.push_back(parse_target_item(with_namespace));
    if (!skip_operator(",")) break;
    comma = true;
  }
  if (comma) return tuple;
  Target single = std::move(tuple.items.front());
  return single;
}

Target Parser::parse_target_item(bool with_namespace) {
  Target target;
  if (current().is_operator("(")) {
    Deeper deeper(*this);
    next();
    target = parse_target(with_namespace);
    expect_operator(")");
    return target;
  }
  const std::string name = expect(TokenType::kName).value;
  for (std::string_view constant : {"true", "false", "none", "True", "False", "None"}) {
    if (name == constant) fail("can't assign to '" + name + "'");
  }
  target.name = intern(name);
  if (with_namespace && skip_operator(".")) {
    target.kind = Target::Kind::kNamespaceAttribute;
    target.attribute = expect(TokenType::kName).value;
  }
  return target;
}

}  // namespace hearth::jinja
