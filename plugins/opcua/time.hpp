// SPDX-License-Identifier: Apache-2.0
// OPC UA counts time in 100 ns since 1601, the ABI since 1970.
#pragma once

#include <backplane/sdk/value.hpp>

#include <open62541/types.h>
#include <optional>

namespace backplane::opcua {

// Modulo 2^64, so that every number comes back as it was, also one that stands for "never".
inline int64_t since_1970(UA_DateTime time) noexcept {
  return static_cast<int64_t>(static_cast<uint64_t>(time) -
                              static_cast<uint64_t>(UA_DATETIME_UNIX_EPOCH));
}
inline UA_DateTime since_1601(int64_t time) noexcept {
  return static_cast<UA_DateTime>(static_cast<uint64_t>(time) +
                                  static_cast<uint64_t>(UA_DATETIME_UNIX_EPOCH));
}
/// Nothing outside of 1677 to 2262, which 64 bits of nanoseconds do not hold.
inline std::optional<int64_t> nanoseconds_since_1970(UA_DateTime time) noexcept {
  int64_t out = 0;
  if (__builtin_mul_overflow(since_1970(time), int64_t{100}, &out) || out == INT64_MIN) {
    return std::nullopt;
  }
  return out;
}
inline ValueView time_value(UA_DateTime time) noexcept {
  bp_value out{};
  out.tag = BP_T_TIME;
  out.aux = BP_TIME_100NS;
  out.as.i = since_1970(time);
  return out;
}
/// Of a TIME of any unit; nothing when it is none, or too far away.
inline std::optional<UA_DateTime> to_date_time(const bp_value& value) noexcept {
  if (value.tag != BP_T_TIME) {
    return std::nullopt;
  }
  int64_t ticks = value.as.i;
  switch (value.aux) {
    case BP_TIME_100NS:
      return since_1601(ticks);
    case BP_TIME_NS:
      return since_1601(ticks / 100 - (ticks % 100 < 0 ? 1 : 0));
    default: {
      const int64_t unit = value.aux == BP_TIME_S    ? 10'000'000
                           : value.aux == BP_TIME_MS ? 10'000
                                                     : 10;
      if (__builtin_mul_overflow(ticks, unit, &ticks)) {
        return std::nullopt;
      }
      return since_1601(ticks);
    }
  }
}
inline ValueView status_value(UA_StatusCode status) noexcept {
  bp_value out{};
  out.tag = BP_T_UINT;
  out.aux = BP_UINT_STATUS;
  out.as.u = status;
  return out;
}

}  // namespace backplane::opcua
