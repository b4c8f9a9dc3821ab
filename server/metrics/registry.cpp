#include "server/metrics/registry.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <type_traits>

namespace hearth::metrics {
namespace {

bool is_name_char(char c, bool first, bool colon_allowed) {
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_') return true;
  if (c == ':') return colon_allowed;
  return !first && c >= '0' && c <= '9';
}

bool is_valid_name(std::string_view name, bool colon_allowed) {
  if (name.empty()) return false;
  for (size_t i = 0; i < name.size(); ++i) {
    if (!is_name_char(name[i], i == 0, colon_allowed)) return false;
  }
  return true;
}

/// The shortest text that reads back as `value`.
void append_number(std::string& out, double value) {
  if (std::isnan(value)) {
    out += "NaN";
  } else if (std::isinf(value)) {
    out += value > 0 ? "+Inf" : "-Inf";
  } else {
    std::array<char, 32> text;
    const auto end = std::to_chars(text.data(), text.data() + text.size(), value);
    out.append(text.data(), end.ptr);
  }
}

/// HELP escapes backslash and line feed; label values the double quote too.
void append_escaped(std::string& out, std::string_view text, bool quote) {
  for (const char c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '"' && quote) {
      out += "\\\"";
    } else {
      out += c;
    }
  }
}

void append_label(std::string& out, std::string_view name, std::string_view value) {
  out += out.back() == '{' ? "" : ",";
  out += name;
  out += "=\"";
  append_escaped(out, value, true);
  out += '"';
}

/// name_suffix{labels,le="bound"} ; no braces without labels.
void append_series(std::string& out, std::string_view name, std::string_view suffix,
                   const std::vector<std::string>& label_names,
                   const std::vector<std::string>& label_values, const double* bound = nullptr) {
  out += name;
  out += suffix;
  if (!label_names.empty() || bound != nullptr) {
    out += '{';
    for (size_t i = 0; i < label_names.size(); ++i)
      append_label(out, label_names[i], label_values[i]);
    if (bound != nullptr) {
      std::string le;
      append_number(le, *bound);
      append_label(out, "le", le);
    }
    out += '}';
  }
  out += ' ';
}

}  // namespace

Histogram::Histogram(const std::vector<double>& bounds)
    : bounds_(bounds), buckets_(std::make_unique<std::atomic<uint64_t>[]>(bounds.size() + 1)) {
  for (size_t i = 1; i < bounds_.size(); ++i)
    HEARTH_CHECK(bounds_[i - 1] < bounds_[i], "histogram bounds ascend");
}

void Histogram::observe(double value, uint64_t count) {
  if (count == 0) return;
  const auto bound = std::ranges::lower_bound(bounds_, value);
  buckets_[static_cast<size_t>(bound - bounds_.begin())].fetch_add(count,
                                                                   std::memory_order_relaxed);
  sum_.fetch_add(value * static_cast<double>(count), std::memory_order_relaxed);
}

uint64_t Histogram::bucket(size_t index) const {
  HEARTH_CHECK(index <= bounds_.size(), "bucket index");
  return buckets_[index].load(std::memory_order_relaxed);
}

FamilyBase::FamilyBase(std::string name, std::string help, std::vector<std::string> label_names)
    : name_(std::move(name)), help_(std::move(help)), label_names_(std::move(label_names)) {
  HEARTH_CHECK(is_valid_name(name_, true), name_.c_str());
  for (const auto& label : label_names_)
    HEARTH_CHECK(is_valid_name(label, false) && label != "le", label.c_str());
}

void FamilyBase::expose_head(std::string& out, std::string_view type) const {
  out += "# HELP " + name_ + ' ';
  append_escaped(out, help_, false);
  out += "\n# TYPE " + name_ + ' ';
  out += type;
  out += '\n';
}

template <typename M>
void Family<M>::expose(std::string& out) const {
  std::lock_guard lock(mutex_);
  if constexpr (std::is_same_v<M, Histogram>) {
    expose_head(out, "histogram");
    for (const auto& [values, histogram] : series_) {
      uint64_t cumulated = 0;
      for (size_t i = 0; i <= histogram->bounds().size(); ++i) {
        const double bound = i < histogram->bounds().size() ? histogram->bounds()[i] : HUGE_VAL;
        cumulated += histogram->bucket(i);
        append_series(out, name_, "_bucket", label_names_, values, &bound);
        out += std::to_string(cumulated) + '\n';
      }
      append_series(out, name_, "_sum", label_names_, values);
      append_number(out, histogram->sum());
      out += '\n';
      // The sum of the buckets that were just read, so that +Inf and the count always agree.
      append_series(out, name_, "_count", label_names_, values);
      out += std::to_string(cumulated) + '\n';
    }
  } else {
    expose_head(out, std::is_same_v<M, Counter> ? "counter" : "gauge");
    for (const auto& [values, metric] : series_) {
      append_series(out, name_, "", label_names_, values);
      append_number(out, metric->value());
      out += '\n';
    }
  }
}

template class Family<Counter>;
template class Family<Gauge>;
template class Family<Histogram>;

template <typename M>
Family<M>& Registry::add(std::string name, std::string help, std::vector<std::string> label_names,
                         typename Family<M>::Make make) {
  auto family = std::make_unique<Family<M>>(std::move(name), std::move(help),
                                            std::move(label_names), std::move(make));
  std::lock_guard lock(mutex_);
  for (const auto& other : families_)
    HEARTH_CHECK(other->name() != family->name(), family->name().c_str());
  auto& made = *family;
  families_.push_back(std::move(family));
  return made;
}

Family<Counter>& Registry::counter(std::string name, std::string help,
                                   std::vector<std::string> label_names) {
  return add<Counter>(std::move(name), std::move(help), std::move(label_names),
                      [] { return std::make_unique<Counter>(); });
}

Family<Gauge>& Registry::gauge(std::string name, std::string help,
                               std::vector<std::string> label_names) {
  return add<Gauge>(std::move(name), std::move(help), std::move(label_names),
                    [] { return std::make_unique<Gauge>(); });
}

Family<Histogram>& Registry::histogram(std::string name, std::string help,
                                       std::vector<double> bounds,
                                       std::vector<std::string> label_names) {
  return add<Histogram>(
      std::move(name), std::move(help), std::move(label_names),
      [bounds = std::move(bounds)] { return std::make_unique<Histogram>(bounds); });
}

void Registry::on_expose(std::function<void()> refresh) {
  std::lock_guard lock(mutex_);
  refreshers_.push_back(std::move(refresh));
}

std::string Registry::expose() const {
  // Refreshers touch metrics, never the registry itself, so the lock may be held throughout.
  std::lock_guard lock(mutex_);
  for (const auto& refresh : refreshers_) refresh();
  std::string out;
  for (const auto& family : families_) family->expose(out);
  return out;
}

std::vector<double> one_two_five(double max) {
  std::vector<double> bounds;
  for (double decade = 1.0;; decade *= 10.0) {
    for (const double factor : {1.0, 2.0, 5.0}) {
      bounds.push_back(decade * factor);
      if (bounds.back() >= max) return bounds;
    }
  }
}

}  // namespace hearth::metrics
