#include "server/auth/cache_salt.h"

#include <doctest/doctest.h>

using hearth::auth::CacheSalt;

TEST_CASE("a key has one salt, another key another, and another process others") {
  const CacheSalt salt;
  CHECK(salt.of("0123456789abcdef") == salt.of("0123456789abcdef"));
  CHECK(salt.of("0123456789abcdef") != salt.of("0123456789abcdee"));
  CHECK(salt.of("") != 0);
  CHECK(CacheSalt().of("0123456789abcdef") != salt.of("0123456789abcdef"));
}
