// hearth tokenize: text to token ids and back, one JSON object a line.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <initializer_list>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/utf8.h"
#include "engine/gguf/model_file.h"
#include "engine/tokenizer/tokenizer.h"
#include "server/cli/commands.h"
#include "server/cli/engine_flags.h"

namespace hearth {
namespace {

using Json = nlohmann::json;

std::string to_hex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    out += kDigits[static_cast<uint8_t>(c) / 16];
    out += kDigits[static_cast<uint8_t>(c) % 16];
  }
  return out;
}

std::unexpected<Error> bad_field(const std::string& field, const std::string& expected) {
  return fail(ErrorCode::kInvalidArgument, field + ": expected " + expected, field);
}

/// Refuses a key of `line` that is not among `known`.
Status check_keys(const Json& line, std::initializer_list<std::string_view> known) {
  for (const auto& [key, value] : line.items()) {
    if (std::ranges::find(known, key) == known.end()) {
      return fail(ErrorCode::kInvalidArgument, sanitize_utf8(key) + ": unknown field", key);
    }
  }
  return {};
}

Result<bool> flag(const Json& line, const std::string& key, bool fallback) {
  if (!line.contains(key)) return fallback;
  if (!line[key].is_boolean()) return bad_field(key, "true or false");
  return line[key].get<bool>();
}

Result<Json> encode_line(const Tokenizer& tokenizer, const Json& line) {
  HEARTH_RETURN_IF_ERROR(check_keys(line, {"text", "add_special", "parse_special"}));
  if (!line["text"].is_string()) return bad_field("text", "a string");
  EncodeOptions options;
  HEARTH_ASSIGN_OR_RETURN(options.add_special, flag(line, "add_special", options.add_special));
  HEARTH_ASSIGN_OR_RETURN(options.parse_special,
                          flag(line, "parse_special", options.parse_special));
  return Json{{"ids", tokenizer.encode(line["text"].get_ref<const std::string&>(), options)}};
}

Result<Json> decode_line(const Tokenizer& tokenizer, const Json& line) {
  HEARTH_RETURN_IF_ERROR(check_keys(line, {"ids", "render_special"}));
  if (!line["ids"].is_array()) return bad_field("ids", "an array of token ids");
  HEARTH_ASSIGN_OR_RETURN(const bool render_special, flag(line, "render_special", false));
  std::vector<TokenId> ids;
  for (const Json& id : line["ids"]) {
    // A number over INT64_MAX would wrap in get<int64_t>; as uint64_t it only compares.
    const bool fits = id.is_number_unsigned() &&
                      id.get<uint64_t>() < static_cast<uint64_t>(tokenizer.vocab_size());
    if (!fits) {
      return bad_field("ids[" + std::to_string(ids.size()) + "]",
                       "an integer from 0 to " + std::to_string(tokenizer.vocab_size() - 1));
    }
    ids.push_back(id.get<TokenId>());
  }
  const std::string bytes = tokenizer.decode(ids, render_special);
  Json out{{"text", sanitize_utf8(bytes)}};
  if (!is_valid_utf8(bytes)) out["hex"] = to_hex(bytes);
  return out;
}

Result<Json> answer(const Tokenizer& tokenizer, const std::string& line) {
  const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return fail(ErrorCode::kMalformed, "the line is not JSON");
  if (!json.is_object()) return fail(ErrorCode::kMalformed, "the line is not a JSON object");
  if (json.contains("text")) return encode_line(tokenizer, json);
  if (json.contains("ids")) return decode_line(tokenizer, json);
  return bad_field("text", "this field, or ids");
}

int answer_lines(const Tokenizer& tokenizer) {
  for (std::string line; std::getline(std::cin, line);) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const Result<Json> result = answer(tokenizer, line);
    const Json out = result.has_value() ? *result : Json{{"error", result.error().message}};
    std::puts(out.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
    std::fflush(stdout);  // whoever asks line by line waits for the answer
  }
  const Error lost{.code = ErrorCode::kIo, .message = "standard output: write failed", .param = {}};
  return std::ferror(stdout) == 0 ? 0 : report_failure(lost);
}

/// "KEY=VALUE" into the file's metadata.
Status apply_override(Metadata& metadata, const std::string& assignment) {
  const size_t equals = assignment.find('=');
  if (equals == 0 || equals == std::string::npos) {
    return fail(ErrorCode::kInvalidArgument,
                "--override \"" + assignment + "\": expected KEY=VALUE", "override");
  }
  return metadata.override_value(std::string_view(assignment).substr(0, equals),
                                 std::string_view(assignment).substr(equals + 1));
}

}  // namespace

int tokenize_command(int argc, char** argv) {
  CLI::App app{
      "Reads lines {\"text\",\"add_special\",\"parse_special\"} or {\"ids\",\"render_special\"} "
      "and "
      "writes {\"ids\"} or {\"text\"}; {\"error\"} for a bad line.",
      "hearth tokenize"};
  std::string model;
  std::vector<std::string> overrides;
  bool jsonl = false;
  app.add_option("-m,--model", model, "model file; needs no tensors")->required();
  app.add_option("--override", overrides, "KEY=VALUE in the file's metadata; repeatable")
      ->type_size(1);
  app.add_flag("--jsonl", jsonl, "one JSON object a line, in and out")->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  auto file = ModelFile::open(model);
  if (!file.has_value()) return report_failure(file.error());
  for (const std::string& assignment : overrides) {
    const Status status = apply_override((*file)->mutable_metadata(), assignment);
    if (!status.has_value()) return report_failure(status.error());
  }
  const auto tokenizer = Tokenizer::create((*file)->metadata());
  if (!tokenizer.has_value()) return report_failure(tokenizer.error());
  return answer_lines(**tokenizer);
}

}  // namespace hearth
