#include "server/cli/served_model.h"

#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <utility>

namespace hearth {
namespace {

/// Templates of models are some KiB; a larger file is a mistake.
constexpr uintmax_t kMaxTemplateBytes = 4U << 20;

Result<std::string> read_template(const std::string& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  std::ifstream in(path, std::ios::binary);
  if (error || !in) {
    std::string names;
    for (const std::string& name : builtin_chat_template_names())
      names += (names.empty() ? "" : ", ") + name;
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("--chat-template is '{}', expected a file or one of: {}", path, names),
                "chat-template");
  }
  if (size > kMaxTemplateBytes) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("--chat-template: {} has {} bytes, expected at most {}", path, size,
                            kMaxTemplateBytes),
                "chat-template");
  }
  return std::string(std::istreambuf_iterator<char>(in), {});
}

void add_chat_template(ServedModel& model, std::string source) {
  if (source.empty()) {
    model.chat_template_error = "the file has none; choose one with --chat-template";
    return;
  }
  auto parsed = ChatTemplate::parse(std::move(source));
  if (parsed.has_value()) {
    model.chat_template.emplace(std::move(*parsed));
    return;
  }
  model.chat_template_error = parsed.error().message;
  spdlog::warn("the chat template cannot be used: {}", model.chat_template_error);
}

std::string name_of_file(const ModelFile& file) {
  std::string name = file.path().filename().string();
  if (name.ends_with(".gguf")) name.resize(name.size() - 5);
  return name;
}

Result<ModelInfo> describe(const ModelFile& file, const Tokenizer& tokenizer,
                           const ServeOptions& options) {
  ModelInfo info;
  const std::string name = name_of_file(file);
  info.id = served_name(options, file);
  if (info.id != name) info.aliases.push_back(name);
  struct stat status {};
  if (::stat(file.path().c_str(), &status) == 0) info.created = status.st_mtime;
  info.vocab_size = tokenizer.vocab_size();
  HEARTH_ASSIGN_OR_RETURN(const auto title, file.metadata().string_or("general.name", name));
  HEARTH_ASSIGN_OR_RETURN(const auto arch,
                          file.metadata().string_or("general.architecture", "unknown"));
  info.description = fmt::format("{}, {}, {:.1f} MiB", title, arch,
                                 static_cast<double>(file.mapped_bytes()) / (1 << 20));
  return info;
}

}  // namespace

std::string served_name(const ServeOptions& options, const ModelFile& file) {
  return options.model_name.empty() ? name_of_file(file) : options.model_name;
}

Result<std::string> find_chat_template(const std::string& option, const Metadata& metadata) {
  if (option.empty()) {
    HEARTH_ASSIGN_OR_RETURN(const auto own, metadata.string_or("tokenizer.chat_template", ""));
    return std::string(own);
  }
  const auto names = builtin_chat_template_names();
  if (std::ranges::find(names, option) != names.end()) return builtin_chat_template(option);
  return read_template(option);
}

OrderedJson template_tokens_of(const Tokenizer& tokenizer) {
  OrderedJson tokens = OrderedJson::object();
  if (const auto bos = tokenizer.bos()) tokens["bos_token"] = tokenizer.token_text(*bos);
  if (const auto eos = tokenizer.eos()) tokens["eos_token"] = tokenizer.token_text(*eos);
  return tokens;
}

Result<ServedModel> make_served_model(std::unique_ptr<ModelFile> file,
                                      const ServeOptions& options) {
  ServedModel model;
  model.file = std::move(file);
  const Metadata& metadata = model.file->metadata();
  HEARTH_ASSIGN_OR_RETURN(model.tokenizer, Tokenizer::create(metadata));
  HEARTH_ASSIGN_OR_RETURN(auto source, find_chat_template(options.chat_template, metadata));
  add_chat_template(model, std::move(source));
  model.template_tokens = template_tokens_of(*model.tokenizer);
  HEARTH_ASSIGN_OR_RETURN(model.info, describe(*model.file, *model.tokenizer, options));
  return model;
}

}  // namespace hearth
