#pragma once
// The ops of a forward pass as one table of function pointers, chosen once at start. Model code
// calls the table and never asks which device or instruction set it is on.
//
// Rules for every entry (DESIGN §2.3, "same request, same bits"):
//  - each output element is reduced in one fixed order, whatever the number of rows in the batch,
//    the rows beside it, and the number of threads;
//  - nothing is allocated; scratch memory comes from the ExecContext;
//  - outputs are written in full; outputs and inputs do not overlap unless the op says so.
// Each family has its contract here, a scalar reference in its folder (the oracle of its tests and
// the fallback) and ISA variants that replace entries at start.
// C++20: CUDA code includes this header.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "kernels/tensor_view.h"

namespace hearth::kernels {

class ThreadPool;  // kernels/cpu/thread_pool.h

/// Where ops run. CPU: `pool` splits each op. CUDA: `stream` (a cudaStream_t) orders them.
struct ExecContext {
  ThreadPool* pool = nullptr;
  void* stream = nullptr;
};

/// out[r] = row tokens[r] of the table, as f32, times `scale`; added to what is in out if
/// `accumulate` (learned positions). Token ids are in range.
struct EmbedArgs {
  WeightView table;                 // [vocab_size, hidden_size], any type
  const int32_t* tokens = nullptr;  // [rows]
  int64_t rows = 0;
  float scale = 1.0F;
  bool accumulate = false;
  float* out = nullptr;  // [rows, table.cols]
};

/// out = x / sqrt(mean(x^2) + eps) * weight, per row of `cols` values (Zhang & Sennrich 2019).
/// `out` may be `x`. With strides larger than cols, rows are slices (QK norm of one head).
struct RmsNormArgs {
  const float* x = nullptr;  // [rows, cols], x_stride floats from row to row
  int64_t x_stride = 0;
  const float* weight = nullptr;  // [cols], or null for ones
  float eps = 0.0F;
  int64_t rows = 0;
  int64_t cols = 0;
  float* out = nullptr;  // [rows, cols], out_stride floats from row to row
  int64_t out_stride = 0;
};

/// out = (x - mean(x)) / sqrt(variance(x) + eps) * weight + bias, per row of `cols` values (Ba et
/// al. 2016). `out` may be `x`.
struct LayerNormArgs {
  const float* x = nullptr;  // [rows, cols], x_stride floats from row to row
  int64_t x_stride = 0;
  const float* weight = nullptr;  // [cols]
  const float* bias = nullptr;    // [cols] or null
  float eps = 0.0F;
  int64_t rows = 0;
  int64_t cols = 0;
  float* out = nullptr;  // [rows, cols], out_stride floats from row to row
  int64_t out_stride = 0;
};

/// Quantizes [rows, cols] f32 to the compact form that the table's matmuls read: `out`, or `half`
/// of tables whose matmul_input says kHalf. cols % 32 == 0. kernels/quant/quantize_rows.h says how
/// the scale of a block of Q8Rows is chosen; a block of zeros has scale 0.
struct QuantizeArgs {
  const float* x = nullptr;  // [rows, cols]
  int64_t rows = 0;
  int64_t cols = 0;
  Q8Rows out;
  HalfRows half = {};
};

/// out[r, o] = dot(weight[o], x[r]) + (bias ? bias[o] : 0) + (accumulate ? out[r, o] : 0).
struct MatmulArgs {
  WeightView weight;            // [n, cols]
  const float* bias = nullptr;  // [n] or null
  bool accumulate = false;      // add to what is in out: the residual connection
  float* out = nullptr;         // [x.rows, n], out_stride floats from row to row
  int64_t out_stride = 0;
};

/// Which form of its input a matmul reads for a weight type. A table has one compact form: kQ8 or
/// kHalf; kOrderedHalf: that if it is HalfRows::in_order, else f32, to the same bits.
enum class MatmulInput { kF32, kQ8, kHalf, kOrderedHalf };

/// cos/sin of every row's rotary angles, made once per step:
/// table[r, i] = {cos, sin}(positions[r] * inverse_frequency[i]) * magnitude, angles in double.
struct RopeTableArgs {
  const int32_t* positions = nullptr;  // [rows]
  int64_t rows = 0;
  const double* inverse_frequency = nullptr;  // [rotary_dim / 2]
  int32_t rotary_dim = 0;
  float magnitude = 1.0F;  // YaRN's attention factor; else 1
  float* table = nullptr;  // [rows, rotary_dim / 2, 2]
};

/// Which elements of a head make a rotary pair (Su et al. 2021; GGUF files of `llama` are permuted
/// for kInterleaved).
enum class RopeStyle {
  kInterleaved,  // (2i, 2i + 1)
  kHalves,       // (i, i + rotary_dim / 2)
};

/// Rotates the first rotary_dim values of each head in place.
struct RopeArgs {
  float* x = nullptr;  // [rows, num_heads, head_dim], x_stride floats from row to row
  int64_t x_stride = 0;
  int64_t rows = 0;
  int32_t num_heads = 0;
  int32_t head_dim = 0;
  int32_t rotary_dim = 0;
  RopeStyle style = RopeStyle::kInterleaved;
  const float* table = nullptr;  // [rows, rotary_dim / 2, 2]
};

/// Writes K and V of each row into its sequence's pages, converted to the cache's type.
struct KvStoreArgs {
  const float* k = nullptr;  // [rows, num_kv_heads, head_dim], k_stride floats from row to row
  const float* v = nullptr;  // the same, v_stride
  int64_t k_stride = 0;
  int64_t v_stride = 0;
  KvLayerView kv;
  const SequenceRows* sequences = nullptr;  // [num_sequences]; their rows cover the batch
  int32_t num_sequences = 0;
};

/// Causal attention over paged K and V: each row attends to positions 0 … its own of its sequence,
/// as far as `window` and `chunk` let it. Scores are q·k * scale, then softcap * tanh(score /
/// softcap) if softcap > 0. A head's sink joins its softmax as a score without a value. Softmax is
/// online over pages in page order, page by page, so that a row's bits do not depend on batch or
/// chunking.
struct AttentionArgs {
  const float* q = nullptr;  // [rows, num_heads, head_dim], q_stride floats from row to row
  int64_t q_stride = 0;
  KvLayerView kv;
  const SequenceRows* sequences = nullptr;  // [num_sequences]
  int32_t num_sequences = 0;
  int32_t num_heads = 0;  // a multiple of kv.num_kv_heads; head h reads KV head h / group
  float scale = 1.0F;
  float softcap = 0.0F;          // 0: none
  const float* sinks = nullptr;  // [num_heads] or null
  int32_t window = 0;            // 0: unlimited; else a token at i sees j when i - j < window
  int32_t chunk = 0;             // 0: unlimited; else i sees j when i / chunk == j / chunk
  float* out = nullptr;          // [rows, num_heads, head_dim], out_stride floats from row to row
  int64_t out_stride = 0;
};

/// The functions between the two linear layers of a feed-forward block.
enum class Activation {
  kSilu,           // x / (1 + e^-x)
  kGelu,           // x * (1 + erf(x / sqrt 2)) / 2 (Hendrycks & Gimpel 2016)
  kGeluTanh,       // its approximation by tanh, of the same paper
  kClampedSwiglu,  // min(x, 7) / (1 + e^(-1.702 min(x, 7))), and up is clamp(up, -7, 7) + 1
  kReluSquared,    // max(x, 0)^2 (So et al. 2021)
};

/// out = activation(gate) * up (Shazeer 2020), or activation(gate) where `up` is null. `out` may be
/// `gate`.
struct ActivateArgs {
  Activation activation = Activation::kSilu;
  const float* gate = nullptr;  // [rows, cols], gate_stride floats from row to row
  const float* up = nullptr;    // [rows, cols], up_stride; or null
  int64_t gate_stride = 0;
  int64_t up_stride = 0;
  int64_t rows = 0;
  int64_t cols = 0;
  float* out = nullptr;  // [rows, cols], out_stride
  int64_t out_stride = 0;
};

/// x = x * scale, then softcap * tanh(x / softcap) if softcap > 0, in place.
struct ScaleArgs {
  float* x = nullptr;  // [count]
  int64_t count = 0;
  float scale = 1.0F;
  float softcap = 0.0F;
};

/// out += x * scale: a residual connection whose branch was not added by its matmul.
struct AddArgs {
  const float* x = nullptr;  // [count]
  float scale = 1.0F;
  int64_t count = 0;
  float* out = nullptr;  // [count]
};

/// How router logits become weights of the chosen experts.
enum class Router {
  kSoftmax,        // of the logits of all experts
  kSoftmaxChosen,  // of the logits of the chosen ones: they add up to 1
  kSigmoid,        // of each chosen logit by itself
};

/// Where the rows of a batch go in a mixture of experts. A row takes the `used` experts of the
/// largest logits, in falling order, the lower number first of equals; each (row, rank) gets a
/// slot. Slots of one expert lie next to each other, in order of (row, rank).
struct RouteArgs {
  const float* logits = nullptr;  // [rows, experts]
  int64_t rows = 0;
  int32_t experts = 0;
  int32_t used = 0;  // 1 … experts
  Router router = Router::kSoftmaxChosen;
  float scale = 1.0F;         // multiplies the weights
  int32_t* chosen = nullptr;  // [rows, used]: expert numbers
  float* weight = nullptr;    // [rows, used]
  int32_t* begin = nullptr;   // [experts + 1]: the first slot of each expert; then rows * used
  int32_t* source = nullptr;  // [rows * used]: row * used + rank of each slot
  int32_t* slot = nullptr;    // [rows, used]: the slot of each (row, rank)
};

/// out[s] = x[source[s] / used], times weight[source[s]] if `weight` is set: rows to their slots.
struct GatherArgs {
  const float* x = nullptr;         // [slots / used, cols]
  const int32_t* source = nullptr;  // [slots]
  const float* weight = nullptr;    // [slots / used, used] or null
  int64_t slots = 0;
  int32_t used = 0;
  int64_t cols = 0;
  float* out = nullptr;  // [slots, cols]
};

/// One matrix of every expert against that expert's slots: out[s] = weights[e] x[s] + bias[e] for s
/// in begin[e] … begin[e + 1] - 1. A slot's bits do not depend on the others. Experts without slots
/// are not read.
struct ExpertMatmulArgs {
  const WeightView* weights = nullptr;  // [experts], of one shape and type
  const float* bias = nullptr;          // [experts, rows of a weight] or null
  const int32_t* begin = nullptr;       // [experts + 1]
  int32_t experts = 0;
  float* out = nullptr;  // [slots, rows of a weight]
};

/// out[r] = sum over ranks, in order, of weight[r, rank] * x[slot[r, rank]], added to what is in
/// out if `accumulate`. A null `weight` stands for ones.
struct CombineArgs {
  const float* x = nullptr;       // [rows * used, cols]
  const int32_t* slot = nullptr;  // [rows, used]
  const float* weight = nullptr;  // [rows, used] or null
  int64_t rows = 0;
  int32_t used = 0;
  int64_t cols = 0;
  bool accumulate = false;
  float* out = nullptr;  // [rows, cols]
};

// Ops that stand for several of the above, one after the other, to the same bits.

/// rms_norm, then quantize of what it gave. cols % 32 == 0. `norm.out` may be null: then the
/// compact form alone is wanted.
struct RmsNormQuantizeArgs {
  RmsNormArgs norm;
  Q8Rows q8;  // [norm.rows, norm.cols]
  HalfRows half = {};
};

/// activate, then quantize of what it gave. cols % 32 == 0. `activate.out` may be null: then the
/// compact form alone is wanted.
struct ActivateQuantizeArgs {
  ActivateArgs activate;
  Q8Rows q8;  // [activate.rows, activate.cols]
  HalfRows half = {};
};

/// rms_norm of each head of Q and K if `norm`, rope of both, then kv_store. Q is changed in place;
/// what is left of K in `k.x` is not said.
struct RopeKvStoreArgs {
  bool norm = false;
  float norm_eps = 0.0F;
  const float* q_norm = nullptr;  // [head_dim], or null for ones
  const float* k_norm = nullptr;  // the same
  RopeArgs q;
  RopeArgs k;         // of the same rows, table and sizes as q, but for the number of heads
  KvStoreArgs store;  // store.k is k.x
};

/// How matmul rounds F16 and BF16 weights or their inputs, besides f32 sums.
enum class HalfRounding {
  kNone,
  kAsF16,       // to about the precision of f16, for both types
  kAsTheWeight  // inputs to the weight's type: to 11 bits, or 8 for BF16
};

struct SampleArgs;  // kernels/sampling/sampling.h

struct KernelTable {
  std::string_view name;  // "ref", "avx2", "avx512", …: logged at start
  HalfRounding half_rounding = HalfRounding::kNone;  // of `matmul`

