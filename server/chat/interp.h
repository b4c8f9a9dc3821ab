#pragma once
// The evaluator: one Interp renders one template once, on one thread.

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/chat/ast.h"
#include "server/chat/budget.h"
#include "server/chat/chat_template.h"
#include "server/chat/text_builder.h"
#include "server/chat/value.h"

namespace hearth::jinja {

class Interp;

/// Evaluated arguments of a call.
struct Args {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

/// Variables of one scope; a name that is not here is looked for in the parent.
struct Frame : Object {
  std::vector<std::pair<NameId, Value>> variables;
  std::shared_ptr<Frame> parent;
};

struct CallableObject : Object {
  std::string name;
  virtual Value call(Interp& interp, Args& args) = 0;
};

using NativeFn = Value (*)(Interp& interp, Args& args);
struct NativeObject : CallableObject {
  NativeFn function = nullptr;
  Value call(Interp& interp, Args& args) override { return function(interp, args); }
};

using MethodFn = Value (*)(Interp& interp, const Value& self, Args& args);
/// A method taken off its object without calling it.
struct MethodObject : CallableObject {
  Value self;
  MethodFn function = nullptr;
  Value call(Interp& interp, Args& args) override { return function(interp, self, args); }
};

struct MacroObject : CallableObject {
  const MacroStmt* macro = nullptr;
  std::shared_ptr<Frame> closure;
  Value call(Interp& interp, Args& args) override;
};

struct CyclerObject : CallableObject {
  std::vector<Value> items;
  size_t at = 0;
  Value call(Interp& interp, Args& args) override;
};

struct JoinerObject : CallableObject {
  Value separator;
  bool used = false;
  Value call(Interp& interp, Args& args) override;
};

struct NamespaceObject : Object {
  std::vector<std::pair<std::string, Value>> attributes;
  Value* find(std::string_view name);
};

struct LoopObject : Object {
  std::vector<Value> owned;  // the items, unless `source` holds them
  Value source;
  std::span<const Value> items;
  size_t index = 0;
  uint32_t depth = 0;
  Value changed;                       // what loop.changed last saw, a tuple
  const ForStmt* recursive = nullptr;  // null: not recursive, or the loop is over
  std::shared_ptr<Frame> outer;        // only while the loop runs
};

enum class Flow : uint8_t { kNormal, kBreak, kContinue };

class Interp {
 public:
  Interp(const Template& source, const TemplateLimits& limits, int64_t now_unix_seconds);
  ~Interp();
  Interp(const Interp&) = delete;
  Interp& operator=(const Interp&) = delete;

  /// Renders with the members of the object `context` as variables.
  std::string render(const OrderedJson& context);

  [[nodiscard]] Budget& budget() { return budget_; }
  [[nodiscard]] int64_t now() const { return now_; }
  [[nodiscard]] int line() const { return line_; }
  [[nodiscard]] const std::vector<std::string>& names() const { return template_.names; }

  // Values (interp_values.cpp). All are charged to the budget.
  Value string(std::string text, bool markup = false);
  Value big(BigInt value);  // an int64 if it fits
  Value list(std::vector<Value> items) { return container(Kind::kList, std::move(items)); }
  Value tuple(std::vector<Value> items) { return container(Kind::kTuple, std::move(items)); }
  /// Later entries replace earlier ones with an equal key, in the earlier one's place.
  Value dict(std::vector<Entry> entries);
  Value view(const Value& dict, ViewKind kind);
  Value range(int64_t start, int64_t stop, int64_t step);
  Value iterator(std::vector<Value> items, const char* name = "generator");
  Value undefined(std::string message, bool unsafe = false);
  Value method(const Value& self, std::string_view name, MethodFn function);
  Value from_json(const OrderedJson& json, uint32_t depth = 0);
  template <typename T>
  std::shared_ptr<T> make(size_t extra_bytes = 0) {
    auto object = std::make_shared<T>();
    adopt(*object, sizeof(T) + extra_bytes);
    return object;
  }
  /// Keeps an object that may take part in a cycle until the rendering ends.
  void keep(const std::shared_ptr<NamespaceObject>& object) { namespaces_.push_back(object); }
  void check_nesting(uint32_t nesting) const;

  // Calls (interp_call.cpp).
  Value call(const Value& function, Args& args);
  Value call_filter(std::string_view name, const Value& subject, Args& args);
  bool call_test(std::string_view name, const Value& subject, Args& args);
  Value call_macro(MacroObject& macro, Args& args);
  Value call_loop(LoopObject& loop, Args& args);

