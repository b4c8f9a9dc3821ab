#pragma once
// Foreign text in one-line messages.

#include <string>
#include <string_view>

namespace hearth {

/// `text` between single quotes, fit for a one-line message whatever the file holds: control
/// characters as \xNN, invalid UTF-8 as U+FFFD, cut after about 100 bytes with the length told.
std::string quote_foreign(std::string_view text);

}  // namespace hearth
