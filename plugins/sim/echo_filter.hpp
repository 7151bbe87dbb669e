// SPDX-License-Identifier: Apache-2.0
// EchoFilter: tells the changes that this simulator made from those that somebody else made.
#pragma once

#include <backplane/sdk/value.hpp>

#include <charconv>
#include <deque>

namespace backplane::sim {

/// The number that a value is, or that its text is (42.5 as JSON, as it comes from CoAP or MQTT).
inline std::optional<double> to_number(ValueView value) {
  if (const auto number = value.get<double>()) {
    return number;
  }
  if (value.is_number()) {  // an integer that a double does not hold exactly
    return value.tag == BP_T_INT ? static_cast<double>(value.as.i)
                                 : static_cast<double>(value.as.u);
  }
  const auto payload = value.payload();
  if (!payload || payload->empty()) {
    return std::nullopt;
  }
  const char* begin = reinterpret_cast<const char*>(payload->data());
  double number = 0;
  const auto [end, error] = std::from_chars(begin, begin + payload->size(), number);
  const bool all = error == std::errc() && end == begin + payload->size();
  return all ? std::optional(number) : std::nullopt;
}

/// A watch of the target shows our own writes too, perhaps late, perhaps not all of them, in their
/// order. Not thread-safe.
class EchoFilter {
 public:
  /// Before the write begins: its echo may come inside.
  void wrote(double value) {
    if (written_.size() == kMost) {
      written_.pop_front();
    }
    written_.push_back(value);
  }
  /// Whether it is one of our latest values; older ones are not expected any more then.
  bool is_own(double value) {
    for (size_t i = 0; i < written_.size(); ++i) {
      if (same(written_[i], value)) {
        // The last one stays: some targets tell a value twice.
        written_.erase(written_.begin(), written_.begin() + static_cast<std::ptrdiff_t>(i));
        return true;
      }
    }
    return false;
  }

 private:
  static constexpr size_t kMost = 8;  // how many writes an echo may be late
  /// A target may keep the value as a float.
  static bool same(double a, double b) noexcept {
    return std::abs(a - b) <= 1e-6 * std::max(std::abs(a), std::abs(b));
  }
  std::deque<double> written_;
};

}  // namespace backplane::sim
