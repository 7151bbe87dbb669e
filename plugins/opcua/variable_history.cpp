// SPDX-License-Identifier: Apache-2.0
#include "variable_history.hpp"

#include "error_map.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

namespace backplane::opcua {
namespace {

/// Where a reader is: behind the value of that place.
struct Point {
  UA_DateTime time;
  uint64_t number;
};

Point parse(std::string_view text) {
  Point out;
  if (text.size() != sizeof out) {
    throw Error(bad_status(UA_STATUSCODE_BADCONTINUATIONPOINTINVALID, {}));
  }
  std::memcpy(&out, text.data(), sizeof out);
  return out;
}

std::string to_text(const Point& point) {
  return {reinterpret_cast<const char*>(&point), sizeof point};
}

UA_DateTime later(UA_DateTime time, int64_t by) {
  UA_DateTime out = time;
  return __builtin_add_overflow(time, by, &out) ? time : out;
}

DataValue bound_not_found(UA_DateTime time) {
  DataValue out;
  out->hasStatus = true;
  out->status = UA_STATUSCODE_BADBOUNDNOTFOUND;
  out->hasSourceTimestamp = true;
  out->sourceTimestamp = time;
  return out;
}

DataValue part_of(const UA_DataValue& value, const VariableHistory::Read& read) {
  DataValue out;
  if (read.range == nullptr || !value.hasValue) {
    out = DataValue::copy_of(value);
  } else {
    *out = value;
    UA_Variant_init(&out->value);
    const UA_StatusCode status = UA_Variant_copyRange(&value.value, &out->value, *read.range);
    if (status != UA_STATUSCODE_GOOD) {
      out->hasValue = false;
      out->hasStatus = true;
      out->status = status;
    }
  }
  if (read.timestamps == UA_TIMESTAMPSTORETURN_SERVER) {
    out->hasSourceTimestamp = out->hasSourcePicoseconds = false;
  } else if (read.timestamps == UA_TIMESTAMPSTORETURN_SOURCE) {
    out->hasServerTimestamp = out->hasServerPicoseconds = false;
  }
  return out;
}

}  // namespace

void VariableHistory::add(const UA_DataValue& value) {
  Entry entry{{value.sourceTimestamp, last_number_ + 1}, DataValue::copy_of(value)};
  if (!entry.value->hasServerTimestamp) {
    entry.value->hasServerTimestamp = true;
    entry.value->serverTimestamp = UA_DateTime_now();
  }
  if (entries_.size() == most_) {
    drop_first_to_come();
  }
  entries_.insert(entries_.begin() + static_cast<ptrdiff_t>(position(entry.place)),
                  std::move(entry));
  ++last_number_;
}

// Not the one with the oldest source time: those of a clock that was ahead would stay for ever. As
// long as times grow it is at the front, or near it.
void VariableHistory::drop_first_to_come() {
  const uint64_t first = last_number_ + 1 - entries_.size();  // the numbers have no gap
  const auto at = std::find_if(entries_.begin(), entries_.end(),
                               [first](const Entry& entry) { return entry.place.number == first; });
  if (at != entries_.end()) {
    entries_.erase(at);
  }
}

size_t VariableHistory::position(const Place& place) const noexcept {
  const auto at = std::lower_bound(
      entries_.begin(), entries_.end(), place,
      [](const Entry& entry, const Place& wanted) { return entry.place < wanted; });
  return static_cast<size_t>(at - entries_.begin());
}

VariableHistory::Span VariableHistory::forward(UA_DateTime start, UA_DateTime end,
                                               bool has_bounds) const {
  Span out;
  out.first = from(start);
  out.last = end == 0 ? entries_.size() : start == end ? behind(end) : from(end);
  if (!has_bounds) {
    return out;
  }
  if (out.first == entries_.size() || entries_[out.first].place.time != start) {
    if (out.first > 0) {
      --out.first;
    } else {
      out.missing_first = start;
    }
  }
  if (end == 0) {
    out.missing_last =
        entries_.empty() ? start : later(entries_.back().place.time, UA_DATETIME_SEC);
  } else if (out.last < entries_.size()) {
    ++out.last;
  } else {
    out.missing_last = end;
  }
  return out;
}

VariableHistory::Span VariableHistory::backward(UA_DateTime start, UA_DateTime end,
                                                bool has_bounds) const {
  const bool is_open = start == 0;
  const UA_DateTime latest = is_open ? end : start;
  Span out;
  out.is_forward = false;
  out.last = behind(latest);
  out.first = is_open ? 0 : behind(end);
  if (!has_bounds) {
    return out;
  }
  if (out.last == 0 || entries_[out.last - 1].place.time != latest) {
    if (out.last < entries_.size()) {
      ++out.last;
    } else {
      out.missing_first = latest;
    }
  }
  if (is_open) {
    out.missing_last =
        entries_.empty() ? latest : later(entries_.front().place.time, -UA_DATETIME_SEC);
  } else if (out.first > 0) {
    --out.first;
  } else {
    out.missing_last = end;
  }
  return out;
}

VariableHistory::Span VariableHistory::span(const UA_ReadRawModifiedDetails& details) const {
  const UA_DateTime start = details.startTime;
  const UA_DateTime end = details.endTime;
  const bool has_both = start != 0 && end != 0;
  if ((start == 0 && end == 0) || (!has_both && details.numValuesPerNode == 0)) {
    throw Error(bad_status(UA_STATUSCODE_BADHISTORYOPERATIONINVALID,
                           "of start, end and a number of values there must be two"));
  }
  const bool is_forward = start != 0 && (end == 0 || start <= end);
  return is_forward ? forward(start, end, details.returnBounds)
                    : backward(start, end, details.returnBounds);
}

VariableHistory::Page VariableHistory::read(const Read& read) const {
  Span all = span(read.details);
  const size_t wanted = read.details.numValuesPerNode;  // 0: all
  if (!read.point.empty()) {
    const Point point = parse(read.point);
    const Place last{point.time, point.number};
    all.missing_first.reset();
    if (all.is_forward) {
      all.first = std::max(all.first, position({last.time, last.number + 1}));
    } else {
      all.last = std::min(all.last, position(last));
    }
  }
  std::vector<DataValue> found;
  Place last{};
  const auto is_full = [&] {
    return (wanted != 0 && found.size() == wanted) || read.room.is_empty();
  };
  const auto give = [&](DataValue value) {
    const size_t size = UA_calcSizeBinary(value.get(), &UA_TYPES[UA_TYPES_DATAVALUE]);
    read.room.values -= 1;
    read.room.bytes -= std::min(size, read.room.bytes);
    found.push_back(std::move(value));
  };
  if (all.missing_first && !is_full()) {
    give(bound_not_found(*all.missing_first));
    last = {*all.missing_first, all.is_forward ? uint64_t{0} : UINT64_MAX - 1};
  }
  size_t n = all.last > all.first ? all.last - all.first : 0;
  for (; n > 0 && !is_full(); --n) {
    const Entry& entry = entries_[all.is_forward ? all.first++ : --all.last];
    give(part_of(*entry.value, read));
    last = entry.place;
  }
  if (n == 0 && all.missing_last && !is_full()) {
    give(bound_not_found(*all.missing_last));
    all.missing_last.reset();
  }
  Page out;
  if (!found.empty()) {
    auto* const values =
        static_cast<UA_DataValue*>(UA_Array_new(found.size(), &UA_TYPES[UA_TYPES_DATAVALUE]));
    if (values == nullptr) {
      throw std::bad_alloc();
    }
    out.values->dataValues = values;
    out.values->dataValuesSize = found.size();
    for (size_t i = 0; i < found.size(); ++i) {
      values[i] = found[i].release();
    }
  }
  if (n > 0 || all.missing_last) {
    out.next = to_text({last.time, last.number});
  }
  return out;
}

}  // namespace backplane::opcua
