#include "server/metrics/registry.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>
#include <thread>
#include <vector>

using hearth::metrics::FamilyBase;
using hearth::metrics::Registry;

TEST_CASE("counters and gauges are written with HELP, TYPE and labels") {
  Registry registry;
  auto& requests = registry.counter("http_requests_total", "Answers.", {"method", "status"});
  requests.with({"GET", "200"}).add();
  requests.with({"GET", "200"}).add(2);
  requests.with({"POST", "400"}).add();
  registry.gauge("vllm:num_requests_running", "Running.").get().set(-1.5);
  CHECK(registry.expose() ==
        "# HELP http_requests_total Answers.\n"
        "# TYPE http_requests_total counter\n"
        "http_requests_total{method=\"GET\",status=\"200\"} 3\n"
        "http_requests_total{method=\"POST\",status=\"400\"} 1\n"
        "# HELP vllm:num_requests_running Running.\n"
        "# TYPE vllm:num_requests_running gauge\n"
        "vllm:num_requests_running -1.5\n");
}

TEST_CASE("label values and help are escaped") {
  Registry registry;
  registry.gauge("info", "two\nlines \\ \"here\"", {"name"}).with({"a\"b\\c\nd"}).set(1);
  CHECK(registry.expose() ==
        "# HELP info two\\nlines \\\\ \"here\"\n"
        "# TYPE info gauge\n"
        "info{name=\"a\\\"b\\\\c\\nd\"} 1\n");
}

TEST_CASE("histograms are cumulative and bounds are inclusive") {
  Registry registry;
  auto& seconds = registry.histogram("latency_seconds", "Latency.", {0.1, 1, 10}, {"worker"});
  auto& series = seconds.with({"0"});
  series.observe(0.1);
  series.observe(0.5, 2);
  series.observe(100);
  CHECK(registry.expose() ==
        "# HELP latency_seconds Latency.\n"
        "# TYPE latency_seconds histogram\n"
        "latency_seconds_bucket{worker=\"0\",le=\"0.1\"} 1\n"
        "latency_seconds_bucket{worker=\"0\",le=\"1\"} 3\n"
        "latency_seconds_bucket{worker=\"0\",le=\"10\"} 3\n"
        "latency_seconds_bucket{worker=\"0\",le=\"+Inf\"} 4\n"
        "latency_seconds_sum{worker=\"0\"} 101.1\n"
        "latency_seconds_count{worker=\"0\"} 4\n");
}

TEST_CASE("numbers that are not finite have Prometheus' spelling") {
  Registry registry;
  auto& gauge = registry.gauge("g", "G.", {"kind"});
  gauge.with({"nan"}).set(std::numeric_limits<double>::quiet_NaN());
  gauge.with({"pos"}).set(HUGE_VAL);
  gauge.with({"neg"}).set(-HUGE_VAL);
  gauge.with({"big"}).set(1e300);
  CHECK(
      registry.expose() ==
      "# HELP g G.\n# TYPE g gauge\n"
      "g{kind=\"big\"} 1e+300\ng{kind=\"nan\"} NaN\ng{kind=\"neg\"} -Inf\ng{kind=\"pos\"} +Inf\n");
}

TEST_CASE("a flood of label values shares one series") {
  Registry registry;
  auto& counter = registry.counter("paths_total", "Paths.", {"path"});
  for (size_t i = 0; i < FamilyBase::kMaxSeries + 100; ++i) counter.with({std::to_string(i)}).add();
  CHECK(counter.with({"another"}).value() == 100);
  CHECK(counter.with({"7"}).value() == 1);
  CHECK(&counter.with({"another"}) == &counter.with({"other"}));
}

TEST_CASE("refreshers run before each exposition") {
  Registry registry;
  auto& gauge = registry.gauge("refreshed", "R.").get();
  registry.on_expose([&gauge] { gauge.add(1); });
  (void)registry.expose();
  CHECK(registry.expose().ends_with("refreshed 2\n"));
}

TEST_CASE("updates from several threads all count") {
  Registry registry;
  auto& counter = registry.counter("n_total", "N.", {"thread"});
  auto& histogram = registry.histogram("h", "H.", {1}).get();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) {
        counter.with({"shared"}).add();
        histogram.observe(2);
        if (i % 100 == 0) (void)registry.expose();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(counter.with({"shared"}).value() == 4000);
  CHECK(histogram.bucket(1) == 4000);
  CHECK(histogram.sum() == 8000);
}

TEST_CASE("one, two, five") {
  CHECK(hearth::metrics::one_two_five(20) == std::vector<double>{1, 2, 5, 10, 20});
  CHECK(hearth::metrics::one_two_five(21) == std::vector<double>{1, 2, 5, 10, 20, 50});
}
