// SPDX-License-Identifier: Apache-2.0
// What a watch of events wants: which fields, of which events (part 4, 7.22.3).
//
// Design notes. Read when the watch begins, without a session; names are made numbers in each
// session, whose namespaces may be others.
#pragma once

#include "address.hpp"
#include "values.hpp"

namespace backplane::opcua {

/// A field of an event by its browse path: "Severity", "1:Limit", "EnabledState/Id"; "@NodeId" is
/// the condition that it is about.
struct EventField {
  std::string name;
  Address address;
};

/// ["of_type", "i=2782"], [">=", "Severity", 500], ["and", CONDITION, CONDITION...].
struct EventCondition {
  UA_FilterOperator what{};
  std::optional<EventField> field;
  std::vector<Variant> values;
  std::optional<Address> type;             // of of_type
  std::vector<EventCondition> conditions;  // of and, or, not
};

struct EventOptions {
  using Filter = Native<UA_EventFilter, UA_TYPES_EVENTFILTER>;

  /// Nothing said is what every event has. Throws Error (INVALID_ARGUMENT).
  void set_select(const ValueView& value);
  void set_where(const ValueView& value);
  /// Throws Error (NOT_FOUND): the server has no such namespace.
  Filter filter(const std::vector<std::string>& namespaces) const;

  std::vector<EventField> select = standard_fields();
  std::optional<EventCondition> where;

 private:
  static std::vector<EventField> standard_fields();
};

/// The fields of an event by their names, and its time, into a message that borrows from `options`
/// and `event`: an array of variants, which the library gives one by one. Throws Error.
void fill_event(MessageDraft& message, const EventOptions& options, const UA_DataValue& event,
                DataTypes* types);

}  // namespace backplane::opcua
