#pragma once
// The parsed template. Chains (a.b.c|f|g, a + b + c, a and b) are flat lists, so that the nesting
// of the tree, which all walks over it recurse on, is bounded by the parser's depth limit.

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "server/chat/value.h"

namespace hearth::jinja {

using NameId = uint32_t;  // index into Template::names

enum class ExprKind : uint8_t {
  kLiteral,
  kName,
  kList,
  kTuple,
  kDict,
  kPostfix,
  kArithmetic,
  kConcat,
  kCompare,
  kAnd,
  kOr,
  kNot,
  kNegate,
  kPlus,
  kConditional,
};

struct Expr {
  Expr(ExprKind k, int l) : kind(k), line(l) {}
  Expr(const Expr&) = delete;
  Expr& operator=(const Expr&) = delete;
  virtual ~Expr() = default;
  ExprKind kind;
  int line;
};
using ExprPtr = std::unique_ptr<Expr>;

struct LiteralExpr : Expr {
  LiteralExpr(Value v, int l) : Expr(ExprKind::kLiteral, l), value(std::move(v)) {}
  Value value;
};

struct NameExpr : Expr {
  NameExpr(NameId n, int l) : Expr(ExprKind::kName, l), name(n) {}
  NameId name;
};

/// kList, kTuple, kConcat, kAnd, kOr: operands in order. kNot, kNegate, kPlus: one operand.
struct ItemsExpr : Expr {
  using Expr::Expr;
  std::vector<ExprPtr> items;
};

struct DictExpr : Expr {
  explicit DictExpr(int l) : Expr(ExprKind::kDict, l) {}
  std::vector<std::pair<ExprPtr, ExprPtr>> entries;
};

enum class Op : uint8_t {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn,
};

/// kArithmetic (left to right) and kCompare (chained as in a < b < c).
struct OperatorExpr : Expr {
  using Expr::Expr;
  ExprPtr first;
  std::vector<std::pair<Op, ExprPtr>> rest;
};

struct ConditionalExpr : Expr {
  explicit ConditionalExpr(int l) : Expr(ExprKind::kConditional, l) {}
  ExprPtr test, then, otherwise;  // otherwise may be null: undefined
};

struct CallArgs {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr star, double_star;  // *args, **kwargs; may be null
};

enum class PostfixKind : uint8_t { kAttribute, kItem, kSlice, kCall, kFilter, kTest };

struct Postfix {
  PostfixKind kind = PostfixKind::kAttribute;
  bool negated = false;  // kTest: is not
  int line = 0;
  std::string name;           // attribute, filter or test
  Value name_value;           // the attribute's name as a value
  ExprPtr item;               // kItem
  ExprPtr start, stop, step;  // kSlice; each may be null
  CallArgs args;              // kCall, kFilter, kTest
};

struct PostfixExpr : Expr {
  explicit PostfixExpr(int l) : Expr(ExprKind::kPostfix, l) {}
  ExprPtr base;
  std::vector<Postfix> steps;
};

enum class StmtKind : uint8_t {
  kText,
  kOutput,
  kSet,
  kSetBlock,
  kFor,
  kIf,
  kWith,
  kMacro,
  kCallBlock,
  kFilterBlock,
  kScope,  // generation and block: the body with its own variables
  kBreak,
  kContinue,
};

struct Stmt {
  Stmt(StmtKind k, int l) : kind(k), line(l) {}
  Stmt(const Stmt&) = delete;
  Stmt& operator=(const Stmt&) = delete;
  virtual ~Stmt() = default;
  StmtKind kind;
  int line;
};
using StmtPtr = std::unique_ptr<Stmt>;
using Body = std::vector<StmtPtr>;

/// What can stand on the left of an assignment.
struct Target {
  enum class Kind : uint8_t { kName, kTuple, kNamespaceAttribute } kind = Kind::kName;
  NameId name = 0;
  std::string attribute;
  std::vector<Target> items;
};

struct TextStmt : Stmt {
  TextStmt(std::string t, int l) : Stmt(StmtKind::kText, l), text(std::move(t)) {}
  std::string text;
};

struct OutputStmt : Stmt {
  OutputStmt(ExprPtr e, int l) : Stmt(StmtKind::kOutput, l), expr(std::move(e)) {}
  ExprPtr expr;
};

struct SetStmt : Stmt {
  explicit SetStmt(int l) : Stmt(StmtKind::kSet, l) {}
  Target target;
  ExprPtr value;
};

/// {% set x | filters %}body{% endset %}
struct SetBlockStmt : Stmt {
  explicit SetBlockStmt(int l) : Stmt(StmtKind::kSetBlock, l) {}
  Target target;
  std::vector<Postfix> filters;
  Body body;
};

struct ForStmt : Stmt {
  explicit ForStmt(int l) : Stmt(StmtKind::kFor, l) {}
  Target target;
  ExprPtr iterable;
  ExprPtr filter;  // may be null
  bool recursive = false;
  Body body, otherwise;
};

struct IfStmt : Stmt {
  explicit IfStmt(int l) : Stmt(StmtKind::kIf, l) {}
  std::vector<std::pair<ExprPtr, Body>> branches;
  Body otherwise;
};

struct WithStmt : Stmt {
  explicit WithStmt(int l) : Stmt(StmtKind::kWith, l) {}
  std::vector<std::pair<Target, ExprPtr>> bindings;
  Body body;
};

struct Parameter {
  NameId name = 0;
  ExprPtr fallback;  // may be null
};

/// A macro, or the body of a call block (named "caller").
struct MacroStmt : Stmt {
  explicit MacroStmt(int l) : Stmt(StmtKind::kMacro, l) {}
  std::string name;
  NameId name_id = 0;
  std::vector<Parameter> parameters;
  Body body;
  bool uses_varargs = false, uses_kwargs = false, uses_caller = false;
};

struct CallBlockStmt : Stmt {
  explicit CallBlockStmt(int l) : Stmt(StmtKind::kCallBlock, l) {}
  ExprPtr call;  // a PostfixExpr that ends in kCall
  std::unique_ptr<MacroStmt> caller;
};

struct FilterBlockStmt : Stmt {
  explicit FilterBlockStmt(int l) : Stmt(StmtKind::kFilterBlock, l) {}
  std::vector<Postfix> filters;
  Body body;
};

struct ScopeStmt : Stmt {
  explicit ScopeStmt(int l) : Stmt(StmtKind::kScope, l) {}
  Body body;
};

struct Template {
  Body body;
  std::vector<std::string> names;  // all variables that the text mentions
};

}  // namespace hearth::jinja
