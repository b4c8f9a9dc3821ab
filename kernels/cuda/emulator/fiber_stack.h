#pragma once
// Switching between stacks. On x86-64 by a few instructions, since a test makes millions of
// switches; elsewhere by ucontext.

#include <cstddef>
#include <cstdint>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace hearth::kernels::simt::emulator {

#if defined(__x86_64__)

// Saves what the System V ABI has a function keep, and continues where `to` was left.
asm(R"(
.pushsection .text
.type hearth_switch_stack, @function
.local hearth_switch_stack
hearth_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size hearth_switch_stack, .-hearth_switch_stack
.popsection
)");
extern "C" void hearth_switch_stack(void** from, void* to);

class FiberStack {
 public:
  /// Begins `entry`, which never returns, on this stack when it is first switched to.
  void prepare(std::byte* stack, size_t bytes, void (*entry)()) {
    const auto top = reinterpret_cast<uintptr_t>(stack + bytes) / 16 * 16;
    auto* slots = reinterpret_cast<uintptr_t*>(top) - 8;
    for (int i = 0; i < 6; ++i) slots[i] = 0;
    slots[6] = reinterpret_cast<uintptr_t>(entry);  // a call leaves the stack 8 below a 16th byte
    slots[7] = 0;
    at_ = slots;
  }
  /// From the stack that runs now, kept in `this`, to `to`.
  void switch_to(FiberStack& to) { hearth_switch_stack(&at_, to.at_); }

 private:
  void* at_ = nullptr;
};

#else

class FiberStack {
 public:
  void prepare(std::byte* stack, size_t bytes, void (*entry)()) {
    ::getcontext(&context_);
    context_.uc_stack.ss_sp = stack;
    context_.uc_stack.ss_size = bytes;
    context_.uc_link = nullptr;
    ::makecontext(&context_, entry, 0);
  }
  void switch_to(FiberStack& to) { ::swapcontext(&context_, &to.context_); }

 private:
  ucontext_t context_;
};

#endif

}  // namespace hearth::kernels::simt::emulator
