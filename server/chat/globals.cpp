// Functions that every template finds: range, dict, namespace, cycler, joiner, raise_exception,
// strftime_now.

#include <ctime>
#include <unordered_map>

#include "server/chat/bound_args.h"
#include "server/chat/operators.h"
#include "server/chat/printing.h"

namespace hearth::jinja {
namespace {

Value global_range(Interp& interp, Args& args) {
  if (args.positional.empty() || args.positional.size() > 3 || !args.named.empty()) {
    runtime_fault("range expected 1 to 3 arguments");
  }
  auto at = [&](size_t i) { return to_index(args.positional[i], "an argument of range()"); };
  if (args.positional.size() == 1) return interp.range(0, at(0), 1);
  return interp.range(at(0), at(1), args.positional.size() == 3 ? at(2) : 1);
}

/// The entries of a dict, or of pairs.
void collect_entries(Interp& interp, const Value& source, std::vector<Entry>& out) {
  if (source.is(Kind::kDict)) {
    const auto& entries = source.dict().entries;
    out.insert(out.end(), entries.begin(), entries.end());
    return;
  }
  for (const Value& item : Items(interp, source)) {
    Items pair(interp, item);
    if (pair.size() != 2) {
      runtime_fault("dictionary update sequence element has length " + std::to_string(pair.size()) +
                    "; 2 is required");
    }
    out.emplace_back(pair[0], pair[1]);
  }
}

std::vector<Entry> dict_arguments(Interp& interp, const char* name, Args& args) {
  if (args.positional.size() > 1) {
    runtime_fault(std::string(name) + " expected at most 1 argument, got " +
                  std::to_string(args.positional.size()));
  }
  std::vector<Entry> entries;
  if (!args.positional.empty()) collect_entries(interp, args.positional[0], entries);
  for (auto& [key, value] : args.named) entries.emplace_back(interp.string(key), value);
  return entries;
}

Value global_dict(Interp& interp, Args& args) {
  return interp.dict(dict_arguments(interp, "dict", args));
}

Value global_namespace(Interp& interp, Args& args) {
  Value attributes = interp.dict(dict_arguments(interp, "namespace", args));
  auto space = interp.make<NamespaceObject>(attributes.dict().entries.size() * 128);
  for (const Entry& entry : attributes.dict().entries) {
    if (!entry.first.is_string()) runtime_fault("attributes of a namespace have names");
    space->attributes.emplace_back(entry.first.text(), entry.second);
  }
  interp.keep(space);
  return {Kind::kNamespace, std::move(space)};
}

Value global_cycler(Interp& interp, Args& args) {
  if (args.positional.empty()) runtime_fault("at least one item has to be provided");
  Value items = interp.tuple(args.positional);
  auto cycler = interp.make<CyclerObject>(args.positional.size() * sizeof(Value));
  cycler->name = "cycler";
  cycler->nesting = items.nesting() + 1;
  interp.check_nesting(cycler->nesting);
  cycler->items = args.positional;
  return {Kind::kCallable, std::move(cycler)};
}

Value global_joiner(Interp& interp, Args& args) {
  BoundArgs bound("joiner", args, {"sep"});
  auto joiner = interp.make<JoinerObject>();
  joiner->name = "joiner";
  joiner->separator = bound.get(0, interp.string(", "));
  joiner->nesting = joiner->separator.nesting() + 1;
  interp.check_nesting(joiner->nesting);
  return {Kind::kCallable, std::move(joiner)};
}

Value global_raise(Interp& interp, Args& args) {
  BoundArgs bound("raise_exception", args, {"message"}, 1);
  throw TemplateError(Fault::kRaised, str_of(interp, bound[0]), interp.line());
}

/// The format of strftime, in UTC so that a prompt does not depend on the server's place.
Value global_strftime(Interp& interp, Args& args) {
  BoundArgs bound("strftime_now", args, {"format"}, 1);
  static constexpr std::string_view kDirectives = "aAbBcCdDeFgGhHIjklmMnpPrRsStTuUVwWxXyYzZ%";
  auto seconds = static_cast<std::time_t>(interp.now());
  std::tm time{};
  if (gmtime_r(&seconds, &time) == nullptr) runtime_fault("the time is out of range");
  TextBuilder out(interp.budget());
  std::string_view rest = bound.text(0);
  while (!rest.empty()) {
    size_t percent = std::min(rest.find('%'), rest.size());
    out << rest.substr(0, percent);
    rest.remove_prefix(percent);
    if (rest.empty()) break;
    interp.budget().step();
    // A flag: no padding, blanks, zeros, upper case, the other case.
    bool flagged = rest.size() > 1 && std::string_view("-_0^#").contains(rest[1]);
    std::string form(rest.substr(0, flagged ? 2 : 1));
    size_t letter = form.size();
    if (letter >= rest.size()) runtime_fault("strftime_now() format ends with '%'");
    char directive = rest[letter];
    rest.remove_prefix(letter + 1);
    if (directive == 'f') out << "000000";
    // The time has no zone, so templates see none named.
    if (directive == 'f' || directive == 'z' || directive == 'Z') continue;
    if (kDirectives.find(directive) == std::string_view::npos) {
      runtime_fault(std::string("strftime_now() does not know %") + directive);
    }
    form += directive;
    char buffer[128];
    size_t size = std::strftime(buffer, sizeof(buffer), form.c_str(), &time);
    out << std::string_view(buffer, size);
  }
  return interp.string(out.take());
}

}  // namespace

NativeFn find_global(std::string_view name) {
  static const std::unordered_map<std::string_view, NativeFn> kGlobals = {
      {"range", global_range},          {"dict", global_dict},
      {"namespace", global_namespace},  {"cycler", global_cycler},
      {"joiner", global_joiner},        {"raise_exception", global_raise},
      {"strftime_now", global_strftime}};
  auto it = kGlobals.find(name);
  return it != kGlobals.end() ? it->second : nullptr;
}

}  // namespace hearth::jinja
