// Filters that look at an attribute of each item or apply a test or filter to it.

#include <algorithm>
#include <numeric>

#include "server/chat/bound_args.h"
#include "server/chat/filters.h"
#include "server/chat/merge_sort.h"
#include "server/chat/operators.h"
#include "server/chat/sequence_keys.h"
#include "server/chat/string_case.h"

namespace hearth::jinja {

AttributePath::AttributePath(const Value& path) {
  if (!path.is_string()) {
    parts_.push_back(path);
    return;
  }
  std::string_view rest = path.text();
  while (true) {
    size_t dot = std::min(rest.find('.'), rest.size());
    std::string part(rest.substr(0, dot));
    bool number = !part.empty() && part.size() < 10 &&
                  part.find_first_not_of("0123456789") == std::string::npos;
    parts_.push_back(number ? Value::integer(std::stoll(part)) : literal_string(std::move(part)));
    if (dot == rest.size()) return;
    rest.remove_prefix(dot + 1);
  }
}

Value AttributePath::get(Interp& interp, const Value& item, const Value* fallback) const {
  Value value = item;
  for (const Value& part : parts_) {
    interp.budget().step();
    value = get_item(interp, value, part);
    if (fallback != nullptr && value.is_undefined()) value = *fallback;
  }
  return value;
}

Value ignore_case(Interp& interp, const Value& value) {
  return value.is_string() ? lower_text(interp, value) : value;
}

std::vector<size_t> sorted_order(Interp& interp, const std::vector<Value>& keys, bool reverse) {
  std::vector<size_t> order(keys.size());
  std::iota(order.begin(), order.end(), size_t{0});
  // Merge sort asks only for less() and stays in bounds whatever it answers.
  merge_sort(order, [&](size_t a, size_t b) {
    return reverse ? less(interp, keys[b], keys[a]) : less(interp, keys[a], keys[b]);
  });
  return order;
}

namespace {

std::vector<Value> pick(const Items& items, const std::vector<size_t>& order) {
  std::vector<Value> out;
  out.reserve(order.size());
  for (size_t i : order) out.push_back(items[i]);
  return out;
}

Value filter_sort(Interp& interp, const Value& subject, Args& args) {
  BoundArgs bound("sort", args, {"reverse", "case_sensitive", "attribute"});
  bool exact = bound.flag(1, false);
  std::vector<AttributePath> paths;  // "a,b.c": by a, then by b.c
  if (!bound.absent(2) && bound[2].is_string()) {
    std::string_view rest = bound[2].text();
    for (bool more = true; more;) {
      size_t comma = std::min(rest.find(','), rest.size());
      paths.emplace_back(literal_string(std::string(rest.substr(0, comma))));
      more = comma < rest.size();
      if (more) rest.remove_prefix(comma + 1);
    }
  } else if (!bound.absent(2)) {
    paths.emplace_back(bound[2]);
  }
  Items items(interp, subject);
  std::vector<Value> keys;
  auto key_part = [&](const Value& value) { return exact ? value : ignore_case(interp, value); };
  for (const Value& item : items) {
    interp.budget().step();
    // A list even for one key: equal parts are not ordered, so undefined ones or Nones may meet.
    std::vector<Value> parts;
    if (paths.empty()) parts.push_back(key_part(item));
    for (const AttributePath& path : paths) parts.push_back(key_part(path.get(interp, item)));
    keys.push_back(interp.list(std::move(parts)));
  }
  return interp.list(pick(items, sorted_order(interp, keys, bound.flag(0, false))));
}

Value filter_dictsort(Interp& interp, const Value& subject, Args& args) {
  BoundArgs bound("dictsort", args, {"case_sensitive", "by", "reverse"});
  std::string by = bound.has(1) ? bound.text(1) : "key";
  if (by != "key" && by != "value") {
    runtime_fault("You can only sort by either \"key\" or \"value\"");
  }
  if (subject.is_undefined()) fault_undefined(subject);
  if (!subject.is(Kind::kDict)) {
    runtime_fault(std::string("'") + type_name(subject) + " object' has no attribute 'items'");
  }
  const auto& entries = subject.dict().entries;
  std::vector<Value> keys;
  for (const Entry& entry : entries) {
    const Value& key = by == "key" ? entry.first : entry.second;
    keys.push_back(bound.flag(0, false) ? key : ignore_case(interp, key));
  }
  std::vector<Value> pairs;
  for (size_t i : sorted_order(interp, keys, bound.flag(2, false))) {
    pairs.push_back(interp.tuple({entries[i].first, entries[i].second}));
  }
  return interp.list(std::move(pairs));
}

Value filter_unique(Interp& interp, const Value& subject, Args& args) {
  BoundArgs bound("unique", args, {"case_sensitive", "attribute"});
  bool exact = bound.flag(0, false);
  std::optional<AttributePath> path;
  if (!bound.absent(1)) path = AttributePath(bound[1]);
  Items items(interp, subject);
  std::vector<Entry> keys;  // a dict keeps the first place of each key
  for (size_t i = 0; i < items.size(); ++i) {
    interp.budget().step();
    Value key = path ? path->get(interp, items[i]) : items[i];
    keys.emplace_back(exact ? key : ignore_case(interp, key),
                      Value::integer(static_cast<int64_t>(items.size() - 1 - i)));
  }
  // Of equal keys a dict keeps the last value: offered backwards, that is the first item.
  std::reverse(keys.begin(), keys.end());
  Value firsts = interp.dict(std::move(keys));
  std::vector<size_t> order;
  for (const Entry& entry : firsts.dict().entries) {
    order.push_back(items.size() - 1 - static_cast<size_t>(entry.second.as_int()));
  }
  std::sort(order.begin(), order.end());
  return interp.iterator(pick(items, order));
}

Value min_or_max(Interp& interp, const Value& subject, Args& args, bool largest) {
  BoundArgs bound(largest ? "max" : "min", args, {"case_sensitive", "attribute"});
  bool exact = bound.flag(0, false);
  std::optional<AttributePath> path;
  if (!bound.absent(1)) path = AttributePath(bound[1]);
  Items items(interp, subject);
  if (items.size() == 0) return interp.undefined("No aggregated item, sequence was empty.");
  auto key_of = [&](const Value& item) {
    Value key = path ? path->get(interp, item) : item;
    return exact ? key : ignore_case(interp, key);
  };
  size_t best = 0;
  Value best_key = key_of(items[0]);
  for (size_t i = 1; i < items.size(); ++i) {
    Value key = key_of(items[i]);
    if (largest ? less(interp, best_key, key) : less(interp, key, best_key)) {
      best = i;
      best_key = std::move(key);
    }
  }
  return items[best];
}

Value filter_min(Interp& interp, const Value& subject, Args& args) {
  return min_or_max(interp, subject, args, false);
}
Value filter_max(Interp& interp, const Value& subject, Args& args) {
  return min_or_max(interp, subject, args, true);
}

/// Sorted groups of items with equal keys, each a pair of the key and the list.
Value filter_groupby(Interp& interp, const Value& subject, Args& args) {
  BoundArgs bound("groupby", args, {"attribute", "default", "case_sensitive"}, 1);
  AttributePath path(bound[0]);
  const Value* fallback = bound.absent(1) ? nullptr : &bound[1];
  bool exact = bound.flag(2, false);
  Items items(interp, subject);
  std::vector<Value> plain;
  std::vector<Value> keys;
  for (const Value& item : items) {
    plain.push_back(path.get(interp, item, fallback));
    keys.push_back(exact ? plain.back() : ignore_case(interp, plain.back()));
  }
  std::vector<size_t> order = sorted_order(interp, keys, false);
  std::vector<Value> groups;
  for (size_t i = 0; i < order.size();) {
    size_t first = order[i];
    std::vector<Value> members;
    for (; i < order.size() && equals(interp, keys[first], keys[order[i]]); ++i) {
      members.push_back(items[order[i]]);
    }
    if (members.empty()) runtime_fault("groupby: a key does not equal itself");
    groups.push_back(interp.tuple({plain[first], interp.list(std::move(members))}));
    groups.back().object<ListObject>().group = true;
  }
  return interp.list(std::move(groups));
}

Value filter_map(Interp& interp, const Value& subject, Args& args) {
  std::vector<Value> out;
  if (!truthy(subject)) return interp.iterator(std::move(out));
  if (args.positional.empty()) {
    BoundArgs bound("map", args, {"attribute", "default"});
    if (!bound.has(0)) runtime_fault("map requires a filter argument");
    AttributePath path(bound[0]);
    const Value* fallback = bound.absent(1) ? nullptr : &bound[1];
    for (const Value& item : Items(interp, subject)) {
      out.push_back(path.get(interp, item, fallback));
    }
    return interp.iterator(std::move(out));
  }
  if (!args.positional[0].is_string()) runtime_fault("map requires the name of a filter");
  std::string name = args.positional[0].text();
  Args rest{{args.positional.begin() + 1, args.positional.end()}, args.named};
  for (const Value& item : Items(interp, subject)) {
    Args copy = rest;
    interp.budget().step(rest.positional.size() + rest.named.size());
    out.push_back(interp.call_filter(name, item, copy));
  }
  return interp.iterator(std::move(out));
}

/// select and reject, and with `by_attribute` selectattr and rejectattr.
Value select(Interp& interp, const Value& subject, Args& args, bool keep, bool by_attribute) {
  std::vector<Value> out;
  if (!truthy(subject)) return interp.iterator(std::move(out));
  size_t used = by_attribute ? 1 : 0;
  if (args.positional.size() < used) runtime_fault("Missing parameter for attribute name");
  std::optional<AttributePath> path;
  if (by_attribute) path = AttributePath(args.positional[0]);
  bool tested = args.positional.size() > used;
  std::string test;
  Args rest;
  if (tested) {
    if (!args.positional[used].is_string()) runtime_fault("select requires the name of a test");
    test = args.positional[used].text();
    rest.positional.assign(args.positional.begin() + static_cast<ptrdiff_t>(used) + 1,
                           args.positional.end());
    rest.named = args.named;
  }
  for (const Value& item : Items(interp, subject)) {
    interp.budget().step();
    Value looked_at = path ? path->get(interp, item) : item;
    bool yes = tested ? interp.call_test(test, looked_at, rest) : truthy(looked_at);
    if (yes == keep) out.push_back(item);
  }
  return interp.iterator(std::move(out));
}

Value filter_select(Interp& interp, const Value& subject, Args& args) {
  return select(interp, subject, args, true, false);
}
Value filter_reject(Interp& interp, const Value& subject, Args& args) {
  return select(interp, subject, args, false, false);
}
Value filter_selectattr(Interp& interp, const Value& subject, Args& args) {
  return select(interp, subject, args, true, true);
}
Value filter_rejectattr(Interp& interp, const Value& subject, Args& args) {
  return select(interp, subject, args, false, true);
}

}  // namespace

const FilterTable& select_filters() {
  static const FilterTable kFilters = {
      {"sort", filter_sort},
      {"dictsort", filter_dictsort},
      {"unique", filter_unique},
      {"min", filter_min},
      {"max", filter_max},
      {"groupby", filter_groupby},
      {"map", filter_map},
      {"select", filter_select},
      {"reject", filter_reject},
      {"selectattr", filter_selectattr},
      {"rejectattr", filter_rejectattr},
  };
  return kFilters;
}

}  // namespace hearth::jinja
