// Filters on sequences that need no attribute or test.

#include <algorithm>

#include "server/chat/bound_args.h"
#include "server/chat/filters.h"
#include "server/chat/operators.h"
#include "server/chat/printing.h"
#include "server/chat/sequence_keys.h"
#include "server/chat/unicode.h"

namespace hearth::jinja {
namespace {

Value filter_length(Interp& interp, const Value& subject, Args& args) {
  BoundArgs("length", args, {});
  return Value::integer(length_of(interp, subject));
}

Value filter_list(Interp& interp, const Value& subject, Args& args) {
  BoundArgs("list", args, {});
  return interp.list(Items(interp, subject).to_vector());
}

Value filter_first(Interp& interp, const Value& subject, Args& args) {
  BoundArgs("first", args, {});
  if (subject.is_string() && !subject.text().empty()) {
    return get_item(interp, subject, Value::integer(0));
  }
  if (subject.is(Kind::kIterator)) {  // takes one item off
    auto& iterator = subject.object<IteratorObject>();
    if (iterator.next < iterator.items.size()) return iterator.items[iterator.next++];
  }
  Items items(interp, subject);
  if (items.size() == 0) return interp.undefined("No first item, sequence was empty.");
  return items[0];
}

Value filter_last(Interp& interp, const Value& subject, Args& args) {
  BoundArgs("last", args, {});
  if (subject.is(Kind::kIterator)) {
    runtime_fault(std::string("'") + type_name(subject) + "' object is not reversible");
  }
  if (subject.is_string() && !subject.text().empty()) {
    return get_item(interp, subject, Value::integer(-1));
  }
  Items items(interp, subject);
  if (items.size() == 0) return interp.undefined("No last item, sequence was empty.");
  return items[items.size() - 1];
}

Value filter_reverse(Interp& interp, const Value& subject, Args& args) {
  BoundArgs("reverse", args, {});
  if (subject.is_string()) {
    return get_slice(interp, subject, Value::none(), Value::none(), Value::integer(-1));
  }
  std::vector<Value> items = Items(interp, subject).to_vector();
  std::reverse(items.begin(), items.end());
  if (subject.is(Kind::kIterator)) return interp.list(std::move(items));
  return interp.iterator(std::move(items), "list_reverseiterator");
}

Value filter_join(Interp& interp, const Value& subject, Args& args) {
  BoundArgs bound("join", args, {"d", "attribute"});
  std::string separator = bound.has(0) ? str_of(interp, bound[0]) : "";
  TextBuilder out(interp.budget());
  bool first = true;
  std::optional<AttributePath> path;
  if (!bound.absent(1)) path = AttributePath(bound[1]);
  for (const Value& item : Items(interp, subject)) {
    interp.budget().step();
    if (!std::exchange(first, false)) out << separator;
    append_str(interp, out, path ? path->get(interp, item) : item);
  }
  return interp.string(out.take());
}

Value filter_sum(Interp& interp, const Value& subject, Args& args) {
  BoundArgs bound("sum", args, {"attribute", "start"});
  std::optional<AttributePath> path;
  if (!bound.absent(0)) path = AttributePath(bound[0]);
  Value total = bound.get(1, Value::integer(0));
  if (total.is_string()) runtime_fault("sum() can't sum strings [use ''.join(seq) instead]");
  for (const Value& item : Items(interp, subject)) {
    interp.budget().step();
    total = arithmetic(interp, Op::kAdd, total, path ? path->get(interp, item) : item);
  }
  return total;
}

Value filter_batch(Interp& interp, const Value& subject, Args& args) {
  BoundArgs bound("batch", args, {"linecount", "fill_with"}, 1);
  auto size = static_cast<size_t>(std::max<int64_t>(1, bound.integer(0, 1)));
  std::vector<Value> batches;
  std::vector<Value> batch;
  for (const Value& item : Items(interp, subject)) {
    interp.budget().step();
    if (batch.size() == size) batches.push_back(interp.list(std::exchange(batch, {})));
    batch.push_back(item);
  }
  if (!batch.empty()) {
    if (!bound.absent(1) && batch.size() < size) {
      interp.budget().step(size - batch.size());
      batch.resize(size, bound[1]);
    }
    batches.push_back(interp.list(std::move(batch)));
  }
  return interp.iterator(std::move(batches));
}

Value filter_slice(Interp& interp, const Value& subject, Args& args) {
  BoundArgs bound("slice", args, {"slices", "fill_with"}, 1);
  int64_t slices = bound.integer(0, 1);
  if (slices == 0) runtime_fault("integer division or modulo by zero");
  Items items(interp, subject);
  auto length = static_cast<int64_t>(items.size());
  std::vector<Value> out;
  int64_t at = 0;
  for (int64_t i = 0; i < slices; ++i) {
    interp.budget().step();
    bool extra = i < length % slices;
    int64_t count = length / slices + (extra ? 1 : 0);
    std::vector<Value> part(items.begin() + at, items.begin() + at + count);
    if (!bound.absent(1) && !extra) part.push_back(bound[1]);
    out.push_back(interp.list(std::move(part)));
    at += count;
  }
  return interp.iterator(std::move(out));
}

}  // namespace

const FilterTable& sequence_filters() {
  static const FilterTable kFilters = {
      {"length", filter_length}, {"count", filter_length}, {"list", filter_list},
      {"first", filter_first},   {"last", filter_last},    {"reverse", filter_reverse},
      {"join", filter_join},     {"sum", filter_sum},      {"batch", filter_batch},
      {"slice", filter_slice},
  };
  return kFilters;
}

}  // namespace hearth::jinja
