// The one binary: picks the subcommand.
#include <array>
#include <cstdio>
#include <cstring>

#include "base/log.h"
#include "server/cli/commands.h"

namespace {

struct Command {
  const char* name;
  const char* summary;  // null: hidden
  int (*run)(int argc, char** argv);
};

constexpr std::array kCommands = {
    Command{"serve", "serve a model over HTTP", hearth::serve_command},
    Command{"run", "one completion on the terminal", hearth::run_command},
    Command{"bench", "measure speed", hearth::bench_command},
    Command{"inspect", "show a model file and what it would take", hearth::inspect_command},
    Command{"verify", "compare logits with a reference", hearth::verify_command},
    Command{"tokenize", "text to token ids and back, line by line", hearth::tokenize_command},
    Command{"template", "render a chat template, line by line", hearth::template_command},
    Command{"synth", "write a model with random weights", hearth::synth_command},
    Command{"quantize", "write a model in a smaller type", hearth::quantize_command},
    Command{"convert", "write any model as a GGUF file", hearth::convert_command},
    Command{"worker", nullptr, hearth::worker_command},
};

void print_usage(std::FILE* out) {
  std::fputs("usage: hearth COMMAND [OPTIONS]\n\ncommands:\n", out);
  for (const Command& command : kCommands) {
    if (command.summary != nullptr)
      std::fprintf(out, "  %-10s %s\n", command.name, command.summary);
  }
  std::fputs("\nhearth COMMAND --help lists a command's options.\n", out);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    print_usage(stderr);
    return 2;
  }
  if (std::strcmp(argv[1], "--help") == 0 || std::strcmp(argv[1], "-h") == 0) {
    print_usage(stdout);
    return 0;
  }
  if (std::strcmp(argv[1], "--version") == 0) {
    std::puts("hearth " HEARTH_VERSION);
    return 0;
  }
  for (const Command& command : kCommands) {
    if (std::strcmp(argv[1], command.name) != 0) continue;
    hearth::init_log(command.name);  // serve and worker set their own role and level
    spdlog::set_level(spdlog::level::warn);
    return command.run(argc - 1, argv + 1);
  }
  std::fprintf(stderr, "hearth: '%s' is no command\n\n", argv[1]);
  print_usage(stderr);
  return 2;
}
