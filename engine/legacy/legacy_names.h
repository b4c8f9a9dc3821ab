#pragma once

#include <string>
#include <string_view>

namespace hearth {

/// A tensor's name as GGUF files of LLaMA models have it ("layers.3.attention.wq.weight" becomes
/// "blk.3.attn_q.weight"); empty for what such models have and nobody reads (rope tables); any
/// other name stays.
std::string gguf_name_of_legacy(std::string_view name);

}  // namespace hearth
