#pragma once
// What one rendering may spend: steps (time), living bytes (memory) and depth (stack).

#include <cstddef>
#include <cstdint>
#include <string>

#include "server/chat/chat_template.h"
#include "server/chat/template_error.h"

namespace hearth::jinja {

/// Counts and refuses. Every object of a rendering is charged to its budget and gives the bytes
/// back when it dies, so a template cannot hold more than max_live_bytes() whatever it does.
class Budget {
 public:
  explicit Budget(const TemplateLimits& limits) : limits_(limits) {}
  Budget(const Budget&) = delete;
  Budget& operator=(const Budget&) = delete;

  /// One evaluated node, or `count` units of comparable work.
  void step(uint64_t count = 1) {
    steps_ += count;
    if (steps_ > limits_.max_steps) [[unlikely]] {
      limit_fault("the template takes more than " + std::to_string(limits_.max_steps) + " steps");
    }
  }

  /// Work on `bytes` of text: copying a KiB takes about as long as evaluating a node.
  void text_work(size_t bytes) { step(bytes / 1024); }

  /// Work on `count` values of a container: copying 16 takes about as long as evaluating a node.
  void value_work(size_t count) { step(count / 16); }

  /// Refuses a text of `bytes`, before it is built where the size can be known.
  void check_text(size_t bytes) const {
    if (bytes > limits_.max_output_bytes) [[unlikely]] {
      limit_fault("a text of the template is longer than " +
                  std::to_string(limits_.max_output_bytes) + " bytes");
    }
  }

  void retain(size_t bytes) {
    live_bytes_ += bytes;
    if (live_bytes_ > max_live_bytes()) [[unlikely]] {
      limit_fault("the template holds more than " + std::to_string(max_live_bytes()) +
                  " bytes of values");
    }
  }
  void release(size_t bytes) { live_bytes_ -= bytes; }

  /// Four texts of the greatest length, so that such texts can be joined and replaced.
  [[nodiscard]] size_t max_live_bytes() const { return 4 * limits_.max_output_bytes; }
  [[nodiscard]] uint32_t max_depth() const { return limits_.max_depth; }
  [[nodiscard]] uint64_t steps() const { return steps_; }

  /// Containers may nest this deep: their printing, comparison and destruction recurse.
  static constexpr uint32_t kMaxValueNesting = 200;

 private:
  TemplateLimits limits_;
  uint64_t steps_ = 0;
  size_t live_bytes_ = 0;
};

}  // namespace hearth::jinja
