#include "server/auth/key_table.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>

#include "base/read_file.h"

namespace hearth::auth {
namespace {

constexpr size_t kMaxFileBytes = size_t{1} << 20;
constexpr size_t kMaxKeyBytes = 512;
constexpr size_t kMaxNameBytes = 64;

bool is_valid_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxNameBytes && std::ranges::all_of(name, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
           c == '_' || c == '-';
  });
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r";
  const size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

}  // namespace

KeyTable::Hash KeyTable::hash_of(std::string_view key) {
  Hash hash;
  SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), hash.data());
  return hash;
}

const KeyTable::Entry* KeyTable::find_hash(const Hash& hash) const {
  const Entry* found = nullptr;
  for (const Entry& entry : entries_) {  // all of them, so that time tells nothing
    if (CRYPTO_memcmp(entry.hash.data(), hash.data(), hash.size()) == 0) found = &entry;
  }
  return found;
}

const KeyIdentity* KeyTable::find(std::string_view key) const {
  const Entry* entry = find_hash(hash_of(key));
  return entry == nullptr ? nullptr : &entry->identity;
}

Status KeyTable::add(std::string_view key, std::string_view name, const std::string& origin) {
  const auto refuse = [&](const std::string& why) {
    return fail(ErrorCode::kInvalidArgument, origin + ": " + why, "api_key");
  };
  const bool visible = std::ranges::all_of(key, [](char c) { return c > 0x20 && c < 0x7F; });
  if (key.empty()) return refuse("the key is empty");
  if (!visible || key.size() > kMaxKeyBytes)
    return refuse("a key is up to 512 visible ASCII characters without blanks");
  const Hash hash = hash_of(key);
  if (find_hash(hash) != nullptr) return refuse("the key was given before");
  constexpr std::string_view kDigits = "0123456789abcdef";
  KeyIdentity identity;
  for (size_t i = 0; i < 8; ++i) {
    identity.id.push_back(kDigits[hash[i] >> 4]);
    identity.id.push_back(kDigits[hash[i] & 15]);
  }
  identity.name = name.empty() ? "key-" + std::to_string(entries_.size() + 1) : std::string(name);
  entries_.push_back({hash, std::move(identity)});
  return {};
}

Status KeyTable::add_file(const std::string& path) {
  HEARTH_ASSIGN_OR_RETURN(const std::string text,
                          read_small_file(path, kMaxFileBytes, "api_key_file"));
  size_t number = 0;
  size_t found = 0;
  for (std::string_view rest = text; !rest.empty();) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = trim(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    ++number;
    if (line.empty() || line.front() == '#') continue;
    const std::string origin = path + ":" + std::to_string(number);
    const size_t colon = line.find(':');
    const std::string_view name =
        colon == std::string_view::npos ? std::string_view() : line.substr(0, colon);
    if (colon != std::string_view::npos && !is_valid_name(name))
      return fail(ErrorCode::kInvalidArgument,
                  origin + ": the name before ':' must be 1 to 64 letters, digits, '.', '_', '-'",
                  "api_key_file");
    const std::string_view key =
        colon == std::string_view::npos ? line : trim(line.substr(colon + 1));
    HEARTH_RETURN_IF_ERROR(add(key, name, origin));
    ++found;
  }
  if (found == 0)
    return fail(ErrorCode::kInvalidArgument, "the key file '" + path + "' has no key",
                "api_key_file");
  return {};
}

}  // namespace hearth::auth
