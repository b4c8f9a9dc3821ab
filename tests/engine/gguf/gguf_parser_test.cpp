#include "engine/gguf/gguf_parser.h"

#include <doctest/doctest.h>

#include <random>

#include "engine/gguf/split_name.h"
#include "tests/engine/gguf/support_files.h"

namespace hearth {
namespace {

/// "" if the file parses.
std::string parse_error(const std::string& bytes, ErrorCode expected = ErrorCode::kMalformed) {
  const auto parsed = parse_gguf("m.gguf", std::as_bytes(std::span(bytes)));
  if (parsed) return "";
  CHECK(parsed.error().code == expected);
  CHECK(parsed.error().message.find('\n') == std::string::npos);
  return parsed.error().message;
}

std::string tensor_error(const std::string& table_row) {
  return parse_error(RawFile{{}, {table_row}, std::string(4096, 'x'), {}, {}}.bytes());
}

std::string value_error(MetaType type, const std::string& value) {
  return parse_error(RawFile{{entry("k", type, value)}, {}, std::string(64, '\0'), {}, {}}.bytes());
}

}  // namespace

TEST_CASE("counts beyond what the bytes can hold are refused before any work") {
  RawFile file;
  file.num_entries = 1ULL << 61;
  CHECK(parse_error(file.bytes()) ==
        "'m.gguf': header: metadata count: 2305843009213693952, expected at most the 0 that the "
        "file's remaining bytes can hold");
  file.num_entries = {};
  file.num_tensors = UINT64_MAX;
  CHECK(parse_error(file.bytes()).find("tensor count: 18446744073709551615") != std::string::npos);
}

TEST_CASE("keys are non-empty, UTF-8, unique, of bounded length and known type") {
  const auto keys = [](const std::vector<std::string>& entries) {
    return parse_error(RawFile{entries, {}, std::string(64, '\0'), {}, {}}.bytes());
  };
  const std::string one = encoded<uint32_t>(1);
  CHECK(keys({entry("", MetaType::kU32, one)}).find("key: ''") != std::string::npos);
  CHECK(keys({entry("\xFF", MetaType::kU32, one)}).find("not UTF-8") != std::string::npos);
  CHECK(keys({entry("a", MetaType::kU32, one), entry("a", MetaType::kU32, one)}) ==
        "'m.gguf': key 'a': appears twice, expected once");
  CHECK(
      keys({entry(std::string(70000, 'k'), MetaType::kU32, one)}).find("expected at most 65535") !=
      std::string::npos);
  CHECK(keys({entry("a", static_cast<MetaType>(13), one)}) ==
        "'m.gguf': key 'a': value type: 13, expected 0 to 12");
  CHECK(keys({encoded<uint64_t>(UINT64_MAX - 7)}).find("key length: 18446744073709551608") !=
        std::string::npos);
  CHECK(keys({entry("a\nb", MetaType::kBool, "\2")}) ==
        "'m.gguf': key 'a\\x0ab': bool value: 2, expected 0 or 1");
}

TEST_CASE("arrays are walked and bounded") {
  const auto head = [](MetaType type, uint64_t count) {
    return encoded(static_cast<uint32_t>(type)) + encoded(count);
  };
  CHECK(value_error(MetaType::kArray, head(MetaType::kU8, 0)).empty());
  CHECK(value_error(MetaType::kArray, head(MetaType::kF64, 1ULL << 61)) != "");
  CHECK(value_error(MetaType::kArray, head(MetaType::kString, 1ULL << 62)) != "");
  CHECK(value_error(MetaType::kArray, head(MetaType::kString, 1) + encoded(UINT64_MAX)) != "");
  CHECK(value_error(MetaType::kArray, head(static_cast<MetaType>(99), 1)) != "");
  const std::string inner = head(MetaType::kU8, 2) + "xy";
  CHECK(value_error(MetaType::kArray, head(MetaType::kArray, 2) + inner + inner).empty());
  CHECK(value_error(MetaType::kArray, head(MetaType::kArray, 2) + inner + "no array") != "");
  std::string deep;
  for (int i = 0; i < 8; ++i) deep += head(MetaType::kArray, 1);
  CHECK(value_error(MetaType::kArray, deep + inner).find("array nesting") != std::string::npos);
  std::string bomb;  // would overflow the stack without a limit
  for (int i = 0; i < 1000000; ++i) bomb += head(MetaType::kArray, 1);
  CHECK(value_error(MetaType::kArray, bomb).find("array nesting") != std::string::npos);
}

TEST_CASE("general.alignment is a power of two in a sane range") {
  const auto alignment = [](uint32_t value) {
    return parse_error(
        RawFile{{entry("general.alignment", MetaType::kU32, encoded(value))}, {}, {}, {}, {}}
            .bytes());
  };
  for (const uint32_t good : {8U, 32U, 4096U, 1U << 30}) CHECK(alignment(good).empty());
  for (const uint32_t bad : {0U, 1U, 3U, 4U, 48U, 1U << 31, 0xFFFFFFFFU})
    CHECK(alignment(bad).find("'general.alignment': " + std::to_string(bad) + ", expected") !=
          std::string::npos);
}

TEST_CASE("tensor names, shapes and offsets are checked") {
  CHECK(tensor_error(tensor("t", {8, 2}, kF32, 32)).empty());
  CHECK(tensor_error(tensor("", {8}, kF32, 0)).find("name: ''") != std::string::npos);
  CHECK(tensor_error(tensor("\xC3(", {8}, kF32, 0)).find("not UTF-8") != std::string::npos);
  CHECK(tensor_error(tensor(std::string(65, 'n'), {8}, kF32, 0)).find("name length: 65") !=
        std::string::npos);
  CHECK(tensor_error(tensor("t", {}, kF32, 0)).find("number of dimensions: 0") !=
        std::string::npos);
  CHECK(tensor_error(tensor("t", {1, 1, 1, 1, 1}, kF32, 0)).find("number of dimensions: 5") !=
        std::string::npos);
  CHECK(tensor_error(tensor("t", {8, 0}, kF32, 0)).find("dimension 1: 0") != std::string::npos);
  CHECK(tensor_error(tensor("t", {UINT64_MAX - 15}, kF32, 0)).find("dimension 0: 184467") !=
        std::string::npos);
  CHECK(tensor_error(tensor("t", {1ULL << 32, 1ULL << 32}, kF32, 0)).find("overflows") !=
        std::string::npos);
  CHECK(tensor_error(tensor("t", {1ULL << 62}, kF32, 0)).find("overflows") != std::string::npos);
  CHECK(tensor_error(tensor("t", {33}, kQ4_0, 0)) ==
        "'m.gguf': tensor 't': dimension 0: 33, expected a multiple of 32, the block size of q4_0");
  CHECK(tensor_error(tensor("t", {8}, kF32, 4)).find("offset: 4, expected a multiple of 32") !=
        std::string::npos);
  CHECK(tensor_error(tensor("t", {8}, kF32, 4096)).find("beyond the end") != std::string::npos);
  CHECK(tensor_error(tensor("t", {8}, kF32, UINT64_MAX - 31)).find("beyond the end") !=
        std::string::npos);
  CHECK(tensor_error(tensor("t", {1025}, kF32, 0)).find("beyond the end") != std::string::npos);
}

TEST_CASE("types that Hearth does not read are unsupported, by name") {
  const auto type_error = [](uint32_t type) {
    return parse_error(
        RawFile{{}, {tensor("t", {256}, type, 0)}, std::string(4096, 'x'), {}, {}}.bytes(),
        ErrorCode::kUnsupported);
  };
  CHECK(type_error(40) == "'m.gguf': tensor 't': type: 40 (nvfp4), expected one that Hearth reads");
  CHECK(type_error(4).find("(q4_2, withdrawn)") != std::string::npos);
  CHECK(type_error(12345).find("12345 (unknown)") != std::string::npos);
}

TEST_CASE("every cut of a file is refused without reading beyond it") {
  const TemporaryFolder folder;
  REQUIRE(sample_writer().write(folder.path() / "m.gguf").has_value());
  const std::string whole = read_bytes(folder.path() / "m.gguf");
  const auto parsed = parse_gguf("m.gguf", std::as_bytes(std::span(whole)));
  REQUIRE(parsed.has_value());
  size_t data_end = 0;
  for (const TensorInfo& t : parsed->tensors)
    data_end = std::max<size_t>(
        data_end,
        static_cast<size_t>(t.data + t.bytes - reinterpret_cast<const std::byte*>(whole.data())));
  for (size_t size = 0; size < data_end; ++size) {
    // Heap memory of exactly that size: the address sanitizer sees any byte too far.
    const std::vector<char> cut(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
    CHECK_FALSE(parse_gguf("m.gguf", std::as_bytes(std::span(cut))).has_value());
  }
}

TEST_CASE("random damage never crashes, and what still parses lies within the file") {
  const TemporaryFolder folder;
  REQUIRE(sample_writer().write(folder.path() / "m.gguf").has_value());
  const std::string whole = read_bytes(folder.path() / "m.gguf");
  std::mt19937 random(1);
  int accepted = 0;
  for (int round = 0; round < 4000; ++round) {
    std::vector<char> bytes(whole.begin(), whole.end());
    // Damage the header and tables, which end well before 1200 bytes, more than the data.
    for (uint32_t n = random() % 4 + 1; n > 0; --n) {
      const size_t at = random() % 1100;
      const uint32_t kind = random() % 4;
      if (kind == 0) bytes[at] = static_cast<char>(random());
      if (kind == 1) bytes[at] = static_cast<char>(bytes[at] ^ (1 << random() % 8));
      if (kind == 2) std::memset(bytes.data() + at, random() % 2 == 0 ? 0xFF : 0, 8);
      if (kind == 3) bytes.erase(bytes.begin() + static_cast<ptrdiff_t>(at));
    }
    bytes.shrink_to_fit();
    const auto parsed = parse_gguf("m.gguf", std::as_bytes(std::span(bytes)));
    if (!parsed) {
      CHECK(parsed.error().message.find('\n') == std::string::npos);
      continue;
    }
    ++accepted;
    size_t sum = 0;
    for (const TensorInfo& t : parsed->tensors)
      sum += static_cast<size_t>(t.data[0]) + static_cast<size_t>(t.data[t.bytes - 1]);
    for (const auto& [key, value] : parsed->metadata.entries()) {
      if (const auto strings = parsed->metadata.strings(key))
        for (const std::string_view s : *strings) sum += s.size();
      if (const auto numbers = parsed->metadata.f32s(key)) sum += numbers->size();
    }
    CHECK(sum > 0);
  }
  MESSAGE(accepted, " of 4000 damaged files still parse");
  CHECK(accepted > 0);
  CHECK(accepted < 4000);
}

TEST_CASE("split names") {
  CHECK(split_part_name("dir/m", 2, 13) == "dir/m-00002-of-00013.gguf");
  const auto name = parse_split_name("my-model-00002-of-00013.gguf");
  REQUIRE(name.has_value());
  CHECK(name->prefix == "my-model");
  CHECK(name->number == 2);
  CHECK(name->count == 13);
  for (const char* bad : {"m.gguf", "m-00001-of-00003.bin", "m-0001-of-00003.gguf",
                          "m-00001-to-00003.gguf", "m-0x001-of-00003.gguf", ""})
    CHECK_FALSE(parse_split_name(bad).has_value());
}

}  // namespace hearth
