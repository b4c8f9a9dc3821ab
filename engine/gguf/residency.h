#pragma once
// How much of a mapped file is in the page cache.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

#include "base/result.h"

namespace hearth {

/// Bytes of `mapped` whose pages are in the page cache now (mincore). `mapped` lies in a mapping.
/// kIo if the kernel refuses.
Result<uint64_t> resident_bytes(std::span<const std::byte> mapped);

/// The kernel tells who may write the file, or owns it, and says "all of it" to everybody else:
/// then this is kForbidden.
Status check_residency_is_told(const std::filesystem::path& path);

}  // namespace hearth
