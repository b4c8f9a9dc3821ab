#include "engine/gguf/metadata.h"

#include <doctest/doctest.h>

#include <limits>

#include "engine/gguf/gguf_parser.h"
#include "tests/engine/gguf/support_files.h"

namespace hearth {
namespace {

/// Metadata of the sample file; `bytes` must outlive it.
Metadata parse(const std::string& bytes) {
  return parse_gguf("m.gguf", std::as_bytes(std::span(bytes))).value().metadata;
}

std::string sample_bytes() {
  const TemporaryFolder folder;
  const auto path = folder.path() / "m.gguf";
  REQUIRE(sample_writer().write(path).has_value());
  return read_bytes(path);
}

}  // namespace

TEST_CASE("typed values come back as written") {
  const std::string bytes = sample_bytes();
  const Metadata m = parse(bytes);
  CHECK(m.string("general.architecture").value() == "llama");
  CHECK(m.u32("llama.block_count").value() == 2);
  CHECK(m.f32("llama.epsilon").value() == 1e-5F);
  CHECK(m.bool_or("tokenizer.add_bos", false).value());
  CHECK(std::get<uint64_t>(*m.find("test.u64")) == uint64_t{1} << 40);
  CHECK(std::get<int64_t>(*m.find("test.i64")) == -1 - (int64_t{1} << 40));
  CHECK(std::get<double>(*m.find("test.f64")) == 0.1);
  CHECK(m.f32("test.f64").value() == 0.1F);
  CHECK(m.f32("llama.block_count").value() == 2.0F);
  CHECK(m.strings("test.strings").value() == std::vector<std::string_view>{"a", "", "ccc"});
  CHECK(m.i32s("test.ints").value() == std::vector<int32_t>{1, -2, 3});
  CHECK(m.f32s("test.ints").value() == std::vector<float>{1, -2, 3});
  CHECK(m.f32s("test.floats").value() == std::vector<float>{0.5F, -1.5F});
}

TEST_CASE("wrong types, misfits and absent keys are errors that name the key") {
  const std::string bytes = sample_bytes();
  const Metadata m = parse(bytes);
  const auto message = [](const auto& result) {
    REQUIRE_FALSE(result.has_value());
    return result.error().message;
  };
  CHECK(message(m.u32("absent")) ==
        "'m.gguf': key 'absent': absent, expected an integer from 0 to 4294967295");
  CHECK(message(m.u32("test.u64")) ==
        "'m.gguf': key 'test.u64': the integer 1099511627776, expected an integer from 0 to "
        "4294967295");
  CHECK_FALSE(m.u32("test.i32").has_value());
  CHECK_FALSE(m.u32("tokenizer.add_bos").has_value());
  CHECK_FALSE(m.f32("general.architecture").has_value());
  CHECK_FALSE(m.string("llama.block_count").has_value());
  CHECK_FALSE(m.strings("test.ints").has_value());
  CHECK_FALSE(m.strings("general.architecture").has_value());
  CHECK_FALSE(m.i32s("test.strings").has_value());
  CHECK_FALSE(m.i32s("test.floats").has_value());
}

TEST_CASE("fallbacks serve absent keys only") {
  const std::string bytes = sample_bytes();
  const Metadata m = parse(bytes);
  CHECK(m.u32_or("absent", 7).value() == 7);
  CHECK(m.f32_or("absent", 0.5F).value() == 0.5F);
  CHECK(m.bool_or("absent", true).value());
  CHECK(m.string_or("absent", "x").value() == "x");
  CHECK_FALSE(m.u32_or("general.architecture", 7).has_value());
  CHECK_FALSE(m.f32_or("general.architecture", 0.5F).has_value());
  CHECK_FALSE(m.bool_or("llama.block_count", true).has_value());
  CHECK_FALSE(m.string_or("llama.block_count", "x").has_value());
}

TEST_CASE("a float beyond 32 bits is refused, not made infinite") {
  Metadata m;
  m.insert("big", MetaValue(1e300));
  m.insert("infinite", MetaValue(std::numeric_limits<double>::infinity()));
  CHECK_FALSE(m.f32("big").has_value());
  CHECK(m.f32("infinite").value() == std::numeric_limits<float>::infinity());
}

TEST_CASE("overrides take the type of what they replace") {
  const std::string bytes = sample_bytes();
  Metadata m = parse(bytes);
  CHECK(m.override_value("general.architecture", "qwen2").has_value());
  CHECK(m.override_value("llama.block_count", "3").has_value());
  CHECK(m.override_value("llama.epsilon", "1e-6").has_value());
  CHECK(m.override_value("tokenizer.add_bos", "false").has_value());
  CHECK(m.override_value("test.i32", "-9").has_value());
  CHECK(m.override_value("brand.new", "12").has_value());
  CHECK(m.string("general.architecture").value() == "qwen2");
  CHECK(m.u32("llama.block_count").value() == 3);
  CHECK(m.f32("llama.epsilon").value() == 1e-6F);
  CHECK_FALSE(m.bool_or("tokenizer.add_bos", true).value());
  CHECK(std::get<int64_t>(*m.find("test.i32")) == -9);
  CHECK(m.string("brand.new").value() == "12");
  const Metadata moved = std::move(m);  // views into owned strings survive a move
  CHECK(moved.string("general.architecture").value() == "qwen2");
  CHECK(moved.string("brand.new").value() == "12");
}

TEST_CASE("overrides that do not fit are refused and change nothing") {
  const std::string bytes = sample_bytes();
  Metadata m = parse(bytes);
  CHECK_FALSE(m.override_value("llama.block_count", "3x").has_value());
  CHECK_FALSE(m.override_value("llama.block_count", "-1").has_value());
  CHECK_FALSE(m.override_value("llama.block_count", "").has_value());
  CHECK_FALSE(m.override_value("tokenizer.add_bos", "1").has_value());
  CHECK_FALSE(m.override_value("test.ints", "1").has_value());
  CHECK_FALSE(m.override_value("", "1").has_value());
  const auto status = m.override_value("llama.epsilon", "tiny");
  REQUIRE_FALSE(status.has_value());
  CHECK(status.error().message ==
        "override of key 'llama.epsilon': 'tiny', expected a number, as the file has");
  CHECK(m.u32("llama.block_count").value() == 2);
}

}  // namespace hearth
