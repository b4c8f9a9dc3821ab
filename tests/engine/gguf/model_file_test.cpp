#include "engine/gguf/model_file.h"

#include <doctest/doctest.h>

#include "tests/engine/gguf/support_files.h"

namespace hearth {
namespace {

std::string message_of(const std::filesystem::path& path) {
  const auto model = ModelFile::open(path);
  REQUIRE_FALSE(model.has_value());
  const std::string message = model.error().message;
  CHECK(message.find('\n') == std::string::npos);
  return message;
}

bool mentions(const std::string& message, std::string_view part) {
  if (message.find(part) != std::string::npos) return true;
  MESSAGE("not in the message: ", part, " | ", message);
  return false;
}

void check_sample(const ModelFile& model) {
  REQUIRE(model.tensors().size() == 3);
  const TensorInfo* embed = model.find_tensor("embed.weight");
  REQUIRE(embed != nullptr);
  CHECK(embed->dtype == DType::kQ4_0);
  CHECK(embed->num_dims == 2);
  CHECK(embed->dims == std::array<int64_t, 4>{64, 3, 1, 1});
  CHECK(embed->bytes == 3 * 36);
  CHECK(embed->data[0] == std::byte{1});
  CHECK(embed->data[3 * 36 - 1] == std::byte{3});
  const TensorInfo* out = model.find_tensor("out.weight");
  REQUIRE(out != nullptr);
  CHECK(out->bytes == 4 * 210);
  CHECK(out->data[4 * 210 - 1] == std::byte{4});
  CHECK(model.find_tensor("absent") == nullptr);
}

}  // namespace

TEST_CASE("versions 2 and 3 and all alignments give the same tensors") {
  const TemporaryFolder folder;
  for (const uint32_t version : {2U, 3U}) {
    for (const uint32_t alignment : {8U, 32U, 64U, 4096U}) {
      const auto path = folder.path() / "m.gguf";
      const GgufWriter writer = sample_writer(version, alignment);
      REQUIRE(writer.write(path).has_value());
      CHECK(std::filesystem::file_size(path) == writer.file_bytes());
      const auto model = ModelFile::open(path);
      REQUIRE(model.has_value());
      CHECK((*model)->version() == version);
      CHECK((*model)->path() == path);
      CHECK((*model)->mapped_bytes() == writer.file_bytes());
      REQUIRE((*model)->mappings().size() == 1);
      for (const TensorInfo& tensor : (*model)->tensors())
        CHECK((tensor.data - (*model)->mappings()[0].data()) % alignment == 0);
      check_sample(**model);
    }
  }
}

TEST_CASE("a file without tensors opens: a vocabulary") {
  const TemporaryFolder folder;
  GgufWriter writer;
  writer.add_string("general.architecture", "llama");
  REQUIRE(writer.write(folder.path() / "v.gguf").has_value());
  const auto model = ModelFile::open(folder.path() / "v.gguf");
  REQUIRE(model.has_value());
  CHECK((*model)->tensors().empty());
  CHECK((*model)->metadata().string("general.architecture").value() == "llama");
}

TEST_CASE("a split model opens by its first part and reads like one file") {
  const TemporaryFolder folder;
  for (const uint32_t parts : {1U, 2U, 3U}) {
    const auto first = sample_writer().write_split(folder.path(), "m", parts);
    REQUIRE(first.has_value());
    const auto model = ModelFile::open(*first);
    REQUIRE_MESSAGE(model.has_value(), (model ? "" : model.error().message));
    CHECK((*model)->mappings().size() == parts);
    CHECK((*model)->metadata().u32("llama.block_count").value() == 2);
    check_sample(**model);
  }
}

TEST_CASE("a split model with another part first, missing or swapped parts is refused by name") {
  const TemporaryFolder folder;
  const auto part = [&](int i) {
    return folder.path() / ("m-0000" + std::to_string(i) + "-of-00003.gguf");
  };
  const auto write = [&] {
    REQUIRE(sample_writer().write_split(folder.path(), "m", 3).has_value());
  };
  write();
  CHECK(mentions(message_of(part(2)), "open the first part, 'm-00001-of-00003.gguf'"));

  std::filesystem::remove(part(2));
  CHECK(mentions(message_of(part(1)), "missing beside it: 'm-00002-of-00003.gguf'"));
  std::filesystem::remove(part(3));
  CHECK(mentions(message_of(part(1)), "'m-00002-of-00003.gguf', 'm-00003-of-00003.gguf'"));

  write();
  std::filesystem::copy_file(part(3), part(2), std::filesystem::copy_options::overwrite_existing);
  CHECK(mentions(message_of(part(1)), "split.no, split.count: 2, 3, expected 1, 3"));

  write();
  std::filesystem::rename(part(1), folder.path() / "renamed.gguf");
  CHECK(mentions(message_of(folder.path() / "renamed.gguf"),
                 "file name: expected to end in '-00001-of-00003.gguf'"));

  std::filesystem::rename(folder.path() / "renamed.gguf", part(1));
}

TEST_CASE("a part of another model is noticed by names or number of tensors") {
  const TemporaryFolder folder;
  const TemporaryFolder other_folder;
  const auto mix = [&](const std::vector<std::string>& names) {
    REQUIRE(sample_writer().write_split(folder.path(), "m", 3).has_value());
    GgufWriter other;
    for (const std::string& name : names)
      other.add_tensor(name, DType::kF32, std::vector<int64_t>{4}, counting_rows(16));
    REQUIRE(other.write_split(other_folder.path(), "m", 3).has_value());
    write_bytes(folder.path() / "m-00002-of-00003.gguf",
                read_bytes(other_folder.path() / "m-00002-of-00003.gguf"));
    return message_of(folder.path() / "m-00001-of-00003.gguf");
  };
  CHECK(mentions(mix({"a", "embed.weight", "c"}), "tensor 'embed.weight': appears twice"));
  CHECK(mentions(mix({"a", "b", "c", "d", "e", "f"}),
                 "split.tensors.count: 3, expected the 4 tensors of all parts"));
}

TEST_CASE("tensors that share bytes or a name are refused, gaps between them are not") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "m.gguf";
  const auto write = [&](const std::vector<std::string>& table) {
    write_bytes(path, RawFile{{}, table, std::string(256, 'x'), {}, {}}.bytes());
  };
  write({tensor("b", {8}, kF32, 64), tensor("a", {17}, kF32, 0)});
  CHECK(mentions(message_of(path), "tensor 'b': offset lies inside tensor 'a'"));
  write({tensor("a", {8}, kF32, 32), tensor("b", {8}, kF32, 32)});
  CHECK(mentions(message_of(path), "offset lies inside tensor"));
  write({tensor("a", {8}, kF32, 0), tensor("a", {8}, kF32, 32)});
  CHECK(mentions(message_of(path), "tensor 'a': appears twice"));
  write({tensor("b", {8}, kF32, 128), tensor("a", {16}, kF32, 0)});
  CHECK(ModelFile::open(path).has_value());
}

