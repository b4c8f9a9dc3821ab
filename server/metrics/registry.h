#pragma once
// Counters, gauges and histograms with labels, and their text for Prometheus (exposition format
// 0.0.4). Metrics are made at start; updating one is an atomic operation without a lock.
//
//   auto& requests = registry.counter("http_requests_total", "Answered requests.", {"status"});
//   requests.with({"200"}).add();          // keep the reference where it is hot

#include <atomic>
#include <concepts>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"

namespace hearth::metrics {

/// Only grows.
class Counter {
 public:
  void add(double by = 1.0) { value_.fetch_add(by, std::memory_order_relaxed); }
  /// For a total that is kept elsewhere (the CPU time of the process). It must not shrink.
  void set_total(double value) { value_.store(value, std::memory_order_relaxed); }
  [[nodiscard]] double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0.0};
};

/// Goes up and down.
class Gauge {
 public:
  void set(double value) { value_.store(value, std::memory_order_relaxed); }
  void add(double by) { value_.fetch_add(by, std::memory_order_relaxed); }
  [[nodiscard]] double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0.0};
};

/// Counts observations by upper bound (inclusive, as Prometheus has it).
class Histogram {
 public:
  /// `bounds` ascend strictly; the bucket above the last one (+Inf) is implied.
  explicit Histogram(const std::vector<double>& bounds);
  /// `count` equal observations.
  void observe(double value, uint64_t count = 1);

  [[nodiscard]] const std::vector<double>& bounds() const { return bounds_; }
  /// Observations of bucket `index`, not cumulated; index bounds().size() is +Inf.
  [[nodiscard]] uint64_t bucket(size_t index) const;
  [[nodiscard]] double sum() const { return sum_.load(std::memory_order_relaxed); }

 private:
  std::vector<double> bounds_;
  std::unique_ptr<std::atomic<uint64_t>[]> buckets_;  // [bounds_.size() + 1]
  std::atomic<double> sum_{0.0};
};

/// What the families of the three kinds have in common.
class FamilyBase {
 public:
  FamilyBase(std::string name, std::string help, std::vector<std::string> label_names);
  virtual ~FamilyBase() = default;
  FamilyBase(const FamilyBase&) = delete;
  FamilyBase& operator=(const FamilyBase&) = delete;

  [[nodiscard]] const std::string& name() const { return name_; }
  /// Appends HELP, TYPE and every series.
  virtual void expose(std::string& out) const = 0;

  /// Series of one family at most; what comes after shares one series whose labels are all
  /// "other", so that label values from outside cannot cost memory without bound.
  static constexpr size_t kMaxSeries = 1024;

 protected:
  void expose_head(std::string& out, std::string_view type) const;

  const std::string name_;
  const std::string help_;
  const std::vector<std::string> label_names_;
  mutable std::mutex mutex_;  // guards the map of series, not their values
};

/// All series of one name. Any thread may call any member.
template <typename M>
class Family final : public FamilyBase {
 public:
  using Make = std::function<std::unique_ptr<M>()>;
  Family(std::string name, std::string help, std::vector<std::string> label_names, Make make)
      : FamilyBase(std::move(name), std::move(help), std::move(label_names)),
        make_(std::move(make)) {
    if (label_names_.empty()) with({});  // a metric without labels shows its zero at once
  }

  /// The series with these label values, made at the first call. The reference lives as long as
  /// the registry.
  M& with(std::vector<std::string> label_values) {
    HEARTH_CHECK(label_values.size() == label_names_.size(), name_.c_str());
    std::lock_guard lock(mutex_);
    auto found = series_.find(label_values);
    if (found == series_.end()) {
      if (series_.size() >= kMaxSeries) {
        label_values.assign(label_names_.size(), "other");
        found = series_.find(label_values);
      }
      if (found == series_.end()) found = series_.emplace(std::move(label_values), make_()).first;
    }
    return *found->second;
  }

  /// The one series of a metric without labels.
  M& get() { return with({}); }

  void expose(std::string& out) const override;

 private:
  const Make make_;
  std::map<std::vector<std::string>, std::unique_ptr<M>> series_;
};

/// Owns all metrics of the process. Any thread may call any member.
class Registry {
 public:
  /// Names and label names must be valid for Prometheus and new; anything else is our own mistake
  /// (HEARTH_CHECK). References live as long as the registry.
  Family<Counter>& counter(std::string name, std::string help,
                           std::vector<std::string> label_names = {});
  Family<Gauge>& gauge(std::string name, std::string help,
                       std::vector<std::string> label_names = {});
  Family<Histogram>& histogram(std::string name, std::string help, std::vector<double> bounds,
                               std::vector<std::string> label_names = {});

  /// `refresh` runs before each exposition, to set what is only worth knowing then.
  void on_expose(std::function<void()> refresh);

  /// The whole text, families in the order they were made. Content type: kContentType.
  [[nodiscard]] std::string expose() const;

  static constexpr std::string_view kContentType = "text/plain; version=0.0.4; charset=utf-8";

 private:
  template <typename M>
  Family<M>& add(std::string name, std::string help, std::vector<std::string> label_names,
                 typename Family<M>::Make make);

  mutable std::mutex mutex_;
  std::deque<std::unique_ptr<FamilyBase>> families_;
  std::vector<std::function<void()>> refreshers_;
};

/// 1, 2, 5, 10, 20, 50 … up to and including the first value >= `max`.
std::vector<double> one_two_five(double max);

}  // namespace hearth::metrics
