#include "base/read_file.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace hearth {

TEST_CASE("read_small_file reads up to its limit and says what is wrong") {
  char path[] = "/tmp/hearth_file_XXXXXX";
  const int fd = ::mkstemp(path);
  REQUIRE(fd >= 0);
  ::close(fd);
  const std::string text(10'000, 'x');
  std::ofstream(path) << text;
  CHECK(read_small_file(path, 10'000).value() == text);
  CHECK(read_small_file(path, 9'999).error().code == ErrorCode::kTooLarge);
  std::filesystem::remove(path);
  const auto missing = read_small_file(path, 10, "field");
  CHECK(missing.error().code == ErrorCode::kNotFound);
  CHECK(missing.error().param == "field");
  CHECK(missing.error().message.find(path) != std::string::npos);
  CHECK(read_small_file("/tmp", 10).error().code == ErrorCode::kIo);
}

}  // namespace hearth