  /// Nesting of evaluation: C++ stack. Faults beyond the limit.
  class Deeper {
   public:
    explicit Deeper(Interp& interp) : interp_(interp) {
      if (++interp_.frames_ > interp_.max_frames_) [[unlikely]]
        interp_.too_deep();
    }
    ~Deeper() { --interp_.frames_; }
    Deeper(const Deeper&) = delete;
    Deeper& operator=(const Deeper&) = delete;

   private:
    Interp& interp_;
  };

 private:
  void adopt(Object& object, size_t bytes);
  Value container(Kind kind, std::vector<Value> items);
  [[noreturn]] void too_deep();

  // Statements (interp.cpp).
  Flow run_body(const Body& body);
  Flow run(const Stmt& statement);
  Flow run_if(const IfStmt& statement);
  Flow run_for(const ForStmt& statement, const Value& iterable, uint32_t depth);
  std::vector<Value> filtered_items(const ForStmt& statement, std::span<const Value> items);
  Flow run_with(const WithStmt& statement);
  void run_set_block(const SetBlockStmt& statement);
  void run_filter_block(const FilterBlockStmt& statement);
  void run_call_block(const CallBlockStmt& statement);
  Value define_macro(const MacroStmt& statement);
  /// What the body writes, run in a scope of its own.
  std::string capture(const Body& body);
  Value apply_filters(const std::vector<Postfix>& filters, Value value);
  void write(const Value& value);

  // Variables.
  Value lookup(NameId name);
  void assign(NameId name, Value value);
  void assign(const Target& target, const Value& value);
  void push_frame();
  void pop_frame() { frame_ = frame_->parent; }
  friend class Scope;

  // Expressions (interp_expr.cpp).
  Value eval(const Expr& expr);
  Value eval_postfix(const PostfixExpr& expr);
  Value apply(const Postfix& step, Value& value);
  Value eval_arithmetic(const OperatorExpr& expr);
  Value eval_compare(const OperatorExpr& expr);
  Value eval_concat(const ItemsExpr& expr);
  Value eval_logic(const ItemsExpr& expr);
  Value eval_dict(const DictExpr& expr);
  std::vector<Value> eval_items(const ItemsExpr& expr);
  Args eval_args(const CallArgs& args);
  void bind_parameters(MacroObject& macro, Args& args);

  const Template& template_;
  Budget budget_;
  int64_t now_;
  int line_ = 0;
  uint32_t frames_ = 0, max_frames_, calls_ = 0;
  std::vector<Value> globals_;       // by NameId: context, builtins and top-level assignments
  std::optional<NameId> loop_name_;  // of "loop", if the template mentions it
  std::shared_ptr<Frame> frame_;     // null at the top level
  TextBuilder* out_ = nullptr;
  std::vector<std::shared_ptr<NamespaceObject>> namespaces_;
  std::vector<std::shared_ptr<MacroObject>> macros_;
};

/// A scope of variables while it lives.
class Scope {
 public:
  explicit Scope(Interp& interp) : interp_(interp), saved_(interp.frame_) { interp_.push_frame(); }
  Scope(Interp& interp, std::shared_ptr<Frame> parent) : interp_(interp), saved_(interp.frame_) {
    interp_.frame_ = std::move(parent);
    interp_.push_frame();
  }
  ~Scope() { interp_.frame_ = std::move(saved_); }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

 private:
  Interp& interp_;
  std::shared_ptr<Frame> saved_;
};

// Members (members.cpp).
/// obj.name: attributes and methods first, then items; undefined if there is neither.
Value get_attribute(Interp& interp, const Value& object, const Value& name);
/// obj[key]: items first, then attributes.
Value get_item(Interp& interp, const Value& object, const Value& key);
/// obj[start:stop:step]; none means absent.
Value get_slice(Interp& interp, const Value& object, const Value& start, const Value& stop,
                const Value& step);

// Tables of the language. A null pointer: there is no such thing.
MethodFn find_string_method(std::string_view name);
MethodFn find_container_method(const Value& object, std::string_view name);
MethodFn find_filter(std::string_view name);
using TestFn = bool (*)(Interp& interp, const Value& subject, Args& args);
TestFn find_test(std::string_view name);
NativeFn find_global(std::string_view name);
/// Methods that would change an object: the sandbox forbids them.
bool is_mutating_method(const Value& object, std::string_view name);

}  // namespace hearth::jinja
