#pragma once

#include <string_view>

namespace hearth {

/// Tells systemd (sd_notify(3)): "READY=1", "STATUS=…", "STOPPING=1"; lines separated by '\n'. One
/// datagram to $NOTIFY_SOCKET; without that variable nothing happens. A failure is logged.
void sd_notify(std::string_view state);

}  // namespace hearth
