#pragma once
// Which requests may share entries of the prefix cache. A shared entry can be told by its speed, so
// keys share none: each has its own salt, made with a secret that lives as long as the process.

#include <array>
#include <cstdint>
#include <string_view>

namespace hearth::auth {

class CacheSalt {
 public:
  /// Draws the secret from the system. Aborts if the system has no randomness.
  CacheSalt();

  /// The salt of a key's requests: 64 bits of HMAC-SHA-256 of its id. Never 0, the salt of all
  /// when nothing is kept apart.
  [[nodiscard]] uint64_t of(std::string_view key_id) const;

 private:
  std::array<unsigned char, 32> secret_{};
};

}  // namespace hearth::auth
