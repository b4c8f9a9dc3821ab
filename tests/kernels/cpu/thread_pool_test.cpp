#include "kernels/cpu/thread_pool.h"

#include <doctest/doctest.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

using namespace hearth::kernels;

namespace {

cpu_set_t own_mask() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  REQUIRE(sched_getaffinity(0, sizeof mask, &mask) == 0);
  return mask;
}

}  // namespace

TEST_CASE("every run reaches every thread exactly once, the caller as thread 0") {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    CHECK(pool.num_threads() == threads);
    std::vector<int> hits(static_cast<size_t>(threads), 0);  // each thread writes its own
    std::thread::id first;
    for (int run = 1; run <= 500; ++run) {
      pool.run([&](int index, int count) {
        if (count == threads) ++hits[static_cast<size_t>(index)];
        if (index == 0) first = std::this_thread::get_id();
      });
      for (const int hit : hits) REQUIRE(hit == run);
      REQUIRE(first == std::this_thread::get_id());
    }
  }
}

TEST_CASE("what one run writes the next one reads, on any thread") {
  ThreadPool pool(3);
  std::vector<int64_t> value(3, 0);
  for (int run = 0; run < 300; ++run)
    pool.run([&](int index, int count) {
      // Neighbours' values of the run before: a missing barrier is a data race here.
      if (run % 2 == 0)
        value[static_cast<size_t>(index)] += 1;
      else if (index == count - 1)
        for (int64_t& v : value) v += 1;
    });
  for (const int64_t v : value) CHECK(v == 300);
}

TEST_CASE("threads wake up from sleep") {
  ThreadPool pool(2);
  std::atomic<int> hits{0};
  for (int run = 0; run < 5; ++run) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // long past the spinning
    pool.run([&](int, int) { hits.fetch_add(1); });
  }
  CHECK(hits.load() == 10);
}

TEST_CASE("the caller sleeps until a slow thread is done") {
  ThreadPool pool(2);
  bool done = false;
  pool.run([&](int index, int) {
    if (index == 0) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
    done = true;
  });
  CHECK(done);
}

TEST_CASE("a pool that never ran, and one that was just made, stop cleanly") {
  for (int i = 0; i < 20; ++i) ThreadPool pool(4);
}

TEST_CASE("pools may follow each other across caller threads") {
  ThreadPool pool(2);
  int total = 0;
  for (int i = 0; i < 3; ++i) {
    std::thread caller([&] {
      pool.run([&](int index, int) {
        if (index == 0) ++total;
      });
    });
    caller.join();
  }
  CHECK(total == 3);
}

TEST_CASE("threads are bound to single CPUs and the caller is free again afterwards") {
  const cpu_set_t before = own_mask();
  const int cpus = CPU_COUNT(&before);
  {
    ThreadPool pool(cpus);
    std::vector<cpu_set_t> masks(static_cast<size_t>(cpus));
    pool.run([&](int index, int) {
      CPU_ZERO(&masks[static_cast<size_t>(index)]);
      sched_getaffinity(0, sizeof(cpu_set_t), &masks[static_cast<size_t>(index)]);
    });
    cpu_set_t all;
    CPU_ZERO(&all);
    for (const cpu_set_t& mask : masks) {
      CHECK(CPU_COUNT(&mask) == 1);
      CPU_OR(&all, &all, &mask);
    }
    CHECK(CPU_EQUAL(&all, &before));

    // A second pool of a bound caller still sees all CPUs.
    ThreadPool inner(cpus);
    std::vector<int> counts(static_cast<size_t>(cpus));
    inner.run([&](int index, int) {
      const cpu_set_t mask = own_mask();
      counts[static_cast<size_t>(index)] = CPU_COUNT(&mask);
    });
    for (const int count : counts) CHECK(count == 1);
  }
  const cpu_set_t after = own_mask();
  CHECK(CPU_EQUAL(&before, &after));
}

TEST_CASE("without pin, and with more threads than CPUs, nobody is bound") {
  const cpu_set_t before = own_mask();
  const auto check_unbound = [&](ThreadPool& pool) {
    std::vector<int> equal(static_cast<size_t>(pool.num_threads()));
    pool.run([&](int index, int) {
      cpu_set_t mask;
      CPU_ZERO(&mask);
      sched_getaffinity(0, sizeof mask, &mask);
      equal[static_cast<size_t>(index)] = CPU_EQUAL(&mask, &before);
    });
    for (const int e : equal) CHECK(e == 1);
  };
  ThreadPool unpinned(2, false);
  check_unbound(unpinned);
  ThreadPool crowded(CPU_COUNT(&before) + 1);
  check_unbound(crowded);
}

TEST_CASE("slices cover the items once, in order, on grain borders") {
  for (const int64_t count : {0, 1, 7, 32, 100, 1000})
    for (const int64_t grain : {1, 4, 32})
      for (const int threads : {1, 2, 3, 7}) {
        int64_t expected_begin = 0;
        for (int index = 0; index < threads; ++index) {
          const Slice slice = thread_slice(count, grain, index, threads);
          REQUIRE(slice.begin == expected_begin);
          REQUIRE(slice.end >= slice.begin);
          REQUIRE((slice.end % grain == 0 || slice.end == count));
          expected_begin = slice.end;
        }
        REQUIRE(expected_begin == count);
      }
}
