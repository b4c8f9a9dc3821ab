#pragma once
// The options that every command running a model on its own has: -t, --isa, --kv-type, and those of
// GPUs.

#include <CLI/CLI.hpp>
#include <string>

#include "engine/engine.h"

namespace hearth {

/// Adds the options to `app`; values go to `options` when parsed.
void add_engine_flags(CLI::App& app, EngineOptions& options);

/// "-ngl N" and "-np N" are what users of such tools type; the parser knows long names and single
/// letters. Spells them out, in place.
void spell_out(int argc, char** argv);

/// Prints "hearth: message" to stderr, on one line, and returns 1.
int report_failure(const Error& error);

}  // namespace hearth
