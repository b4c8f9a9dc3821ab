#pragma once
// The subcommands of `hearth`: each parses its own arguments and returns the exit status
// (0 done, 1 failed: one line on stderr says why, 2 wrong usage). argv[0] is the subcommand's name.

namespace hearth {

int serve_command(int argc, char** argv);
int run_command(int argc, char** argv);
int bench_command(int argc, char** argv);
int verify_command(int argc, char** argv);
int inspect_command(int argc, char** argv);
int tokenize_command(int argc, char** argv);
int template_command(int argc, char** argv);
int synth_command(int argc, char** argv);
int quantize_command(int argc, char** argv);
int convert_command(int argc, char** argv);
/// Hidden: a worker process, exec'd by `hearth serve`.
int worker_command(int argc, char** argv);

}  // namespace hearth