  void (*embed)(const ExecContext&, const EmbedArgs&) = nullptr;
  void (*rms_norm)(const ExecContext&, const RmsNormArgs&) = nullptr;
  void (*layer_norm)(const ExecContext&, const LayerNormArgs&) = nullptr;
  void (*quantize)(const ExecContext&, const QuantizeArgs&) = nullptr;
  MatmulInput (*matmul_input)(DType weight) = nullptr;
  /// Several weights against one input (Q, K and V; gate and up) in one dispatch.
  void (*matmul)(const ExecContext&, const ActivationView& x, const MatmulArgs* jobs,
                 int num_jobs) = nullptr;
  void (*rope_table)(const ExecContext&, const RopeTableArgs&) = nullptr;
  void (*rope)(const ExecContext&, const RopeArgs&) = nullptr;
  void (*kv_store)(const ExecContext&, const KvStoreArgs&) = nullptr;
  void (*attention)(const ExecContext&, const AttentionArgs&) = nullptr;
  void (*activate)(const ExecContext&, const ActivateArgs&) = nullptr;
  void (*scale)(const ExecContext&, const ScaleArgs&) = nullptr;
  void (*add)(const ExecContext&, const AddArgs&) = nullptr;
  void (*route)(const ExecContext&, const RouteArgs&) = nullptr;
  void (*gather)(const ExecContext&, const GatherArgs&) = nullptr;
  /// `x` has the slots as rows, in the form that the weights' type reads.
  void (*expert_matmul)(const ExecContext&, const ActivationView& x,
                        const ExpertMatmulArgs&) = nullptr;
  void (*combine)(const ExecContext&, const CombineArgs&) = nullptr;

  // Optional: null where one pass over memory gains nothing over the ops that they stand for.
  void (*rms_norm_quantize)(const ExecContext&, const RmsNormQuantizeArgs&) = nullptr;
  void (*activate_quantize)(const ExecContext&, const ActivateQuantizeArgs&) = nullptr;
  void (*rope_kv_store)(const ExecContext&, const RopeKvStoreArgs&) = nullptr;

  /// Tokens from logits (kernels/sampling/sampling.h). Null on the CPU, whose sampler is
  /// engine/sampler.
  void (*sample)(const ExecContext&, const SampleArgs&) = nullptr;
};

}  // namespace hearth::kernels
