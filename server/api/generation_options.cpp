#include "server/api/generation_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>

namespace hearth::api {
namespace {

// Beyond this a penalty is a ban; logit_bias says that better.
constexpr double kMaxRepetitionPenalty = 10.0;
constexpr double kMinRepetitionPenalty = 0.01;
// As with nice(1), a client may only step back: if it could push forward, everybody would.
constexpr int64_t kMaxPriority = 100;

void read_sampling(FieldReader& reader, const ApiContext& context, SamplingParams& sampling) {
  reader.number("temperature", 0.0, 2.0, sampling.temperature);
  reader.number("top_p", 0.0, 1.0, sampling.top_p);
  reader.integer("top_k", 0, std::numeric_limits<int32_t>::max(), sampling.top_k);
  reader.number("min_p", 0.0, 1.0, sampling.min_p);
  reader.number("typical_p", 0.0, 1.0, sampling.typical_p);
  reader.number("presence_penalty", -2.0, 2.0, sampling.presence_penalty);
  reader.number("frequency_penalty", -2.0, 2.0, sampling.frequency_penalty);
  reader.number("repetition_penalty", kMinRepetitionPenalty, kMaxRepetitionPenalty,
                sampling.repetition_penalty);
  int64_t seed = 0;
  const bool seeded = reader.integer("seed", std::numeric_limits<int64_t>::min(),
                                     std::numeric_limits<int64_t>::max(), seed);
  sampling.seed = seeded ? static_cast<uint64_t>(seed) : context.random();
}

// A key of logit_bias is a token id in plain decimal digits: "07" and "7" would be two biases of
// one token.
std::optional<int32_t> parse_token_id(const std::string& key, int32_t vocab_size) {
  int32_t id = 0;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
  if (error != std::errc() || end != key.data() + key.size()) return std::nullopt;
  if (id < 0 || id >= vocab_size || std::to_string(id) != key) return std::nullopt;
  return id;
}

void read_logit_bias(FieldReader& reader, const ApiContext& context, SamplingParams& sampling) {
  const OrderedJson* const biases = reader.object("logit_bias");
  if (biases == nullptr) return;
  if (biases->size() > static_cast<size_t>(context.limits.max_logit_bias)) {
    reader.refuse("logit_bias", fmt::format("logit_bias has {} entries, at most {} are allowed",
                                            biases->size(), context.limits.max_logit_bias));
    return;
  }
  for (const auto& [key, value] : biases->items()) {
    const int32_t vocab_size = context.tokenizer.vocab_size();
    const std::optional<int32_t> id = parse_token_id(key, vocab_size);
    if (!id) {
      reader.refuse(
          "logit_bias",
          fmt::format("logit_bias has the key \"{}\", but keys are token ids from 0 to {}",
                      key.substr(0, 32), vocab_size - 1));
      return;
    }
    const double bias = value.is_number() ? value.get<double>() : -1000.0;
    if (!(bias >= -100.0 && bias <= 100.0)) {
      reader.refuse("logit_bias." + key,
                    fmt::format("logit_bias.{} must be a number between -100 and 100", key));
      return;
    }
    sampling.logit_bias.emplace_back(*id, static_cast<float>(bias));
  }
}

void add_stop(FieldReader& reader, const ApiLimits& limits, const std::string& name,
              const OrderedJson& value, std::vector<std::string>& stop) {
  if (!value.is_string()) return reader.refuse_type(name, "a string", value);
  const auto& text = value.get_ref<const std::string&>();
  if (text.empty()) return reader.refuse(name, fmt::format("{} is empty", name));
  if (text.size() > static_cast<size_t>(limits.max_stop_bytes)) {
    return reader.refuse(name, fmt::format("{} has {} bytes, at most {} are allowed", name,
                                           text.size(), limits.max_stop_bytes));
  }
  stop.push_back(text);
}

void read_stop(FieldReader& reader, const ApiLimits& limits, std::vector<std::string>& stop) {
  const OrderedJson* const value = reader.take("stop");
  if (value == nullptr) return;
  if (value->is_string()) return add_stop(reader, limits, "stop", *value, stop);
  if (!value->is_array()) {
    return reader.refuse_type("stop", "a string or an array of strings", *value);
  }
  if (value->size() > static_cast<size_t>(limits.max_stop_strings)) {
    return reader.refuse("stop", fmt::format("stop has {} strings, at most {} are allowed",
                                             value->size(), limits.max_stop_strings));
  }
  for (size_t i = 0; i < value->size(); ++i) {
    add_stop(reader, limits, fmt::format("stop[{}]", i), (*value)[i], stop);
  }
}

void read_stream(FieldReader& reader, GenerationOptions& options) {
  reader.boolean("stream", options.stream);
  const OrderedJson* const value = reader.take("stream_options");
  if (value == nullptr) return;
  if (!options.stream) {
    return reader.refuse("stream_options", "stream_options is only allowed with stream: true");
  }
  FieldReader inner(*value, "stream_options");
  inner.boolean("include_usage", options.include_usage);
  bool obfuscation = false;
  if (inner.boolean("include_obfuscation", obfuscation) && obfuscation) {
    inner.refuse("include_obfuscation", ErrorCode::kUnsupported,
                 "stream_options.include_obfuscation is not supported");
  }
  if (const Status status = inner.finish(); !status) reader.refuse(status.error());
}

}  // namespace

void read_model(FieldReader& reader, const ModelInfo& model) {
  std::string name = model.id;
  if (!reader.text("model", name) || name == model.id) return;
  if (std::ranges::find(model.aliases, name) != model.aliases.end()) return;
  reader.refuse("model", ErrorCode::kNotFound,
                fmt::format("the model '{}' does not exist; this server has '{}'",
                            name.substr(0, 128), model.id));
}

void read_generation_options(FieldReader& reader, const ApiContext& context,
                             GenerationOptions& options) {
  read_model(reader, context.model);
  reader.integer("n", 1, context.limits.max_choices, options.num_choices);
  reader.integer("priority", 0, kMaxPriority, options.priority);
  reader.boolean("ignore_eos", options.ignore_eos);
  read_sampling(reader, context, options.sampling);
  read_logit_bias(reader, context, options.sampling);
  read_stop(reader, context.limits, options.stop);
  read_stream(reader, options);
}

void read_max_tokens(FieldReader& reader, const ApiContext& context, std::string_view name,
                     int32_t min, GenerationOptions& options) {
  const int32_t cap = context.limits.max_tokens;
  int32_t tokens = 0;
  if (!reader.integer(name, min, cap > 0 ? cap : std::numeric_limits<int32_t>::max(), tokens)) {
    return;
  }
  if (options.max_tokens) {
    return reader.refuse(name, fmt::format("{} and {} mean the same: give one of them",
                                           options.max_tokens_field, name));
  }
  options.max_tokens = tokens;
  options.max_tokens_field = name;
}

}  // namespace hearth::api
