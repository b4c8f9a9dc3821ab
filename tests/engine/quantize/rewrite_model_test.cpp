#include "engine/quantize/rewrite_model.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>

#include "engine/synth/gguf_writer.h"
#include "engine/tokenizer/tokenizer.h"
#include "tests/support/legacy_writer.h"
#include "tests/support/model_logits.h"
#include "tests/support/safetensors_writer.h"
#include "tests/support/spm_model.h"
#include "tests/support/temp_model.h"

namespace hearth {
namespace {

namespace fs = std::filesystem;

std::unique_ptr<ModelFile> open(const fs::path& path) {
  auto model = ModelFile::open(path);
  REQUIRE_MESSAGE(model.has_value(), model.error().message);
  return std::move(*model);
}

fs::path beside(const fs::path& path, const std::string& name) { return path.parent_path() / name; }

Result<RewriteReport> rewrite(const fs::path& in, const fs::path& out, const char* type = nullptr,
                              int threads = 2) {
  RewriteOptions options{.threads = threads};
  if (type != nullptr) options.target = find_quantize_target(type).value();
  return rewrite_model(*open(in), out, options);
}

std::string bytes_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void check_same_tensors(const ModelFile& a, const ModelFile& b) {
  REQUIRE(a.tensors().size() == b.tensors().size());
  for (const TensorInfo& tensor : a.tensors()) {
    CAPTURE(std::string(tensor.name));
    const TensorInfo* other = b.find_tensor(tensor.name);
    REQUIRE(other != nullptr);
    CHECK(other->dtype == tensor.dtype);
    CHECK(other->dims == tensor.dims);
    REQUIRE(other->bytes == tensor.bytes);
    CHECK(std::memcmp(other->data, tensor.data, tensor.bytes) == 0);
  }
}

DType type_of(const ModelFile& model, std::string_view name) {
  const TensorInfo* tensor = model.find_tensor(name);
  REQUIRE(tensor != nullptr);
  return tensor->dtype;
}

/// Two files whose one matrix has this value in it.
fs::path model_with_value(float value) {
  const fs::path path = beside(testing::tiny_model(), "one-value.gguf");
  GgufWriter writer;
  writer.add_string("general.architecture", "llama");
  const std::array<int64_t, 2> dims{32, 4};
  writer.add_tensor("blk.0.ffn_up.weight", DType::kF32, dims,
                    [value](int64_t, std::span<std::byte> out) {
                      std::memcpy(out.data() + 2 * 32 * 4, &value, sizeof(value));
                    });
  REQUIRE(writer.write(path).has_value());
  return path;
}

}  // namespace

TEST_CASE("quantize: matrices get the type, vectors keep theirs, metadata is that of the input") {
  const fs::path in = testing::tiny_model("llama", "f16");
  const fs::path out = beside(in, "q8.gguf");
  const auto report = rewrite(in, out, "q8_0");
  REQUIRE_MESSAGE(report.has_value(), report.error().message);
  CHECK(report->notes.empty());
  CHECK(report->file_bytes == fs::file_size(out));
  const auto before = open(in);
  const auto after = open(out);
  for (const TensorInfo& tensor : before->tensors())
    CHECK(type_of(*after, tensor.name) == (tensor.num_dims == 1 ? DType::kF32 : DType::kQ8_0));
  CHECK(after->metadata().u32("general.file_type").value() == 7);
  CHECK(after->metadata().u32("general.quantization_version").value() == 2);
  CHECK(after->metadata().strings("tokenizer.ggml.tokens").value() ==
        before->metadata().strings("tokenizer.ggml.tokens").value());
  CHECK(after->metadata().u32("llama.block_count").value() == 2);
  CHECK(testing::model_logits(out).size() == testing::model_logits(in).size());
}

TEST_CASE("quantize: the same bytes with any number of threads") {
  const fs::path in = testing::tiny_model("llama", "f32");
  REQUIRE(rewrite(in, beside(in, "one.gguf"), "q5_1", 1).has_value());
  REQUIRE(rewrite(in, beside(in, "three.gguf"), "q5_1", 3).has_value());
  CHECK(bytes_of(beside(in, "one.gguf")) == bytes_of(beside(in, "three.gguf")));
}

TEST_CASE("quantize: rows that are not whole blocks get a type that fits, and it is said") {
  const fs::path in = testing::tiny_model("llama", "f32");  // rows of 64 and 192 values
  const fs::path out = beside(in, "fallback.gguf");
  const auto report = rewrite(in, out, "q4_k");
  REQUIRE_MESSAGE(report.has_value(), report.error().message);
  CHECK(type_of(*open(out), "blk.0.ffn_up.weight") == DType::kQ5_0);
  REQUIRE_FALSE(report->notes.empty());
  CHECK(report->notes[0].find("not whole blocks of q4_k, written as q5_0") != std::string::npos);
}

TEST_CASE("quantize: a mix gives the output and sensitive layers more bits") {
  const QuantizeTarget& target = *find_quantize_target("q4_K_m").value();
  const ModelShape shape{.num_layers = 32};
  CHECK(wanted_type(target, shape, "output.weight") == DType::kQ6_K);
  CHECK(wanted_type(target, shape, "token_embd.weight") == DType::kQ4_K);
  CHECK(wanted_type(target, {.num_layers = 32, .tied_embeddings = true}, "token_embd.weight") ==
        DType::kQ6_K);
  CHECK(wanted_type(target, shape, "blk.0.attn_v.weight") == DType::kQ6_K);
  CHECK(wanted_type(target, shape, "blk.5.ffn_down.weight") == DType::kQ4_K);
  CHECK(wanted_type(target, shape, "blk.6.ffn_down_exps.weight") == DType::kQ6_K);
  CHECK(wanted_type(target, shape, "blk.0.attn_q.weight") == DType::kQ4_K);
  const QuantizeTarget& plain = *find_quantize_target("Q4_K").value();
  CHECK(wanted_type(plain, shape, "output.weight") == DType::kQ4_K);
  const QuantizeTarget& experts = *find_quantize_target("mxfp4_moe").value();
  CHECK(wanted_type(experts, shape, "blk.6.ffn_down_exps.weight") == DType::kMXFP4);
  CHECK(wanted_type(experts, shape, "blk.6.attn_q.weight") == DType::kQ8_0);
  CHECK(wanted_type(*find_quantize_target("mxfp4").value(), shape, "output.weight") ==
        DType::kQ8_0);
  const QuantizeTarget& ternary = *find_quantize_target("tq1_0").value();
  CHECK(wanted_type(ternary, shape, "blk.6.attn_q.weight") == DType::kTQ1_0);
  CHECK(wanted_type(ternary, shape, "token_embd.weight") == DType::kQ6_K);
  CHECK(wanted_type(ternary, shape, "output.weight") == DType::kQ6_K);
  CHECK(fitting_type(DType::kTQ1_0, 96) == DType::kQ4_0);
}

TEST_CASE("quantize: an unknown type is refused with the list of types") {
  const auto target = find_quantize_target("q9_z");
  REQUIRE_FALSE(target.has_value());
  CHECK(target.error().message.find("Q4_K_M") != std::string::npos);
}

TEST_CASE("quantize: the input is never overwritten") {
  const fs::path in = testing::tiny_model("llama", "f16");
  const std::string before = bytes_of(in);
  const fs::path link = beside(in, "link.gguf");
  fs::remove(link);
  fs::create_hard_link(in, link);
  for (const fs::path& out : {in, link, in.parent_path()}) {
    const auto report = rewrite(in, out, "q8_0");
    REQUIRE_FALSE(report.has_value());
    CHECK(report.error().code == ErrorCode::kInvalidArgument);
  }
  CHECK(bytes_of(in) == before);
}

TEST_CASE("quantize: values that the type cannot hold name the tensor and leave no file") {
  const fs::path out = beside(testing::tiny_model(), "refused.gguf");
  for (const auto& [value, type] : {std::pair{NAN, "q8_0"}, {INFINITY, "q4_0"}, {1e6F, "f16"}}) {
    const auto report = rewrite(model_with_value(value), out, type);
    REQUIRE_FALSE(report.has_value());
    CHECK(report.error().message.find("'blk.0.ffn_up.weight': row 2") != std::string::npos);
    CHECK_FALSE(fs::exists(out));
  }
  CHECK(rewrite(model_with_value(1e6F), out, "bf16").has_value());
}

TEST_CASE("convert: split parts become one file with the same tensors") {
  const fs::path in = testing::tiny_model("qwen3", "bf16");
  const auto model = open(in);
  GgufWriter writer;
  for (const auto& [key, value] : model->metadata().entries()) writer.add_value(key, value);
  testing::copy_tensors(*model, writer);
  const fs::path first = writer.write_split(in.parent_path(), "parts", 3).value();
  const auto refused = rewrite(first, beside(in, "parts-00002-of-00003.gguf"));
  CHECK_FALSE(refused.has_value());
  REQUIRE(rewrite(first, beside(in, "whole.gguf")).has_value());
  const auto whole = open(beside(in, "whole.gguf"));
  check_same_tensors(*model, *whole);
  CHECK_FALSE(whole->metadata().contains("split.count"));
}

TEST_CASE("convert: a folder's Q and K rows are interleaved again") {
  const fs::path in = testing::tiny_model("llama", "bf16");
  const auto model = open(in);
  const fs::path folder = beside(in, "convert-folder");
  testing::write_folder(*model, folder, {.shards = 2});
  const fs::path out = beside(in, "from-folder.gguf");
  const auto report = rewrite(folder, out);
  REQUIRE_MESSAGE(report.has_value(), report.error().message);
  const auto converted = open(out);
  check_same_tensors(*model, *converted);
  CHECK_FALSE(converted->metadata().contains("hearth.rope.halves"));
  CHECK(testing::model_logits(out) == testing::model_logits(in));
  const auto before = Tokenizer::create(open(folder)->metadata());
  CHECK(before.has_value());
}

TEST_CASE("convert: experts that lie one by one become a stack") {
  const fs::path in = testing::tiny_model("mixtral", "f32");
  const auto model = open(in);
  const fs::path apart = beside(in, "experts-apart.gguf");
  GgufWriter writer;
  for (const auto& [key, value] : model->metadata().entries()) writer.add_value(key, value);
  for (const TensorInfo& tensor : model->tensors()) {
    const std::string name(tensor.name);
    const size_t at = name.find("_exps.");
    const int64_t parts = at == std::string::npos ? 1 : tensor.dims[2];
    const size_t bytes = tensor.bytes / static_cast<size_t>(parts);
    for (int64_t e = parts - 1; e >= 0; --e) {  // in any order
      const std::byte* data = tensor.data + static_cast<size_t>(e) * bytes;
      const size_t row = row_bytes(tensor.dtype, tensor.dims[0]);
      writer.add_tensor(
          at == std::string::npos ? name : name.substr(0, at) + "." + std::to_string(e) + ".weight",
          tensor.dtype, std::span(tensor.dims.data(), std::min(tensor.num_dims, 2U)),
          [data, row](int64_t first_row, std::span<std::byte> out) {
            std::memcpy(out.data(), data + static_cast<size_t>(first_row) * row, out.size());
          });
    }
  }
  REQUIRE(writer.write(apart).has_value());
  const fs::path out = beside(in, "experts-stacked.gguf");
  const auto report = rewrite(apart, out);
  REQUIRE_MESSAGE(report.has_value(), report.error().message);
  check_same_tensors(*model, *open(out));
}

TEST_CASE("convert: files of 2023 keep their codes") {
  for (const char* type : {"q4_0", "q4_1", "q8_0", "f16"}) {
    CAPTURE(type);
    const fs::path gguf = testing::spm_model(type);
    const auto model = open(gguf);
    for (const auto& kind : {testing::LegacyKind{"ggml", 0}, {"ggjt", 2}, {"ggjt", 3}}) {
      const fs::path legacy = beside(gguf, "legacy.bin");
      testing::write_file(legacy, testing::legacy_bytes(*model, kind));
      const fs::path out = beside(gguf, "from-legacy.gguf");
      const auto report = rewrite(legacy, out);
      REQUIRE_MESSAGE(report.has_value(), report.error().message);
      const auto converted = open(out);
      CHECK(converted->format() == "GGUF");
      check_same_tensors(*model, *converted);
    }
  }
}

}  // namespace hearth
