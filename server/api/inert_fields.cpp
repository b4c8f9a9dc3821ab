#include "server/api/inert_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace hearth::api {
namespace {

constexpr auto kChat = static_cast<unsigned>(Endpoint::kChat);
constexpr auto kCompletions = static_cast<unsigned>(Endpoint::kCompletions);
constexpr unsigned kBoth = kChat | kCompletions;

struct InertField {
  const char* name;
  unsigned endpoints;
  // kAny: every value of the type of `values`' first element. kOnly: exactly the elements.
  enum class Rule { kAny, kOnly } rule;
  const char* values;  // a JSON array
};

constexpr auto kAny = InertField::Rule::kAny;
constexpr auto kOnly = InertField::Rule::kOnly;

constexpr std::array kFields{
    // Labels for the operator of a hosted service.
    InertField{"user", kBoth, kAny, R"([""])"},
    InertField{"metadata", kChat, kAny, R"([{}])"},
    InertField{"safety_identifier", kChat, kAny, R"([""])"},
    // Hints about speed alone.
    InertField{"prompt_cache_key", kChat, kAny, R"([""])"},
    InertField{"prompt_cache_retention", kChat, kAny, R"([""])"},
    InertField{"prediction", kChat, kAny, R"([{}])"},
    InertField{"service_tier", kChat, kOnly, R"(["auto", "default"])"},
    // Nothing is stored; a client that asks for it would look for it later.
    InertField{"store", kChat, kOnly, R"([false])"},
    // Only says how tools would be called; there are none.
    InertField{"parallel_tool_calls", kChat, kAny, R"([true])"},
    InertField{"tools", kChat, kOnly, R"([[]])"},
    InertField{"tool_choice", kChat, kOnly, R"(["none", "auto"])"},
    InertField{"functions", kChat, kOnly, R"([[]])"},
    InertField{"function_call", kChat, kOnly, R"(["none", "auto"])"},
    InertField{"response_format", kChat, kOnly, R"([{"type": "text"}])"},
    InertField{"modalities", kChat, kOnly, R"([["text"]])"},
    InertField{"audio", kChat, kOnly, R"([])"},
    InertField{"verbosity", kChat, kOnly, R"(["medium"])"},
    InertField{"reasoning_effort", kChat, kOnly, R"([])"},
    InertField{"web_search_options", kChat, kOnly, R"([])"},
    InertField{"suffix", kCompletions, kOnly, R"([""])"},
};

// "[]" asks for nothing: the field is only known so that its refusal can say so.
std::string refusal(const std::string& name, const OrderedJson& neutral) {
  if (neutral.empty()) return fmt::format("{} is not supported", name);
  std::string values;
  for (const OrderedJson& value : neutral) {
    if (!values.empty()) values += " or ";
    values += value.dump();
  }
  return fmt::format("{} is not supported; the only value accepted is {}", name, values);
}

}  // namespace

void take_inert_fields(FieldReader& reader, Endpoint endpoint) {
  for (const InertField& field : kFields) {
    if ((field.endpoints & static_cast<unsigned>(endpoint)) == 0) continue;
    const OrderedJson* const value = reader.take(field.name);
    if (value == nullptr) continue;
    const OrderedJson values = OrderedJson::parse(field.values);
    if (field.rule == kAny) {
      if (value->type() != values.front().type()) {
        reader.refuse_type(field.name, kind_of(values.front()), *value);
      }
    } else if (std::ranges::find(values, *value) == values.end()) {
      reader.refuse(field.name, ErrorCode::kUnsupported, refusal(field.name, values));
    }
  }
}

}  // namespace hearth::api
