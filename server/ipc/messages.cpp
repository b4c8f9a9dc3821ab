#include "server/ipc/messages.h"

#include <concepts>
#include <type_traits>

#include "server/ipc/codec.h"

// The fields of every struct, once for both directions: T is const for the Encoder. The archives
// find them by argument-dependent lookup, so they lie in the namespace of their struct, not in an
// unnamed one.

namespace hearth {

template <typename T, typename Base>
concept MaybeConst = std::same_as<std::remove_const_t<T>, Base>;

template <typename A, MaybeConst<SamplingParams> T>
static void fields(A& archive, T& p) {
  archive(p.temperature);
  archive(p.top_k);
  archive(p.top_p);
  archive(p.min_p);
  archive(p.typical_p);
  archive(p.repetition_penalty);
  archive(p.presence_penalty);
  archive(p.frequency_penalty);
  archive(p.logit_bias);
  archive(p.seed);
  archive(p.num_logprobs);
}

template <typename A, MaybeConst<GenerateRequest> T>
static void fields(A& archive, T& r) {
  archive(r.id);
  archive(r.prompt);
  archive(r.num_choices);
  archive(r.max_tokens);
  archive(r.stop_tokens);
  archive(r.prompt_logprobs);
  archive(r.sampling);
  archive(r.fairness_key);
  archive(r.cache_salt);
  archive(r.priority);
  archive(r.delivered);
  archive(r.finished);
}

template <typename A, MaybeConst<PageFaults> T>
static void fields(A& archive, T& f) {
  archive(f.minor);
  archive(f.major);
}

template <typename A, MaybeConst<TokenLogprob> T>
static void fields(A& archive, T& l) {
  archive(l.token);
  archive(l.logprob);
}

template <typename A, MaybeConst<TokenEvent> T>
static void fields(A& archive, T& e) {
  archive(e.request);
  archive(e.choice);
  archive(e.index);
  archive(e.token);
  archive(e.logprob);
  archive(e.top_logprobs);
  archive(e.logits_hash);
}

template <typename A, MaybeConst<PromptLogprobEvent> T>
static void fields(A& archive, T& e) {
  archive(e.request);
  archive(e.index);
  archive(e.logprob);
  archive(e.top_logprobs);
}

template <typename A, MaybeConst<FinishEvent> T>
static void fields(A& archive, T& e) {
  archive(e.request);
  archive(e.choice);
  archive.enumeration(e.reason, FinishReason::kCancelled);
  archive(e.completion_tokens);
  archive(e.cached_prompt_tokens);
  archive(e.page_faults);
}

template <typename A, MaybeConst<FailEvent> T>
static void fields(A& archive, T& e) {
  archive(e.request);
  archive.enumeration(e.code, ErrorCode::kInternal);
  archive(e.message);
}

template <typename A, MaybeConst<QueueTime> T>
static void fields(A& archive, T& t) {
  archive(t.request);
  archive(t.waited_ns);
  archive(t.cached_prompt_tokens);
}

template <typename A, MaybeConst<WeightsLayout> T>
static void fields(A& archive, T& l) {
  archive(l.device);
  archive(l.first_layer);
  archive(l.bytes);
  archive(l.model);
  archive(l.checksum);
}

template <typename A, MaybeConst<EngineStats> T>
static void fields(A& archive, T& s) {
  archive(s.steps);
  archive(s.running);
  archive(s.waiting);
  archive(s.kv_pages_total);
  archive(s.kv_pages_used);
  archive(s.prompt_tokens);
  archive(s.generated_tokens);
  archive(s.preemptions);
  archive(s.cancelled);
  archive(s.kv_pages_cached);
  archive(s.prefix_cache_queries_tokens);
  archive(s.prefix_cache_hits_tokens);
  archive(s.page_faults);
}

namespace ipc {

template <typename A, MaybeConst<Submit> T>
static void fields(A& archive, T& m) {
  archive(m.request);
}
template <typename A, MaybeConst<Cancel> T>
static void fields(A& archive, T& m) {
  archive(m.request);
}
template <typename A, MaybeConst<StopChoice> T>
static void fields(A& archive, T& m) {
  archive(m.request);
  archive(m.choice);
}
template <typename A, MaybeConst<SetLogLevel> T>
static void fields(A& archive, T& m) {
  archive(m.level);
}
template <typename A, MaybeConst<Shutdown> T>
static void fields(A& /*archive*/, T& /*m*/) {}

template <typename A, MaybeConst<Ready> T>
static void fields(A& archive, T& m) {
  archive(m.pid);
  archive(m.context_tokens);
  archive(m.vocab_size);
  archive(m.page_tokens);
  archive(m.kv_pages);
  archive(m.kv_type);
  archive(m.plan_line);
}
template <typename A, MaybeConst<LoadFailed> T>
static void fields(A& archive, T& m) {
  archive.enumeration(m.code, ErrorCode::kInternal);
  archive(m.message);
}
template <typename A, MaybeConst<Events> T>
static void fields(A& archive, T& m) {
  archive(m.events);
  archive(m.queue_times);
  archive(m.step_tokens);
}
template <typename A, MaybeConst<Stats> T>
static void fields(A& archive, T& m) {
  archive(m.engine);
  archive(m.resident_bytes);
  archive(m.private_bytes);
}
template <typename A, MaybeConst<Alive> T>
static void fields(A& /*archive*/, T& /*m*/) {}
template <typename A, typename T>
requires MaybeConst<T, UploadWeights> || MaybeConst<T, WantWeights> || MaybeConst<T, HaveWeights>
static void fields(A& archive, T& m) { archive(m.layout); }
template <typename A, MaybeConst<MapWeights> T>
static void fields(A& archive, T& m) {
  archive(m.layout);
  archive(m.version);
}
template <typename A, MaybeConst<RefuseWeights> T>
static void fields(A& archive, T& m) {
  archive(m.message);
}
template <typename A, MaybeConst<RejectWeights> T>
static void fields(A& archive, T& m) {
  archive(m.device);
  archive(m.version);
  archive(m.why);
}
template <typename A, MaybeConst<Loading> T>
static void fields(A& archive, T& m) {
  archive(m.done_bytes);
  archive(m.total_bytes);
}

namespace {

template <typename Message>
Status append(std::string& out, const Message& message) {
  const size_t start = out.size();
  out.append(sizeof(uint32_t), '\0');
  Encoder archive(out);
  archive(message);
  const size_t length = out.size() - start - sizeof(uint32_t);
  if (length > kMaxFrameBytes) {
    out.resize(start);
    return fail(ErrorCode::kTooLarge, "a message of " + std::to_string(length) +
                                          " bytes is over the limit of " +
                                          std::to_string(kMaxFrameBytes));
  }
  const auto prefix = static_cast<uint32_t>(length);
  __builtin_memcpy(out.data() + start, &prefix, sizeof prefix);
  return {};
}

template <typename Message>
Result<Message> decode(std::string_view frame) {
  Decoder archive(frame);
  Message message;
  archive(message);
  if (!archive.ok() || !archive.at_end()) {
    return fail(ErrorCode::kMalformed, "a frame of " + std::to_string(frame.size()) +
                                           " bytes is not a message of the protocol");
  }
  return message;
}

}  // namespace

Status append_frame(std::string& out, const Down& message) { return append(out, message); }
Status append_frame(std::string& out, const Up& message) { return append(out, message); }

Result<Down> decode_down(std::string_view frame) { return decode<Down>(frame); }
Result<Up> decode_up(std::string_view frame) { return decode<Up>(frame); }

}  // namespace ipc
}  // namespace hearth
