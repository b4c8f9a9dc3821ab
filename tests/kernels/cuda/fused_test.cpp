// Ops that stand for several give the bits of those, one after the other, on the same device.

#include <algorithm>
#include <limits>

#include "tests/kernels/cpu/kernel_test.h"
#include "tests/kernels/cuda/support_device.h"

namespace hearth::kernels {
namespace {

using testing::on_device;
using testing::random_floats;
using testing::same_bits;
using testing::test_devices;
using testing::use_device;

size_t size_of(int64_t count) { return static_cast<size_t>(count); }

struct HostHalves {
  HostHalves(int64_t rows, int64_t cols)
      : value(size_of(rows * cols), 99),
        scale(size_of(rows * HalfRows::kParts), -7.0F),
        sum32(size_of(rows * cols / 32), 99),
        sum16(size_of(rows * cols / 16), -7.0F) {}
  HalfRows view() { return {value.data(), scale.data(), sum32.data(), sum16.data()}; }
  void check_same(const HostHalves& other) const {
    CHECK(value == other.value);
    CHECK(same_bits(scale.data(), other.scale.data(), static_cast<int64_t>(scale.size())));
    CHECK(sum32 == other.sum32);
    CHECK(same_bits(sum16.data(), other.sum16.data(), static_cast<int64_t>(sum16.size())));
  }
  std::vector<uint16_t> value;
  std::vector<float> scale;
  std::vector<uint32_t> sum32;
  std::vector<float> sum16;
};

}  // namespace

TEST_CASE("device rms_norm_quantize: the bits of rms_norm and quantize") {
  for (Device* device : test_devices()) {
    use_device(*device);
    for (const int64_t cols : {32, 96, 512, 544, 2048, 2592}) {
      INFO("cols ", cols);
      constexpr int64_t kRows = 3;
      auto x = random_floats(size_of(kRows * (cols + 3)), 1, 3.0F);
      std::fill_n(x.begin(), 32, 0.0F);
      const auto weight = random_floats(size_of(cols), 2);
      for (const bool ones : {false, true}) {
        std::vector<float> normed(size_of(kRows * cols));
        RmsNormArgs norm{.x = x.data(),
                         .x_stride = cols + 3,
                         .weight = ones ? nullptr : weight.data(),
                         .eps = 1e-5F,
                         .rows = kRows,
                         .cols = cols,
                         .out = normed.data(),
                         .out_stride = cols};
        on_device({}, norm);
        HostHalves expected(kRows, cols);
        on_device({}, QuantizeArgs{normed.data(), kRows, cols, {}, expected.view()});

        std::vector<float> out(normed.size(), -1.0F);
        HostHalves both(kRows, cols);
        norm.out = out.data();
        on_device({}, RmsNormQuantizeArgs{norm, {}, both.view()});
        CHECK(same_bits(out.data(), normed.data(), kRows * cols));
        both.check_same(expected);
        HostHalves alone(kRows, cols);
        norm.out = nullptr;
        on_device({}, RmsNormQuantizeArgs{norm, {}, alone.view()});
        alone.check_same(expected);
      }
    }
  }
}

TEST_CASE("device activate_quantize: the bits of activate and quantize") {
  for (Device* device : test_devices()) {
    use_device(*device);
    constexpr int64_t kRows = 3;
    constexpr int64_t kCols = 864;
    const auto gate = random_floats(size_of(kRows * (kCols + 5)), 1, 9.0F);
    const auto up = random_floats(size_of(kRows * kCols), 2, 9.0F);
    for (const Activation activation : {Activation::kSilu, Activation::kGelu, Activation::kGeluTanh,
                                        Activation::kClampedSwiglu, Activation::kReluSquared})
      for (const bool gated : {true, false}) {
        std::vector<float> made(size_of(kRows * kCols));
        ActivateArgs args{.activation = activation,
                          .gate = gate.data(),
                          .up = gated ? up.data() : nullptr,
                          .gate_stride = kCols + 5,
                          .up_stride = kCols,
                          .rows = kRows,
                          .cols = kCols,
                          .out = made.data(),
                          .out_stride = kCols};
        on_device({}, args);
        HostHalves expected(kRows, kCols);
        on_device({}, QuantizeArgs{made.data(), kRows, kCols, {}, expected.view()});
        std::vector<float> out(made.size(), -1.0F);
        HostHalves both(kRows, kCols);
        args.out = out.data();
        on_device({}, ActivateQuantizeArgs{args, {}, both.view()});
        CHECK(same_bits(out.data(), made.data(), kRows * kCols));
        both.check_same(expected);
        HostHalves alone(kRows, kCols);
        args.out = nullptr;
        on_device({}, ActivateQuantizeArgs{args, {}, alone.view()});
        alone.check_same(expected);
      }
  }
}

namespace {

struct HeadShape {
  DType dtype = DType::kF16;
  int32_t head_dim = 64;
  int32_t rotary_dim = 64;
  RopeStyle style = RopeStyle::kHalves;
  bool norm = false;
};

/// Q, K and V of three rows of one sequence and one of another, and the pages they go to.
class HeadWorld {
 public:
  static constexpr int32_t kRows = 4;
  static constexpr int32_t kHeads = 6;
  static constexpr int32_t kKvHeads = 2;

