#pragma once
// The API keys: read once, kept as hashes, compared in constant time.

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "server/auth/access_policy.h"

namespace hearth::auth {

class KeyTable {
 public:
  /// Adds a key; `name` may be empty. kInvalidArgument, naming `origin`, if it has characters that
  /// a header cannot carry or is known already. The message never has the key.
  Status add(std::string_view key, std::string_view name, const std::string& origin);

  /// Adds the keys of a file: one per line, KEY or NAME:KEY; empty lines and lines that begin with
  /// '#' are skipped. Errors name the file and the line.
  Status add_file(const std::string& path);

  /// The identity of a key, or nothing. Takes the same time whichever key matches, if any.
  [[nodiscard]] const KeyIdentity* find(std::string_view key) const;

  [[nodiscard]] bool empty() const { return entries_.empty(); }

 private:
  using Hash = std::array<unsigned char, 32>;
  struct Entry {
    Hash hash;
    KeyIdentity identity;
  };

  static Hash hash_of(std::string_view key);
  [[nodiscard]] const Entry* find_hash(const Hash& hash) const;

  std::vector<Entry> entries_;
};

}  // namespace hearth::auth
