#include "server/auth/cache_salt.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <cstring>

#include "base/check.h"

namespace hearth::auth {

CacheSalt::CacheSalt() {
  HEARTH_CHECK(::RAND_bytes(secret_.data(), static_cast<int>(secret_.size())) == 1,
               "the system has randomness");
}

uint64_t CacheSalt::of(std::string_view key_id) const {
  std::array<unsigned char, EVP_MAX_MD_SIZE> code{};
  unsigned int size = 0;
  const auto* const done = ::HMAC(::EVP_sha256(), secret_.data(), static_cast<int>(secret_.size()),
                                  reinterpret_cast<const unsigned char*>(key_id.data()),
                                  key_id.size(), code.data(), &size);
  uint64_t salt = 0;
  HEARTH_CHECK(done != nullptr && size >= sizeof salt, "HMAC-SHA-256");
  std::memcpy(&salt, code.data(), sizeof salt);
  return salt == 0 ? 1 : salt;
}

}  // namespace hearth::auth
