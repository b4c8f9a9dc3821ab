// Real vocabularies against ids and texts that were recorded elsewhere:
// ../shared/vectors/tokenizers.

#include <doctest/doctest.h>
#include <stdlib.h>  // mkdtemp

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "engine/gguf/model_file.h"
#include "support_vocabulary.h"

namespace {

using namespace hearth;
using Json = nlohmann::json;
namespace fs = std::filesystem;

const fs::path kVectors = "../shared/vectors/tokenizers";

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

/// A folder that goes with the test.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (fs::temp_directory_path() / "hearth-tokenizer-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~TemporaryFolder() { fs::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

/// The vocabulary `name`, unpacked into `folder` if it is packed; empty if that is not possible.
fs::path find_vocabulary(const std::string& name, const TemporaryFolder& folder) {
  const fs::path plain = kVectors / ("ggml-vocab-" + name + ".gguf");
  if (fs::exists(plain)) return plain;
  const fs::path packed = plain.string() + ".xz";
  if (!fs::exists(packed)) return {};
  fs::path out = folder.path() / plain.filename();
  if (!fs::exists(out)) {
    const std::string command = "xz -dc '" + packed.string() + "' > '" + out.string() + "'";
    if (std::system(command.c_str()) != 0) return {};
  }
  return out;
}

struct Loaded {
  std::unique_ptr<ModelFile> file;
  std::unique_ptr<Tokenizer> tokenizer;
};

Loaded load(const fs::path& path, const std::string& pre) {
  Loaded out;
  auto file = ModelFile::open(path);
  REQUIRE_MESSAGE(file.has_value(), file.error().message);
  out.file = std::move(*file);
  if (!pre.empty()) {
    auto status = out.file->mutable_metadata().override_value("tokenizer.ggml.pre", pre);
    REQUIRE_MESSAGE(status.has_value(), status.error().message);
  }
  out.tokenizer = test::make_tokenizer(out.file->metadata());
  return out;
}

std::vector<std::string> split_inputs(const std::string& all) {
  const std::string mark = "\n__ggml_vocab_test__\n";
  std::vector<std::string> out;
  size_t from = 0;
  for (size_t at = all.find(mark); at != std::string::npos; at = all.find(mark, from)) {
    out.push_back(all.substr(from, at - from));
    from = at + mark.size();
  }
  out.push_back(all.substr(from));
  return out;
}

std::string to_hex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    out += kDigits[static_cast<uint8_t>(c) / 16];
    out += kDigits[static_cast<uint8_t>(c) % 16];
  }
  return out;
}

/// Checks one line of a .jsonl file.
void check_case(const Tokenizer& tokenizer, const Json& line) {
  const auto text = line["text"].get<std::string>();
  const auto ids = line["ids"].get<std::vector<TokenId>>();
  const auto with_special = line["ids_add_special"].get<std::vector<TokenId>>();
  const auto parsed = line.value("ids_add_special_parse_special", with_special);
  INFO("text: " << text);
  CHECK(tokenizer.encode(text, {.add_special = false, .parse_special = false}) == ids);
  CHECK(tokenizer.encode(text, {.add_special = true, .parse_special = false}) == with_special);
  CHECK(tokenizer.encode(text, {.add_special = true, .parse_special = true}) == parsed);

  const std::string decoded = tokenizer.decode(ids, false);
  if (line["roundtrip"].get<bool>()) CHECK(decoded == text);
  if (line.contains("detok")) CHECK(decoded == line["detok"].get<std::string>());
  if (line.contains("detok_hex")) CHECK(to_hex(decoded) == line["detok_hex"].get<std::string>());
  if (line.contains("detok_parse_special")) {
    CHECK(tokenizer.decode(parsed, false) == line["detok_parse_special"].get<std::string>());
    CHECK(tokenizer.decode(parsed, true) == line["detok_parse_special_unparse"].get<std::string>());
  }
}

}  // namespace

TEST_CASE("vectors: lists of ids for whole strings") {
  if (!fs::exists(kVectors)) {
    MESSAGE("skipped: ", kVectors.string(), " is not there");
    return;
  }
  const TemporaryFolder folder;
  size_t vocabularies = 0, strings = 0;
  for (const auto& entry : fs::directory_iterator(kVectors)) {
    const std::string file = entry.path().filename().string();
    if (!file.ends_with(".gguf.inp")) continue;
    const std::string name = file.substr(11, file.size() - 11 - 9);
    const fs::path vocabulary = find_vocabulary(name, folder);
    if (vocabulary.empty()) {
      MESSAGE("skipped: the vocabulary ", name, " is not there or can not be unpacked (xz)");
      continue;
    }
    CAPTURE(name);
    const Loaded loaded = load(vocabulary, "");
    const auto inputs = split_inputs(read_file(entry.path()));
    std::istringstream expected(read_file(fs::path(entry.path()).replace_extension(".out")));
    for (const std::string& input : inputs) {
      std::string line;
      if (!std::getline(expected, line)) REQUIRE(input.empty());  // no line end after the last
      std::istringstream numbers(line);
      std::vector<TokenId> ids;
      for (TokenId id = 0; numbers >> id;) ids.push_back(id);
      INFO("text: " << input);
      CHECK(loaded.tokenizer->encode(input, {.add_special = false, .parse_special = false}) == ids);
      ++strings;
    }
    ++vocabularies;
  }
  MESSAGE("vectors: ", strings, " strings with ", vocabularies, " vocabularies");
  CHECK(strings == vocabularies * 47);
}

TEST_CASE("vectors: ids with and without special tokens, and back to text") {
  if (!fs::exists(kVectors)) {
    MESSAGE("skipped: ", kVectors.string(), " is not there");
    return;
  }
  const TemporaryFolder folder;
  size_t files = 0, cases = 0;
  for (const auto& entry : fs::directory_iterator(kVectors)) {
    if (entry.path().extension() != ".jsonl") continue;
    const std::string stem = entry.path().stem().string();
    const size_t plus = stem.find("+pre=");
    const std::string pre = plus == std::string::npos ? "" : stem.substr(plus + 5);
    const fs::path vocabulary = find_vocabulary(stem.substr(0, plus), folder);
    if (vocabulary.empty()) {
      MESSAGE("skipped: the vocabulary of ", stem, " is not there or can not be unpacked (xz)");
      continue;
    }
    CAPTURE(stem);
    const Loaded loaded = load(vocabulary, pre);
    std::istringstream lines(read_file(entry.path()));
    for (std::string line; std::getline(lines, line);) {
      check_case(*loaded.tokenizer, Json::parse(line));
      ++cases;
    }
    ++files;
  }
  MESSAGE("vectors: ", cases, " cases in ", files, " files");
}
