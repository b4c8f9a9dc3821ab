#pragma once
// Tokens to tree.

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "server/chat/ast.h"
#include "server/chat/lexer.h"

namespace hearth::jinja {

/// Parses `source`. Throws TemplateError: kSyntax with the line, or kLimit if expressions and
/// blocks nest deeper than `max_depth`.
Template parse_template(std::string_view source, uint32_t max_depth);

/// Expressions (parser_expr.cpp) and statements (parser.cpp).
class Parser {
 public:
  Parser(std::vector<Token> tokens, uint32_t max_depth)
      : tokens_(std::move(tokens)), max_depth_(max_depth) {}
  Template run();

 private:
  // Statements.
  /// Statements up to a block tag named in `ends` (the cursor is then on that name), or the end.
  Body parse_body(std::initializer_list<std::string_view> ends);
  /// The rest of the opening tag's end, a body, and the closing tag's name, which is consumed.
  Body parse_block(std::string_view end);
  void parse_statement(Body& out);
  StmtPtr parse_set();
  StmtPtr parse_for();
  StmtPtr parse_if();
  StmtPtr parse_with();
  StmtPtr parse_macro();
  StmtPtr parse_call_block();
  StmtPtr parse_filter_block();
  StmtPtr parse_scope(std::string_view end, bool named);
  void parse_print(Body& out);
  void parse_signature(MacroStmt& macro);
  void parse_macro_body(MacroStmt& macro, std::string_view end);
  [[noreturn]] void refuse_tag(const Token& tag);

  Target parse_target(bool with_namespace);
  Target parse_target_item(bool with_namespace);

  // Expressions.
  ExprPtr parse_tuple(bool with_conditional, bool parenthesized, std::string_view end_name = {});
  ExprPtr parse_expression();
  ExprPtr parse_or();
  ExprPtr parse_and();
  ExprPtr parse_not();
  ExprPtr parse_compare();
  std::optional<Op> take_comparison();
  ExprPtr parse_arithmetic(int level);
  ExprPtr parse_concat();
  ExprPtr parse_unary(bool with_filter);
  ExprPtr parse_primary();
  ExprPtr parse_number();
  ExprPtr parse_list();
  ExprPtr parse_dict();
  /// .name [item] (call), and with `filters` also |filter and `is test`.
  ExprPtr parse_postfix(ExprPtr base, bool filters);
  Postfix parse_subscript();
  Postfix parse_filter();
  Postfix parse_test();
  CallArgs parse_call_args();
  void parse_call_arg(CallArgs& args);
  std::string parse_dotted_name();
  [[nodiscard]] bool at_tuple_end(std::string_view end_name) const;

  // Tokens.
  [[nodiscard]] const Token& current() const { return tokens_[at_]; }
  [[nodiscard]] const Token& look() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  const Token& next() {
    const Token& token = tokens_[at_];
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }
  bool skip_operator(std::string_view op);
  bool skip_name(std::string_view name);
  void expect_operator(std::string_view op);
  const Token& expect(TokenType type);
  [[noreturn]] void fail(const std::string& message) const;
  [[noreturn]] void fail_unexpected(const std::string& expected) const;

  NameId intern(const std::string& name);

  /// Counts nesting while it lives.
  class Deeper {
   public:
    explicit Deeper(Parser& parser);
    ~Deeper() { --parser_.depth_; }
    Deeper(const Deeper&) = delete;
    Deeper& operator=(const Deeper&) = delete;

   private:
    Parser& parser_;
  };

  std::vector<Token> tokens_;
  size_t at_ = 0;
  uint32_t max_depth_;
  uint32_t depth_ = 0;
  uint32_t loop_depth_ = 0;         // break and continue need a loop around them
  std::vector<MacroStmt*> macros_;  // those around the cursor
  std::vector<std::string> names_;
  std::unordered_map<std::string, NameId> name_ids_;
};

/// What an error message calls a token.
std::string describe(const Token& token);

}  // namespace hearth::jinja
