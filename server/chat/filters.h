#pragma once
// The filters, by theme; find_filter looks through all of them.

#include <string_view>
#include <unordered_map>

#include "server/chat/interp.h"

namespace hearth::jinja {

using FilterTable = std::unordered_map<std::string_view, MethodFn>;
const FilterTable& text_filters();      // upper, trim, indent, …
const FilterTable& value_filters();     // default, int, tojson, …
const FilterTable& sequence_filters();  // first, join, batch, …
const FilterTable& select_filters();    // map, selectattr, sort, groupby, …

}  // namespace hearth::jinja
