#include "server/chat/interp.h"

#include <algorithm>

#include "server/chat/operators.h"
#include "server/chat/printing.h"

namespace hearth::jinja {

/// Evaluation may recurse this many times the depth limit: one level of a template's nesting is a
/// handful of statements and expressions inside each other.
constexpr uint32_t kFramesPerDepth = 8;

Interp::Interp(const Template& source, const TemplateLimits& limits, int64_t now_unix_seconds)
    : template_(source),
      budget_(limits),
      now_(now_unix_seconds),
      max_frames_(limits.max_depth * kFramesPerDepth) {}

Interp::~Interp() {
  // Namespaces and macros are the only objects that can close a cycle; emptied, all of it goes.
  frame_ = nullptr;
  globals_.clear();
  for (const auto& object : namespaces_) object->attributes.clear();
  for (const auto& macro : macros_) macro->closure = nullptr;
}

void Interp::too_deep() {
  --frames_;
  limit_fault("the template nests too deep at run time");
}

std::string Interp::render(const OrderedJson& context) {
  globals_.assign(template_.names.size(), Value());
  for (size_t i = 0; i < template_.names.size(); ++i) {
    const std::string& name = template_.names[i];
    if (name == "loop") loop_name_ = static_cast<NameId>(i);
    if (auto it = context.find(name); it != context.end()) {
      globals_[i] = from_json(*it);
    } else if (NativeFn function = find_global(name)) {
      auto object = make<NativeObject>();
      object->name = name;
      object->function = function;
      globals_[i] = Value(Kind::kCallable, std::move(object));
    }
  }
  TextBuilder out(budget_);
  out_ = &out;
  run_body(template_.body);
  return out.take();
}

void Interp::push_frame() {
  auto frame = make<Frame>();
  frame->parent = std::move(frame_);
  frame_ = std::move(frame);
}

Value Interp::lookup(NameId name) {
  for (Frame* frame = frame_.get(); frame != nullptr; frame = frame->parent.get()) {
    if (frame->variables.size() > 16) budget_.value_work(frame->variables.size());
    for (const auto& [id, value] : frame->variables) {
      if (id == name) return value;
    }
  }
  const Value& value = globals_[name];
  if (!value.is_undefined() || value.pointer() != nullptr) return value;
  return undefined("'" + template_.names[name] + "' is undefined");
}

void Interp::assign(NameId name, Value value) {
  if (frame_ == nullptr) {
    globals_[name] = std::move(value);
    return;
  }
  for (auto& [id, variable] : frame_->variables) {
    if (id != name) continue;
    variable = std::move(value);
    return;
  }
  constexpr size_t kBytes = sizeof(std::pair<NameId, Value>);
  budget_.retain(kBytes);
  frame_->charged += kBytes;
  frame_->variables.emplace_back(name, std::move(value));
}

void Interp::assign(const Target& target, const Value& value) {
  switch (target.kind) {
    case Target::Kind::kName:
      // An undefined value without a reason would read as a missing variable.
      assign(target.name, value.is_undefined() && value.pointer() == nullptr
                              ? undefined("'" + template_.names[target.name] + "' is undefined")
                              : value);
      return;
    case Target::Kind::kNamespaceAttribute: {
      Value object = lookup(target.name);
      if (!object.is(Kind::kNamespace)) {
        runtime_fault("cannot assign attribute on non-namespace object");
      }
      auto& space = object.object<NamespaceObject>();
      budget_.value_work(space.attributes.size());
      if (Value* slot = space.find(target.attribute)) {
        *slot = value;
        return;
      }
      size_t bytes = sizeof(Value) + sizeof(std::string) + target.attribute.size();
      budget_.retain(bytes);
      space.charged += bytes;
      space.attributes.emplace_back(target.attribute, value);
      return;
    }
    case Target::Kind::kTuple:
      break;
  }
  Items items(*this, value, "cannot unpack non-iterable ");
  size_t wanted = target.items.size();
  if (items.size() < wanted) {
    runtime_fault("not enough values to unpack (expected " + std::to_string(wanted) + ", got " +
                  std::to_string(items.size()) + ")");
  }
  if (items.size() > wanted) {
    runtime_fault("too many values to unpack (expected " + std::to_string(wanted) + ")");
  }
  for (size_t i = 0; i < wanted; ++i) assign(target.items[i], items[i]);
}

void Interp::write(const Value& value) {
  if (value.is_string()) {
    out_->append(value.text());
  } else {
    append_str(*this, *out_, value);
  }
}

Flow Interp::run_body(const Body& body) {
  for (const StmtPtr& statement : body) {
    if (Flow flow = run(*statement); flow != Flow::kNormal) return flow;
  }
  return Flow::kNormal;
}

Flow Interp::run(const Stmt& statement) {
  Deeper deeper(*this);
  budget_.step();
  line_ = statement.line;
  switch (statement.kind) {
    case StmtKind::kText:
      out_->append(static_cast<const TextStmt&>(statement).text);
      return Flow::kNormal;
    case StmtKind::kOutput:
      write(eval(*static_cast<const OutputStmt&>(statement).expr));
      return Flow::kNormal;
    case StmtKind::kSet: {
      const auto& set = static_cast<const SetStmt&>(statement);
      assign(set.target, eval(*set.value));
      return Flow::kNormal;
    }
    case StmtKind::kSetBlock:
      run_set_block(static_cast<const SetBlockStmt&>(statement));
      return Flow::kNormal;
    case StmtKind::kFor: {
      const auto& loop = static_cast<const ForStmt&>(statement);
      return run_for(loop, eval(*loop.iterable), 0);
    }
    case StmtKind::kIf:
      return run_if(static_cast<const IfStmt&>(statement));
    case StmtKind::kWith:
      return run_with(static_cast<const WithStmt&>(statement));
    case StmtKind::kMacro: {
      const auto& macro = static_cast<const MacroStmt&>(statement);
      assign(macro.name_id, define_macro(macro));
      return Flow::kNormal;
    }
    case StmtKind::kCallBlock:
      run_call_block(static_cast<const CallBlockStmt&>(statement));
      return Flow::kNormal;
    case StmtKind::kFilterBlock:
      run_filter_block(static_cast<const FilterBlockStmt&>(statement));
      return Flow::kNormal;
    case StmtKind::kScope: {
      Scope scope(*this);
      return run_body(static_cast<const ScopeStmt&>(statement).body);
    }
    case StmtKind::kBreak:
      return Flow::kBreak;
    case StmtKind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNormal;
}

Flow Interp::run_if(const IfStmt& statement) {
  for (const auto& [test, body] : statement.branches) {
    if (truthy(eval(*test))) return run_body(body);
  }
  return run_body(statement.otherwise);
}

std::vector<Value> Interp::filtered_items(const ForStmt& statement, std::span<const Value> items) {
  std::vector<Value> kept;
  for (const Value& item : items) {
    budget_.step();
    Scope scope(*this);
    assign(statement.target, item);
    if (truthy(eval(*statement.filter))) kept.push_back(item);
  }
  return kept;
}

Flow Interp::run_for(const ForStmt& statement, const Value& iterable, uint32_t depth) {
  Items source(*this, iterable, "");
  auto loop = make<LoopObject>();
  if (statement.filter != nullptr) {
    loop->owned = filtered_items(statement, source.span());
  } else {
    loop->source = iterable;
    loop->owned = source.take_owned();
  }
  loop->items = statement.filter != nullptr || !loop->owned.empty()
                    ? std::span<const Value>(loop->owned)
                    : source.span();
  size_t bytes = loop->owned.size() * sizeof(Value);
  budget_.retain(bytes);
  loop->charged += bytes;
  for (const Value& item : loop->owned) loop->nesting = std::max(loop->nesting, item.nesting());
  loop->nesting = std::max(loop->nesting, iterable.nesting()) + 1;
  check_nesting(loop->nesting);
  loop->depth = depth;
  loop->recursive = statement.recursive ? &statement : nullptr;
  loop->outer = frame_;
  // Whatever ends the loop, the loop object (which a namespace may keep) lets go of its scope.
  struct Finish {
    LoopObject& loop;
    ~Finish() {
      loop.recursive = nullptr;
      loop.outer = nullptr;
    }
  } finish{*loop};
  Value loop_value(Kind::kLoop, loop);
  bool completed = false;  // some pass reached the end of the body
  for (loop->index = 0; loop->index < loop->items.size(); ++loop->index) {
    budget_.step();
    Scope scope(*this);
    assign(statement.target, loop->items[loop->index]);
    if (loop_name_) assign(*loop_name_, loop_value);
    Flow flow = run_body(statement.body);
    completed = completed || flow == Flow::kNormal;
    if (flow == Flow::kBreak) break;
  }
  if (completed) return Flow::kNormal;
  Scope scope(*this);  // a break in here ends the loop around this one
  return run_body(statement.otherwise);
}

Flow Interp::run_with(const WithStmt& statement) {
  std::vector<Value> values;
  for (const auto& [target, value] : statement.bindings) values.push_back(eval(*value));
  Scope scope(*this);
  for (size_t i = 0; i < values.size(); ++i) assign(statement.bindings[i].first, values[i]);
  return run_body(statement.body);
}

std::string Interp::capture(const Body& body) {
  TextBuilder text(budget_);
  TextBuilder* saved = std::exchange(out_, &text);
  struct Restore {
    TextBuilder*& out;
    TextBuilder* saved;
    ~Restore() { out = saved; }
  } restore{out_, saved};
  run_body(body);
  return text.take();
}

Value Interp::apply_filters(const std::vector<Postfix>& filters, Value value) {
  for (const Postfix& filter : filters) value = apply(filter, value);
  return value;
}

void Interp::run_set_block(const SetBlockStmt& statement) {
  Value value;
  {
    Scope scope(*this);
    value = apply_filters(statement.filters, string(capture(statement.body)));
  }
  assign(statement.target, value);
}

void Interp::run_filter_block(const FilterBlockStmt& statement) {
  Value value;
  {
    Scope scope(*this);
    value = apply_filters(statement.filters, string(capture(statement.body)));
  }
  write(value);
}

Value Interp::define_macro(const MacroStmt& statement) {
  auto macro = make<MacroObject>();
  macro->name = statement.name;
  macro->macro = &statement;
  macro->closure = frame_;
  macros_.push_back(macro);
  return {Kind::kCallable, std::move(macro)};
}

void Interp::run_call_block(const CallBlockStmt& statement) {
  const auto& postfix = static_cast<const PostfixExpr&>(*statement.call);
  Value function = eval(*postfix.base);
  for (size_t i = 0; i + 1 < postfix.steps.size(); ++i)
    function = apply(postfix.steps[i], function);
  Args args = eval_args(postfix.steps.back().args);
  args.named.emplace_back("caller", define_macro(*statement.caller));
  write(call(function, args));
}

}  // namespace hearth::jinja
