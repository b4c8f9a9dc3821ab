#include "server/chat/chat_template.h"

#include <new>
#include <stdexcept>

#include "server/chat/interp.h"
#include "server/chat/parser.h"

namespace hearth {

using jinja::Fault;
using jinja::TemplateError;

struct ChatTemplate::Impl {
  jinja::Template parsed;
  TemplateLimits limits;
};

namespace {

std::unexpected<Error> to_error(const TemplateError& error, int line) {
  if (error.fault() == Fault::kRaised) return fail(ErrorCode::kInvalidArgument, error.what());
  std::string message = "chat template";
  if (line > 0) message += ", line " + std::to_string(line);
  message += std::string(": ") + error.what();
  ErrorCode code = error.fault() == Fault::kLimit ? ErrorCode::kTooLarge : ErrorCode::kMalformed;
  return fail(code, std::move(message));
}

/// What `work` returns; its failures, also the lack of memory, as an Error. `line` gives the line
/// for errors that do not know theirs.
template <typename Work, typename Line>
auto guarded(Work work, Line line) -> decltype(work()) {
  try {
    return work();
  } catch (const TemplateError& error) {
    return to_error(error, error.line() > 0 ? error.line() : line());
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::kResourceExhausted, "not enough memory for the chat template");
  } catch (const std::length_error&) {
    return fail(ErrorCode::kTooLarge, "a text of the chat template is too long");
  }
}

}  // namespace

ChatTemplate::ChatTemplate(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

Result<ChatTemplate> ChatTemplate::parse(std::string source, TemplateLimits limits) {
  return guarded(
      [&]() -> Result<ChatTemplate> {
        auto impl = std::make_unique<Impl>();
        impl->parsed = jinja::parse_template(source, limits.max_depth);
        impl->limits = limits;
        return ChatTemplate(std::move(impl));
      },
      [] { return 0; });
}

Result<std::string> ChatTemplate::render(const ChatTemplateInput& input) const {
  return guarded(
      [&]() -> Result<std::string> {
        OrderedJson context = OrderedJson::object();
        context["messages"] = input.messages;
        context["tools"] = input.tools;
        context["documents"] = nullptr;
        context["add_generation_prompt"] = input.add_generation_prompt;
        for (const auto* more : {&input.tokens, &input.kwargs}) {
          if (!more->is_object()) continue;
          for (const auto& [name, value] : more->items()) context[name] = value;
        }
        return render_context(context, input.now_unix_seconds);
      },
      [] { return 0; });
}

Result<std::string> ChatTemplate::render_context(const OrderedJson& context,
                                                 int64_t now_unix_seconds) const {
  jinja::Interp interp(impl_->parsed, impl_->limits, now_unix_seconds);
  return guarded([&]() -> Result<std::string> { return interp.render(context); },
                 [&] { return interp.line(); });
}

}  // namespace hearth