  explicit HeadWorld(const HeadShape& shape)
      : shape_(shape),
        q(random_floats(size_of(kRows * q_stride()), 1, 3.0F)),
        k(random_floats(size_of(kRows * kv_stride()), 2, 3.0F)),
        v_(random_floats(size_of(kRows * kv_stride()), 3, 3.0F)),
        table_(random_floats(size_of(kRows * shape.rotary_dim), 4)),
        q_norm_(random_floats(size_of(shape.head_dim), 5)) {
    const size_t page_bytes =
        2 * row_bytes(shape.dtype, shape.head_dim) * kPageTokens * size_t{kKvHeads};
    memory.assign(page_bytes * 5, 0xEE);
    kv_ = {.base = memory.data(),
           .page_bytes = page_bytes,
           .dtype = shape.dtype,
           .page_tokens = kPageTokens,
           .num_kv_heads = kKvHeads,
           .head_dim = shape.head_dim};
  }

  [[nodiscard]] RopeKvStoreArgs args() {
    return {.norm = shape_.norm,
            .norm_eps = 1e-5F,
            .q_norm = q_norm_.data(),
            .k_norm = nullptr,
            .q = rope(q, q_stride(), kHeads),
            .k = rope(k, kv_stride(), kKvHeads),
            .store = {k.data(), v_.data(), kv_stride(), kv_stride(), kv_, sequences_, 2}};
  }

  /// The same by one op after the other.
  void run_apart() {
    const RopeKvStoreArgs ops = args();
    for (const bool is_q : {true, false}) {
      const RopeArgs& heads = is_q ? ops.q : ops.k;
      for (int64_t head = 0; ops.norm && head < heads.num_heads; ++head) {
        float* x = heads.x + head * heads.head_dim;
        on_device({}, RmsNormArgs{.x = x,
                                  .x_stride = heads.x_stride,
                                  .weight = is_q ? ops.q_norm : ops.k_norm,
                                  .eps = ops.norm_eps,
                                  .rows = kRows,
                                  .cols = heads.head_dim,
                                  .out = x,
                                  .out_stride = heads.x_stride});
      }
      on_device({}, heads);
    }
    on_device({}, ops.store);
  }

 private:
  static constexpr int32_t kPageTokens = 8;
  [[nodiscard]] int64_t q_stride() const { return int64_t{kHeads} * shape_.head_dim + 7; }
  [[nodiscard]] int64_t kv_stride() const { return int64_t{kKvHeads} * shape_.head_dim; }
  RopeArgs rope(std::vector<float>& x, int64_t stride, int32_t heads) {
    return {x.data(),          stride,       kRows,        heads, shape_.head_dim,
            shape_.rotary_dim, shape_.style, table_.data()};
  }

  HeadShape shape_;

 public:
  std::vector<float> q;
  std::vector<float> k;
  std::vector<uint8_t> memory;

 private:
  std::vector<float> v_;
  std::vector<float> table_;
  std::vector<float> q_norm_;
  KvLayerView kv_;
  std::vector<int32_t> first_{4, 1};
  std::vector<int32_t> second_{3, 0, 2};
  SequenceRows sequences_[2] = {{0, 3, 6, first_.data()}, {3, 1, 17, second_.data()}};
};

}  // namespace

TEST_CASE("device rope_kv_store: the bits of norms, ropes and kv_store") {
  for (Device* device : test_devices()) {
    use_device(*device);
    for (const HeadShape& shape :
         {HeadShape{}, HeadShape{.dtype = DType::kQ8_0, .norm = true},
          HeadShape{.dtype = DType::kF32, .style = RopeStyle::kInterleaved},
          HeadShape{.head_dim = 80, .rotary_dim = 24, .norm = true},
          HeadShape{.head_dim = 256, .rotary_dim = 256, .norm = true},
          HeadShape{.dtype = DType::kQ8_0, .head_dim = 544, .rotary_dim = 64, .norm = true}}) {
      INFO("head_dim ", shape.head_dim, " rotary_dim ", shape.rotary_dim);
      HeadWorld apart(shape);
      HeadWorld at_once(shape);
      apart.run_apart();
      on_device({}, at_once.args());
      CHECK(at_once.memory == apart.memory);
      CHECK(same_bits(at_once.q.data(), apart.q.data(), static_cast<int64_t>(apart.q.size())));
    }
  }
}

}  // namespace hearth::kernels
