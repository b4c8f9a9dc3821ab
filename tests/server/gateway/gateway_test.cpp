#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/server/gateway/gateway_harness.h"

using namespace hearth;
using namespace hearth::testing;
using std::chrono::milliseconds;
