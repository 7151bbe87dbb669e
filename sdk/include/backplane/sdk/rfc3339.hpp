// SPDX-License-Identifier: Apache-2.0
// Times as text: RFC 3339, always UTC when written.
#pragma once

#include "value.hpp"

#include <array>
#include <cstdio>

namespace backplane {

namespace detail {

struct TimeUnit {
  int64_t per_second;
  int digits;  // of the fraction
};
/// Indexed by BP_TIME_*.
inline constexpr std::array<TimeUnit, 5> kTimeUnits = {
    {{1, 0}, {1'000, 3}, {1'000'000, 6}, {10'000'000, 7}, {1'000'000'000, 9}}};

/// Digits only, from `at` on; -1 when there are others.
inline int parse_digits(std::string_view text, size_t at, size_t n) noexcept {
  int number = 0;
  for (size_t i = at; i < at + n; ++i) {
    if (i >= text.size() || text[i] < '0' || text[i] > '9') {
      return -1;
    }
    number = number * 10 + (text[i] - '0');
  }
  return number;
}

/// "Z", "+02:00": seconds east of UTC.
inline std::optional<int64_t> parse_offset(std::string_view zone) noexcept {
  if (zone == "Z" || zone == "z") {
    return 0;
  }
  const int hours = parse_digits(zone, 1, 2);
  const int minutes = parse_digits(zone, 4, 2);
  if (zone.size() != 6 || (zone[0] != '+' && zone[0] != '-') || zone[3] != ':' || hours < 0 ||
      hours > 23 || minutes < 0 || minutes > 59) {
    return std::nullopt;
  }
  return (zone[0] == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
}

}  // namespace detail

/// "2026-03-01T12:00:00.250Z", with the digits of its unit: none for BP_TIME_S, 9 for BP_TIME_NS.
/// INVALID_ARGUMENT: no time; OUT_OF_RANGE: not within the years 0 to 9999.
inline Result<std::string> to_rfc3339(ValueView time) {
  if (time.tag != BP_T_TIME || time.aux >= detail::kTimeUnits.size()) {
    return Status(BP_INVALID_ARGUMENT, "expected a time, got ", time.type_name());
  }
  namespace chrono = std::chrono;
  const detail::TimeUnit unit = detail::kTimeUnits[time.aux];
  int64_t seconds = time.as.i / unit.per_second;
  int64_t fraction = time.as.i % unit.per_second;
  if (fraction < 0) {
    fraction += unit.per_second;
    --seconds;
  }
  constexpr int64_t kYear0 = -62'167'219'200;
  constexpr int64_t kYear10000 = 253'402'300'800;
  if (seconds < kYear0 || seconds >= kYear10000) {
    return Status(BP_OUT_OF_RANGE, "a time ", seconds,
                  " s from 1970 is outside of the years 0 to 9999, which RFC 3339 can write");
  }
  const chrono::sys_seconds at{chrono::seconds(seconds)};
  const auto day = chrono::floor<chrono::days>(at);
  const chrono::year_month_day date(day);
  const chrono::hh_mm_ss clock(at - day);
  char text[40];
  int length = std::snprintf(
      text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02d", static_cast<int>(date.year()),
      static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
      static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
      static_cast<int>(clock.seconds().count()));
  std::string out(text, static_cast<size_t>(length));
  if (unit.digits > 0) {
    length =
        std::snprintf(text, sizeof text, ".%0*lld", unit.digits, static_cast<long long>(fraction));
    out.append(text, static_cast<size_t>(length));
  }
  return out + 'Z';
}

/// A time in the coarsest unit that holds the digits which are written; nothing is rounded.
/// INVALID_ARGUMENT: no date and time of RFC 3339 (a leap second is none either: times here have
/// none); OUT_OF_RANGE: the unit does not reach that year.
inline Result<ValueView> from_rfc3339(std::string_view text) {
  namespace chrono = std::chrono;
  using detail::parse_digits;
  const Status wrong(BP_INVALID_ARGUMENT, "'", text.substr(0, 64),
                     "' is no time as in RFC 3339, such as 2026-03-01T12:00:00Z");
  const int year = parse_digits(text, 0, 4);
  const int month = parse_digits(text, 5, 2);
  const int day = parse_digits(text, 8, 2);
  const int hour = parse_digits(text, 11, 2);
  const int minute = parse_digits(text, 14, 2);
  const int second = parse_digits(text, 17, 2);
  if (year < 0 || month < 0 || day < 0 || hour < 0 || hour > 23 || minute < 0 || minute > 59 ||
      second < 0 || second > 59 || text[4] != '-' || text[7] != '-' ||
      (text[10] != 'T' && text[10] != 't' && text[10] != ' ') || text[13] != ':' ||
      text[16] != ':') {
    return wrong;
  }
  const chrono::year_month_day date(chrono::year(year), chrono::month(static_cast<unsigned>(month)),
                                    chrono::day(static_cast<unsigned>(day)));
  size_t end = 19;
  if (text.size() > end && text[end] == '.') {
    end = std::min(text.find_first_not_of("0123456789", end + 1), text.size());
  }
  const size_t digits = end > 19 ? end - 20 : 0;
  const auto offset = detail::parse_offset(text.substr(end));
  if (!date.ok() || !offset || digits > 9 || (end > 19 && digits == 0)) {
    return wrong;
  }
  ValueView out;
  out.tag = BP_T_TIME;
  while (static_cast<size_t>(detail::kTimeUnits[out.aux].digits) < digits) {
    ++out.aux;
  }
  const detail::TimeUnit unit = detail::kTimeUnits[out.aux];
  int64_t fraction = digits == 0 ? 0 : parse_digits(text, 20, digits);
  for (size_t i = digits; i < static_cast<size_t>(unit.digits); ++i) {
    fraction *= 10;
  }
  const chrono::sys_seconds at = chrono::sys_days(date) + chrono::hours(hour) +
                                 chrono::minutes(minute) + chrono::seconds(second - *offset);
  const int64_t seconds = at.time_since_epoch().count();
  if (__builtin_mul_overflow(seconds, unit.per_second, &out.as.i) ||
      __builtin_add_overflow(out.as.i, fraction, &out.as.i)) {
    return Status(BP_OUT_OF_RANGE, "'", text, "' is too far from 1970 for its ", digits,
                  " digits of a second");
  }
  return out;
}

}  // namespace backplane
