// hearth synth: a model file with deterministic random weights.

#include <CLI/CLI.hpp>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <optional>
#include <string>

#include "engine/synth/synthetic_model.h"
#include "server/cli/commands.h"

namespace hearth {
namespace {

/// What the command line may change of a preset; absent: the preset's value.
struct SynthArguments {
  std::string arch = "llama";
  std::string type = "q4_0";
  std::string preset = "tiny";
  std::optional<int32_t> layers, hidden_size, num_heads, num_kv_heads, head_dim, ffn_size;
  std::optional<int32_t> vocab_size, context_length;
  bool tied_embeddings = false;
  uint64_t seed = 1;
  std::string name;
  std::string vocab_file;
  std::string output;
};

std::string join(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

void declare(CLI::App& app, SynthArguments& arguments) {
  app.add_option("--arch", arguments.arch, "Architecture: " + join(synth_architectures()))
      ->capture_default_str();
  app.add_option("--type", arguments.type, "Type of the matrices: " + join(synth_types()))
      ->capture_default_str();
  app.add_option("--preset", arguments.preset, "Shapes to start from: " + join(synth_presets()))
      ->capture_default_str();
  app.add_option("--layers", arguments.layers, "Layers");
  app.add_option("--hidden", arguments.hidden_size, "Hidden size");
  app.add_option("--heads", arguments.num_heads, "Attention heads");
  app.add_option("--kv-heads", arguments.num_kv_heads, "KV heads; a divisor of --heads");
  app.add_option("--head-dim", arguments.head_dim, "Values per head; even");
  app.add_option("--ffn", arguments.ffn_size, "Feed-forward size");
  auto* vocab_size = app.add_option("--vocab-size", arguments.vocab_size, "Tokens, at least 259");
  app.add_option("--context", arguments.context_length, "Context length in the metadata");
  app.add_flag("--tied", arguments.tied_embeddings, "No output matrix: embeddings are used");
  app.add_option("--seed", arguments.seed, "One seed, one file")->capture_default_str();
  app.add_option("--name", arguments.name, "general.name");
  app.add_option("--vocab", arguments.vocab_file, "GGUF to copy the tokenizer from")
      ->excludes(vocab_size);
  app.add_option("-o,--output", arguments.output, "File to write")->required();
}

Result<SynthOptions> make_options(const SynthArguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(SynthOptions options,
                          synth_preset(arguments.preset, arguments.arch, arguments.type));
  options.layers = arguments.layers.value_or(options.layers);
  options.hidden_size = arguments.hidden_size.value_or(options.hidden_size);
  // A changed number of heads keeps a preset without grouped queries without them.
  const bool grouped = options.num_kv_heads != options.num_heads;
  options.num_heads = arguments.num_heads.value_or(options.num_heads);
  options.num_kv_heads =
      arguments.num_kv_heads.value_or(grouped ? options.num_kv_heads : options.num_heads);
  options.head_dim = arguments.head_dim.value_or(options.head_dim);
  options.ffn_size = arguments.ffn_size.value_or(options.ffn_size);
  options.vocab_size = arguments.vocab_size.value_or(options.vocab_size);
  options.context_length = arguments.context_length.value_or(options.context_length);
  options.tied_embeddings = arguments.tied_embeddings;
  options.seed = arguments.seed;
  if (!arguments.name.empty()) options.name = arguments.name;
  options.vocab_file = arguments.vocab_file;
  return options;
}

Status synthesize(const SynthArguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const SynthOptions options, make_options(arguments));
  return write_synthetic_model(options, arguments.output);
}

}  // namespace

int synth_command(int argc, char** argv) {
  CLI::App app("Writes a model file with deterministic random weights, for tests and benchmarks.",
               "hearth synth");
  SynthArguments arguments;
  declare(app, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const Status written = synthesize(arguments);
  if (!written) {
    std::cerr << "hearth synth: " << written.error().message << "\n";
    return written.error().code == ErrorCode::kInvalidArgument ? 2 : 1;
  }
  std::error_code error;
  const uintmax_t size = std::filesystem::file_size(arguments.output, error);
  std::cout << arguments.output << ": " << (error ? 0 : size) << " bytes\n";
  return 0;
}

}  // namespace hearth