TEST_CASE("what is no model file is refused by name") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "m\n.gguf";  // a hostile name stays on one line
  const auto missing = ModelFile::open(path);
  REQUIRE_FALSE(missing.has_value());
  CHECK(missing.error().code == ErrorCode::kNotFound);
  CHECK(mentions(message_of(path), "m\\x0a.gguf': cannot open"));
  CHECK(mentions(message_of(folder.path()), "a folder, expected config.json"));
  write_bytes(path, "");
  CHECK(mentions(message_of(path), "size: 0 bytes"));
  write_bytes(path, "GG");
  CHECK(mentions(message_of(path), "magic: GGUF magic at byte 0 needs 4 bytes"));
  write_bytes(path, "Once upon a time");
  CHECK(mentions(message_of(path), "magic: 'Once', expected 'GGUF'"));
  write_bytes(path, "algg" + std::string(100, '\0'));
  CHECK(mentions(message_of(path), "LoRA adapter"));
  write_bytes(path, "PK\x03\x04" + std::string(100, '\0'));
  CHECK(mentions(message_of(path), "ZIP archive"));
  write_bytes(path, std::string("GGUF\0\0\0\3", 8) + std::string(100, '\0'));
  CHECK(mentions(message_of(path), "big-endian GGUF file (version 3), expected little-endian"));
  write_bytes(path, "GGUF" + encoded<uint32_t>(4) + std::string(100, '\0'));
  CHECK(mentions(message_of(path), "version: 4, expected 1 to 3"));
}

TEST_CASE("version 1 has 32-bit counts, lengths and dimensions") {
  const auto text = [](const std::string& value) {
    return encoded(static_cast<uint32_t>(value.size())) + value;
  };
  const auto type = [](MetaType t) { return encoded(static_cast<uint32_t>(t)); };
  std::string bytes = "GGUF" + encoded<uint32_t>(1) + encoded<uint32_t>(1) + encoded<uint32_t>(2);
  bytes += text("general.architecture") + type(MetaType::kString) + text("llama");
  bytes += text("tokens") + type(MetaType::kArray) + type(MetaType::kString) + encoded<uint32_t>(2);
  bytes += text("a") + text("bc");
  bytes += text("w") + encoded<uint32_t>(1) + encoded<uint32_t>(2) + encoded(kF32);
  bytes += encoded<uint64_t>(0);
  bytes.resize((bytes.size() + 31) / 32 * 32);
  bytes += encoded(1.5F) + encoded(2.5F);
  const TemporaryFolder folder;
  const auto path = folder.path() / "m.gguf";
  write_bytes(path, bytes);
  const auto model = ModelFile::open(path);
  REQUIRE_MESSAGE(model.has_value(), (model ? "" : model.error().message));
  CHECK((*model)->version() == 1);
  CHECK((*model)->metadata().string("general.architecture").value() == "llama");
  CHECK((*model)->metadata().strings("tokens").value() == std::vector<std::string_view>{"a", "bc"});
  REQUIRE((*model)->tensors().size() == 1);
  CHECK((*model)->tensors()[0].dims[0] == 2);
  CHECK(reinterpret_cast<const float*>((*model)->tensors()[0].data)[1] == 2.5F);
}

}  // namespace hearth
