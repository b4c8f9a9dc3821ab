// hearth template: renders chat templates line by line, for tests and for looking at prompts.

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "engine/gguf/model_file.h"
#include "server/chat/chat_template.h"
#include "server/cli/commands.h"

namespace hearth {
namespace {

struct Source {
  std::string text;
  OrderedJson tokens = OrderedJson::object();  // bos_token, eos_token, … of the model's vocabulary
};

Result<Source> read_template(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::error_code error;
  // A folder opens like a file, and reads as an empty one.
  if (!in || std::filesystem::is_directory(path, error)) {
    return fail(ErrorCode::kIo, path + ": cannot be read");
  }
  std::stringstream text;
  if (in.peek() != std::ifstream::traits_type::eof()) text << in.rdbuf();
  if (!text || in.bad()) return fail(ErrorCode::kIo, path + ": reading failed");
  return Source{text.str(), OrderedJson::object()};
}

/// The template of a model file and the texts of its special tokens. The file needs no tensors.
Result<Source> read_model(const std::string& path) {
  HEARTH_ASSIGN_OR_RETURN(auto model, ModelFile::open(path));
  const Metadata& metadata = model->metadata();
  Source source;
  HEARTH_ASSIGN_OR_RETURN(auto text, metadata.string("tokenizer.chat_template"));
  source.text = text;
  if (!metadata.contains("tokenizer.ggml.tokens")) return source;
  HEARTH_ASSIGN_OR_RETURN(auto vocabulary, metadata.strings("tokenizer.ggml.tokens"));
  constexpr std::pair<const char*, const char*> kTokens[] = {
      {"bos_token", "tokenizer.ggml.bos_token_id"},
      {"eos_token", "tokenizer.ggml.eos_token_id"},
      {"unk_token", "tokenizer.ggml.unknown_token_id"},
      {"pad_token", "tokenizer.ggml.padding_token_id"}};
  for (const auto& [name, key] : kTokens) {
    if (!metadata.contains(key)) continue;
    HEARTH_ASSIGN_OR_RETURN(uint32_t id, metadata.u32(key));
    if (id >= vocabulary.size()) {
      return fail(ErrorCode::kMalformed, path + ": " + key + " is " + std::to_string(id) +
                                             ", the vocabulary has " +
                                             std::to_string(vocabulary.size()) + " tokens");
    }
    source.tokens[name] = std::string(vocabulary[id]);
  }
  return source;
}

/// Unix seconds or an ISO 8601 time, which is taken as UTC.
Result<int64_t> parse_time(const std::string& text) {
  if (text.empty()) {
    auto now = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::seconds>(now).count();
  }
  if (text.size() < 12 && text.find_first_not_of("0123456789") == std::string::npos) {
    return std::stoll(text);
  }
  for (const char* form : {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d"}) {
    std::tm time{};
    const char* end = strptime(text.c_str(), form, &time);
    if (end != nullptr && (*end == '\0' || std::string_view(end) == "Z")) return timegm(&time);
  }
  return fail(ErrorCode::kInvalidArgument,
              "--now is '" + text + "', expected unix seconds or YYYY-MM-DDTHH:MM:SS");
}

const char* kind_of(ErrorCode code) {
  if (code == ErrorCode::kInvalidArgument) return "raised";
  return code == ErrorCode::kTooLarge ? "limit" : "runtime";
}

OrderedJson error_line(const char* kind, const std::string& message) {
  return {{"error", {{"kind", kind}, {"message", message}}}};
}

/// The answer to one input line.
OrderedJson render_line(const ChatTemplate& chat, const Source& source, const std::string& line,
                        int64_t now) {
  OrderedJson request = OrderedJson::parse(line, nullptr, false);
  if (!request.is_object()) return error_line("input", "the line is not a JSON object");
  ChatTemplateInput input;
  input.now_unix_seconds = now;
  input.tokens = source.tokens;
  for (const auto& [key, value] : request.items()) {
    if (key == "messages" && value.is_array()) {
      input.messages = value;
    } else if (key == "tools" && (value.is_array() || value.is_null())) {
      input.tools = value;
    } else if (key == "add_generation_prompt" && value.is_boolean()) {
      input.add_generation_prompt = value.get<bool>();
    } else if (key == "kwargs" && (value.is_object() || value.is_null())) {
      if (value.is_object()) input.kwargs = value;
    } else if (key == "tokens" && (value.is_object() || value.is_null())) {
      if (value.is_object()) input.tokens.update(value);
    } else {
      return error_line("input", "the field '" + key + "' is unknown or of the wrong type");
    }
  }
  auto prompt = chat.render(input);
  if (!prompt.has_value()) return error_line(kind_of(prompt.error().code), prompt.error().message);
  return {{"prompt", *prompt}};
}

int fail_command(const Error& error) {
  std::fprintf(stderr, "hearth template: %s\n", error.message.c_str());
  return 1;
}

}  // namespace

int template_command(int argc, char** argv) {
  CLI::App app("Renders chat templates: one JSON object per line in, one per line out.");
  std::string model;
  std::string file;
  std::string now_text;
  bool jsonl = false;
  auto* model_option = app.add_option("-m,--model", model, "model file whose template is used");
  app.add_option("--template", file, "template file, or the name of a built-in template")
      ->excludes(model_option);
  app.add_option("--now", now_text, "time for strftime_now: unix seconds or ISO 8601, UTC");
  app.add_flag("--jsonl", jsonl, "read requests from stdin, a JSON object per line")->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (model.empty() && file.empty()) {
    std::fprintf(stderr, "hearth template: -m FILE or --template FILE is needed\n");
    return 2;
  }
  auto now = parse_time(now_text);
  if (!now.has_value()) return fail_command(now.error());
  Result<Source> source = Source{};
  if (!model.empty()) {
    source = read_model(model);
  } else if (auto builtin = builtin_chat_template(file); builtin.has_value()) {
    source = Source{*builtin, OrderedJson::object()};
  } else {
    source = read_template(file);
  }
  if (!source.has_value()) return fail_command(source.error());
  auto chat = ChatTemplate::parse(source->text);
  for (std::string line; std::getline(std::cin, line);) {
    if (line.empty()) continue;
    OrderedJson answer = chat.has_value() ? render_line(*chat, *source, line, *now)
                                          : error_line("syntax", chat.error().message);
    // Whatever bytes the template wrote, the answer is valid JSON.
    std::cout << answer.dump(-1, ' ', false, OrderedJson::error_handler_t::replace) << '\n'
              << std::flush;
  }
  return 0;
}

}  // namespace hearth
