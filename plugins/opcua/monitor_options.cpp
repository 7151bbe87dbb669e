// SPDX-License-Identifier: Apache-2.0
#include "reversible.hpp"
#include "watches.hpp"
#include <backplane/sdk/options.hpp>

#include <charconv>

namespace backplane::opcua {
namespace {

template <class T>
T needed(std::string_view key, const ValueView& value, std::string_view expected) {
  const auto out = value.get<T>();
  if (!out) {
    throw Error(BP_INVALID_ARGUMENT, "option '", key, "': expected ", expected, ", got ",
                value.to_text(64));
  }
  return *out;
}

std::chrono::nanoseconds duration(std::string_view key, const ValueView& value) {
  if (const auto out = value.get<std::chrono::nanoseconds>()) {
    return *out;
  }
  return std::chrono::nanoseconds(needed<int64_t>(key, value, "nanoseconds"));
}

UA_DataChangeTrigger trigger(const ValueView& value) {
  const auto text = value.get<std::string_view>().value_or("");
  if (text == "status") return UA_DATACHANGETRIGGER_STATUS;
  if (text == "value") return UA_DATACHANGETRIGGER_STATUSVALUE;
  if (text == "timestamp") return UA_DATACHANGETRIGGER_STATUSVALUETIMESTAMP;
  throw Error(BP_INVALID_ARGUMENT, "option 'trigger': expected status, value or timestamp, got ",
              value.to_text(64));
}

/// 0.5, or "5%" of the variable's range.
void set_deadband(UA_DataChangeFilter& filter, const ValueView& value) {
  constexpr std::string_view kExpected = "a number that is not negative, or a text from 0% to 100%";
  double number = -1;
  double most = std::numeric_limits<double>::max();
  if (const auto text = value.get<std::string_view>()) {
    const char* const end = text->data() + text->size();
    const auto [rest, error] = std::from_chars(text->data(), end, number);
    if (error != std::errc() || std::string_view(rest, end) != "%") {
      number = -1;
    }
    most = 100;
    filter.deadbandType = UA_DEADBANDTYPE_PERCENT;
  } else {
    number = needed<double>("deadband", value, kExpected);
    filter.deadbandType = UA_DEADBANDTYPE_ABSOLUTE;
  }
  if (!(number >= 0 && number <= most)) {  // also what is not a number
    throw Error(BP_INVALID_ARGUMENT, "option 'deadband': expected ", kExpected, ", got ",
                value.to_text(64));
  }
  filter.deadbandValue = number;
}

/// That of a subscription.
std::chrono::nanoseconds publishing_time(std::string_view key, const ValueView& value) {
  const auto out = duration(key, value);
  if (out < std::chrono::nanoseconds(0) || out > MonitorOptions::kLongestPublishing) {
    throw Error(BP_OUT_OF_RANGE, "option '", key, "': expected 0 to ",
                std::chrono::nanoseconds(MonitorOptions::kLongestPublishing).count(),
                " nanoseconds, got ", value.to_text(64));
  }
  return out;
}

/// All of them; those of a list and of the past are read elsewhere.
ValueView known_options(MessageView in, const Address& address) {
  if (address.attribute == UA_ATTRIBUTEID_EVENTNOTIFIER) {
    return options_of(in, {"publishing_ns", "queue", "discard_oldest", "select", "where"});
  }
  return address.is_objects()
             ? options_of(in, {"publishing_ns", "queue", "discard_oldest", "sampling_ns",
                               "deadband", "trigger", "nodes"})
             : options_of(in, {"publishing_ns", "queue", "discard_oldest", "sampling_ns",
                               "deadband", "trigger", "start", "end"});
}

}  // namespace

MonitorOptions::MonitorOptions(MessageView in, const Address& address,
                               std::chrono::nanoseconds default_publishing)
    : is_reversible(opcua::is_reversible(in)), publishing(default_publishing) {
  filter.trigger = UA_DATACHANGETRIGGER_STATUSVALUE;
  if (address.attribute == UA_ATTRIBUTEID_EVENTNOTIFIER) {
    events = std::make_unique<EventOptions>();
  }
  for (const auto& [key, value] : known_options(in, address).entries()) {
    set(key.get<std::string_view>().value_or(""), value);
  }
}

void MonitorOptions::set(std::string_view name, const ValueView& value) {
  if (name == "publishing_ns") {
    publishing = publishing_time(name, value);
  } else if (name == "queue") {
    queue = needed<uint32_t>(name, value, "a number of values");
  } else if (name == "discard_oldest") {
    discard_oldest = needed<bool>(name, value, "true or false");
  } else if (name == "select") {
    events->set_select(value);
  } else if (name == "where") {
    events->set_where(value);
  } else if (name == "sampling_ns") {
    sampling_ms = static_cast<double>(duration(name, value).count()) / 1e6;
  } else if (name == "deadband") {
    set_deadband(filter, value);
    has_filter = true;
  } else if (name == "trigger") {
    filter.trigger = trigger(value);
    has_filter = true;
  }
}

}  // namespace backplane::opcua
