// Calls: functions, macros, recursive loops, filters and tests by name.

#include <algorithm>

#include "server/chat/interp.h"
#include "server/chat/operators.h"

namespace hearth::jinja {

Value Interp::call(const Value& function, Args& args) {
  Deeper deeper(*this);
  budget_.step();
  switch (function.kind()) {
    case Kind::kCallable:
      return function.object<CallableObject>().call(*this, args);
    case Kind::kLoop:
      return call_loop(function.object<LoopObject>(), args);
    case Kind::kUndefined:
      fault_undefined(function);
    default:
      runtime_fault(std::string("'") + type_name(function) + "' object is not callable");
  }
}

Value Interp::call_filter(std::string_view name, const Value& subject, Args& args) {
  Deeper deeper(*this);
  budget_.step();
  MethodFn filter = find_filter(name);
  if (filter == nullptr) runtime_fault("No filter named '" + std::string(name) + "' found.");
  return filter(*this, subject, args);
}

bool Interp::call_test(std::string_view name, const Value& subject, Args& args) {
  budget_.step();
  TestFn test = find_test(name);
  if (test == nullptr) runtime_fault("No test named '" + std::string(name) + "' found.");
  return test(*this, subject, args);
}

Value MacroObject::call(Interp& interp, Args& args) { return interp.call_macro(*this, args); }

namespace {
/// Takes the argument `name` out of the named ones.
std::optional<Value> take_named(Args& args, std::string_view name) {
  auto it = std::find_if(args.named.begin(), args.named.end(),
                         [&](const auto& entry) { return entry.first == name; });
  if (it == args.named.end()) return std::nullopt;
  Value value = std::move(it->second);
  args.named.erase(it);
  return value;
}
}  // namespace

void Interp::bind_parameters(MacroObject& object, Args& args) {
  const MacroStmt& macro = *object.macro;
  for (size_t i = 0; i < macro.parameters.size(); ++i) {
    const Parameter& parameter = macro.parameters[i];
    const std::string& name = template_.names[parameter.name];
    std::optional<Value> named = take_named(args, name);
    if (i < args.positional.size()) {
      if (named) {
        runtime_fault("macro '" + macro.name + "' got multiple values for argument '" + name + "'");
      }
      assign(parameter.name, args.positional[i]);
    } else if (named) {
      assign(parameter.name, *named);
    } else if (parameter.fallback != nullptr) {
      assign(parameter.name, eval(*parameter.fallback));
    } else {
      assign(parameter.name, undefined("parameter '" + name + "' was not provided"));
    }
  }
  auto bind_special = [&](std::string_view name, Value value) {
    auto it = std::find(template_.names.begin(), template_.names.end(), name);
    if (it != template_.names.end()) {
      assign(static_cast<NameId>(it - template_.names.begin()), std::move(value));
    }
  };
  std::optional<Value> caller = take_named(args, "caller");
  if (macro.uses_caller) {
    bind_special("caller", caller ? *caller : undefined("No caller defined"));
  } else if (caller) {
    runtime_fault("macro '" + macro.name + "' takes no keyword argument 'caller'");
  }
  if (macro.uses_kwargs) {
    std::vector<Entry> entries;
    for (auto& [name, value] : args.named) entries.emplace_back(string(name), value);
    bind_special("kwargs", dict(std::move(entries)));
  } else if (!args.named.empty()) {
    runtime_fault("macro '" + macro.name + "' takes no keyword argument '" +
                  args.named.front().first + "'");
  }
  size_t taken = std::min(macro.parameters.size(), args.positional.size());
  if (macro.uses_varargs) {
    bind_special("varargs", tuple({args.positional.begin() + static_cast<ptrdiff_t>(taken),
                                   args.positional.end()}));
  } else if (args.positional.size() > taken) {
    runtime_fault("macro '" + macro.name + "' takes not more than " +
                  std::to_string(macro.parameters.size()) + " argument(s)");
  }
}

Value Interp::call_macro(MacroObject& macro, Args& args) {
  struct CallDepth {
    uint32_t& calls;
    ~CallDepth() { --calls; }
  } depth{++calls_};
  if (calls_ > budget_.max_depth()) {
    limit_fault("macros of the template call each other more than " +
                std::to_string(budget_.max_depth()) + " levels deep");
  }
  int line = line_;
  Scope scope(*this, macro.closure);
  bind_parameters(macro, args);
  Value text = string(capture(macro.macro->body));
  line_ = line;
  return text;
}

Value Interp::call_loop(LoopObject& loop, Args& args) {
  if (loop.recursive == nullptr) {
    runtime_fault("The loop must have the 'recursive' marker to be called recursively.");
  }
  if (args.positional.size() != 1 || !args.named.empty()) {
    runtime_fault("a recursive loop takes one argument");
  }
  const ForStmt& statement = *loop.recursive;
  uint32_t depth = loop.depth + 1;
  std::shared_ptr<Frame> saved = std::exchange(frame_, loop.outer);
  struct Restore {
    std::shared_ptr<Frame>& frame;
    std::shared_ptr<Frame> saved;
    ~Restore() { frame = std::move(saved); }
  } restore{frame_, std::move(saved)};
  TextBuilder text(budget_);
  TextBuilder* out = std::exchange(out_, &text);
  struct RestoreOut {
    TextBuilder*& out;
    TextBuilder* saved;
    ~RestoreOut() { out = saved; }
  } restore_out{out_, out};
  run_for(statement, args.positional[0], depth);
  return string(text.take());
}

Value CyclerObject::call(Interp& interp, Args&) {
  (void)interp;
  runtime_fault("'Cycler' object is not callable");
}

Value JoinerObject::call(Interp& interp, Args& args) {
  if (!args.positional.empty() || !args.named.empty()) {
    runtime_fault("a joiner takes no arguments");
  }
  if (std::exchange(used, true)) return separator;
  return interp.string("");
}

}  // namespace hearth::jinja
