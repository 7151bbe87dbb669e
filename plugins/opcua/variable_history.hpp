// SPDX-License-Identifier: Apache-2.0
// The last values of a variable, and how they are read (part 11, 4.5 and 6.5.3). Loop thread only.
//
// Design notes.
// - In the order of their source times: one that comes late is put where it belongs.
//   The last ones are those that came last.
// - Nothing is kept for who reads: a continuation point says behind which value he goes on, and
//   stays good when that one is gone.
#pragma once

#include "native.hpp"

#include <deque>
#include <optional>

namespace backplane::opcua {

class VariableHistory {
 public:
  /// For all that one request reads. One value is given while there is any.
  struct Room {
    size_t values = 10'000;
    size_t bytes = size_t{1} << 20;
    bool is_empty() const noexcept { return values == 0 || bytes == 0; }
  };
  struct Read {
    const UA_ReadRawModifiedDetails& details;
    UA_TimestampsToReturn timestamps;
    const UA_NumericRange* range;  // null: all of an array
    std::string_view point;        // empty: the first page
    Room& room;                    // what it takes is taken from it
  };
  struct Page {
    Native<UA_HistoryData, UA_TYPES_HISTORYDATA> values;
    std::string next;  // empty: there are no more
  };

  explicit VariableHistory(size_t most) : most_(most) {}

  /// With its source time. May throw bad_alloc.
  void add(const UA_DataValue& value);
  /// Throws Error with a native status: what is asked for makes no sense. May throw bad_alloc.
  Page read(const Read& read) const;

 private:
  /// Values of one time are told apart by their numbers.
  struct Place {
    UA_DateTime time;
    uint64_t number;
    bool operator<(const Place& other) const noexcept {
      return time != other.time ? time < other.time : number < other.number;
    }
  };
  struct Entry {
    Place place;
    DataValue value;
  };
  /// What is to be read, as positions in `entries_`; times at which there is no bound.
  struct Span {
    size_t first = 0;
    size_t last = 0;  // behind it
    bool is_forward = true;
    std::optional<UA_DateTime> missing_first;
    std::optional<UA_DateTime> missing_last;
  };

  void drop_first_to_come();
  /// The first entry that is not before the place.
  size_t position(const Place& place) const noexcept;
  size_t from(UA_DateTime time) const noexcept { return position({time, 0}); }
  size_t behind(UA_DateTime time) const noexcept { return position({time, UINT64_MAX}); }
  Span span(const UA_ReadRawModifiedDetails& details) const;
  Span forward(UA_DateTime start, UA_DateTime end, bool has_bounds) const;
  Span backward(UA_DateTime start, UA_DateTime end, bool has_bounds) const;

  const size_t most_;
  uint64_t last_number_ = 0;
  std::deque<Entry> entries_;
};

}  // namespace backplane::opcua
