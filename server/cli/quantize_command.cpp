// hearth quantize: a model's matrices in a smaller type. hearth convert: a model of another format
// as a GGUF file, its weights as they are.

#include <spdlog/fmt/fmt.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "engine/quantize/rewrite_model.h"
#include "server/cli/commands.h"
#include "server/cli/engine_flags.h"

namespace hearth {
namespace {

struct RewriteArguments {
  std::string input;
  std::string output;
  std::string type;  // empty: keep
  int threads = 0;
};

std::string join(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

void declare(CLI::App& app, RewriteArguments& arguments) {
  app.add_option("IN", arguments.input,
                 "GGUF file (the first part of a split one), ggml, ggmf or ggjt file, or "
                 "safetensors folder")
      ->required();
  app.add_option("OUT", arguments.output, "GGUF file to write")->required();
  app.add_option("-t,--threads", arguments.threads, "threads; 0: one per CPU")
      ->check(CLI::Range(0, 1024));
}

Result<RewriteReport> rewrite(const RewriteArguments& arguments) {
  RewriteOptions options{.threads = arguments.threads};
  if (!arguments.type.empty()) {
    HEARTH_ASSIGN_OR_RETURN(options.target, find_quantize_target(arguments.type));
  }
  HEARTH_ASSIGN_OR_RETURN(const auto file, ModelFile::open(arguments.input));
  return rewrite_model(*file, arguments.output, options);
}

void print_report(const std::string& output, const RewriteReport& report) {
  for (const std::string& note : report.notes) std::fprintf(stderr, "hearth: %s\n", note.c_str());
  std::string types;
  uint64_t tensor_bytes = 0;
  for (const auto& [name, share] : report.types) {
    types += fmt::format("{}{} {}", types.empty() ? "" : ", ", share.tensors, name);
    tensor_bytes += share.bytes;
  }
  fmt::print("{}: {} bytes, {:.2f} bits a weight; tensors: {}\n", output, report.file_bytes,
             8.0 * static_cast<double>(tensor_bytes) / static_cast<double>(report.weights), types);
}

int run(CLI::App& app, const RewriteArguments& arguments, int argc, char** argv) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const auto report = rewrite(arguments);
  if (!report.has_value()) {
    report_failure(report.error());
    return report.error().code == ErrorCode::kInvalidArgument ? 2 : 1;
  }
  print_report(arguments.output, *report);
  return 0;
}

}  // namespace

int quantize_command(int argc, char** argv) {
  CLI::App app(
      "Writes a model with its matrices in another type, as one GGUF file. Types named _S, _M and "
      "_L mix: the output and the matrices that rounding hurts most get a larger type; the plain "
      "name means that type for every matrix. Rows that are not whole blocks of the type get one "
      "that fits. Norms, biases and routers stay as they are.",
      "hearth quantize");
  RewriteArguments arguments;
  declare(app, arguments);
  app.add_option("TYPE", arguments.type, join(quantize_target_names()))->required();
  return run(app, arguments, argc, argv);
}

int convert_command(int argc, char** argv) {
  CLI::App app(
      "Writes a ggml, ggmf or ggjt file, a safetensors folder or a split model as one GGUF file. "
      "Weights keep their values and types; scales of blocks of early 2023 are rounded to 16 bits.",
      "hearth convert");
  RewriteArguments arguments;
  declare(app, arguments);
  return run(app, arguments, argc, argv);
}

}  // namespace hearth
