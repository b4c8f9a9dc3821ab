#pragma once
// A stable sort that stays in bounds whatever the comparison answers or throws: templates compare
// NaN and mixed types.

#include <algorithm>
#include <utility>
#include <vector>

namespace hearth::jinja {

template <typename T, typename Less>
void merge_sort(std::vector<T>& items, Less less) {
  std::vector<T> other(items.size());
  for (size_t width = 1; width < items.size(); width *= 2) {
    for (size_t begin = 0; begin < items.size(); begin += 2 * width) {
      size_t middle = std::min(begin + width, items.size());
      size_t end = std::min(begin + 2 * width, items.size());
      size_t a = begin;
      size_t b = middle;
      for (size_t out = begin; out < end; ++out) {
        bool right = a == middle || (b < end && less(items[b], items[a]));
        other[out] = items[right ? b++ : a++];
      }
    }
    std::swap(items, other);
  }
}

}  // namespace hearth::jinja
