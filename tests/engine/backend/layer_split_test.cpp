#include "engine/backend/layer_split.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <random>

#include "engine/backend/device_list.h"

namespace hearth {
namespace {

std::vector<int32_t> counts_of(const LayerSplit& split) {
  std::vector<int32_t> counts;
  for (const LayerRange& range : split) counts.push_back(range.num_layers);
  return counts;
}

using Counts = std::vector<int32_t>;

/// Consecutive, complete, and the output where the last layer is.
void check_split(const LayerSplit& split, int32_t first, int32_t num_layers) {
  int32_t at = first;
  for (const LayerRange& range : split) {
    CHECK(range.first_layer == at);
    CHECK(range.num_layers >= 0);
    at = range.end();
    CHECK(range.has_output == (range.num_layers > 0 && at == num_layers));
  }
  CHECK(at == num_layers);
}

}  // namespace

TEST_CASE("layers in proportion to parts") {
  const auto split = [](int32_t layers, std::vector<double> parts) {
    const LayerSplit out = split_by_parts(0, layers, parts);
    check_split(out, 0, layers);
    return counts_of(out);
  };
  CHECK(split(32, {1, 1}) == Counts{16, 16});
  CHECK(split(32, {3, 1}) == Counts{24, 8});
  CHECK(split(33, {0.5, 0.5}) == Counts{17, 16});
  CHECK(split(10, {1, 1, 1}) == Counts{4, 3, 3});
  CHECK(split(4, {9, 1}) == Counts{4, 0});
  CHECK(split(1, {1, 1, 1}) == Counts{1, 0, 0});
  CHECK(split(32, {10, 21, 1}) == Counts{10, 21, 1});
  CHECK(split(80, {1e-9, 1e9}) == Counts{0, 80});
  check_split(split_by_parts(7, 40, std::array{2.0, 1.0}), 7, 40);
}

TEST_CASE("numbers of layers as parts come out as they are") {
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    Counts counts(1 + random() % 8);
    for (int32_t& count : counts) count = static_cast<int32_t>(1 + random() % 60);
    const int32_t layers = std::accumulate(counts.begin(), counts.end(), 0);
    const std::vector<double> parts(counts.begin(), counts.end());
    CHECK(counts_of(split_by_parts(5, 5 + layers, parts)) == counts);
  }
}

TEST_CASE("by fill: no other split has a less full fullest device") {
  std::mt19937 random(2);
  for (int round = 0; round < 60; ++round) {
    const auto layers = static_cast<int32_t>(1 + random() % 7);
    std::vector<uint64_t> weights(static_cast<size_t>(layers));
    for (uint64_t& bytes : weights) bytes = 50 + random() % 100;
    const uint64_t output = random() % 200;
    const uint64_t fixed = random() % 100;
    std::vector<uint64_t> budgets(1 + random() % 3);
    for (uint64_t& budget : budgets) budget = 100 + random() % 1000;
    const auto bytes = [&](size_t, const LayerRange& range) {
      if (range.num_layers == 0) return uint64_t{0};
      return std::accumulate(weights.begin() + range.first_layer, weights.begin() + range.end(),
                             fixed + (range.has_output ? output : 0));
    };
    const auto fill_of = [&](const LayerSplit& split) {
      double fill = 0.0;
      for (size_t i = 0; i < split.size(); ++i)
        fill = std::max(fill,
                        static_cast<double>(bytes(i, split[i])) / static_cast<double>(budgets[i]));
      return fill;
    };
    const LayerSplit found = split_by_fill(0, layers, budgets, bytes);
    check_split(found, 0, layers);
    REQUIRE(found.size() == budgets.size());
    // All others, by the numbers of layers of the first devices.
    double least = fill_of(found);
    for (int32_t a = 0; a <= layers; ++a) {
      for (int32_t b = 0; a + b <= layers; ++b) {
        std::vector<double> parts{static_cast<double>(a), static_cast<double>(b),
                                  static_cast<double>(layers - a - b)};
        if (budgets.size() < 3 && parts[2] > 0) continue;
        if (budgets.size() < 2 && parts[1] > 0) continue;
        parts.resize(budgets.size());
        least = std::min(least, fill_of(split_by_parts(0, layers, parts)));
      }
    }
    CHECK(fill_of(found) <= least * (1.0 + 1e-6));
  }
}

TEST_CASE("a split that holds is found if there is one; a device of no memory gets nothing") {
  const auto holds = [](size_t device, const LayerRange& range) {
    return range.num_layers + (range.has_output ? 1 : 0) <= (device == 0 ? 3 : 2);
  };
  CHECK(counts_of(*split_if_held(0, 4, 2, holds)) == Counts{3, 1});
  CHECK_FALSE(split_if_held(0, 5, 2, holds).has_value());
  const std::array<uint64_t, 3> budgets{100, 0, 100};
  const auto bytes = [](size_t, const LayerRange& range) {
    return static_cast<uint64_t>(range.num_layers);
  };
  CHECK(counts_of(split_by_fill(0, 8, budgets, bytes)) == Counts{4, 0, 4});
}

TEST_CASE("lists of GPUs and parts as text") {
  for (const char* text : {"all", "0", "3", "0,1", "2,0,1", "63"})
    CHECK(DeviceList::parse(text)->text() == text);
  CHECK(DeviceList::parse("1,0")->indices == std::vector<int32_t>{1, 0});
  for (const char* text : {"", ",", "0,", "a", "-1", "64", "0 1", "1.0", "0x1", "auto"})
    CHECK_FALSE(DeviceList::parse(text).has_value());
  CHECK(DeviceList::parse("1,0,1").error().message == "'1,0,1' names GPU 1 twice");

  for (const char* text : {"auto", "1", "3,1", "0.25,0.75", "1e-05,1"})
    CHECK(GpuSplit::parse(text)->text() == text);
  for (const char* text : {"", ",", "1,", "a", "nan", "inf", "1;2", "all"})
    CHECK_FALSE(GpuSplit::parse(text).has_value());
  for (const char* text : {"0", "1,0", "-1,2", "1e10"})
    CHECK(GpuSplit::parse(text).error().message.find("must be above 0") != std::string::npos);
}

}  // namespace hearth
