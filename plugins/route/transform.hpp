// SPDX-License-Identifier: Apache-2.0
// The steps that a value goes through on its way to a destination. Pure: no host, no clock; the two
// codecs are called by who asks begin() and encode_format().
#pragma once

#include "json_pointer.hpp"
#include <backplane/sdk/message.hpp>

#include <map>

namespace backplane::route {

enum class Decode : uint8_t { kAuto, kJson, kCbor, kNone };
enum class Encode : uint8_t { kNone, kJson, kCbor, kText };
enum class Convert : uint8_t { kNone, kNumber, kInteger, kString, kBoolean };

/// In the order in which they are done. Immutable once made.
struct Steps {
  Decode decode = Decode::kAuto;
  std::optional<JsonPointer> select;
  std::optional<double> scale;
  std::optional<double> offset;
  std::optional<OwnedMessage> constant;  // its body
  Convert convert = Convert::kNone;
  std::optional<double> deadband;
  std::chrono::nanoseconds heartbeat{0};  // 0: none
  Encode encode = Encode::kNone;

  /// Whether a step looks at the value; without one the body stays what it is, decoding and
  /// encoding apart.
  bool use_value() const noexcept {
    return select || scale || offset || convert != Convert::kNone || deadband;
  }
  /// Whether a message passes as it is, whatever it holds.
  bool are_none() const noexcept {
    return !use_value() && !constant && encode == Encode::kNone &&
           (decode == Decode::kAuto || decode == Decode::kNone);
  }
};

/// What is done with a message first.
struct Beginning {
  uint16_t decode =
      0;  // BP_FORMAT_JSON or BP_FORMAT_CBOR: a codec must parse the body, and gives the value
  bool verbatim =
      false;        // the body already is what the steps would make of it: nothing else is done
  ValueView value;  // otherwise: what goes to transform()
};
/// INVALID_ARGUMENT: the steps need a value, and nothing here can make one of the body.
Result<Beginning> begin(const Steps& steps, MessageView message);

/// Where a text that a step makes is kept.
using TextStore = std::string;

/// The value after select, scale, offset, constant and convert. Borrowed from `value`, the steps,
/// or `text`.
Result<ValueView> transform(const Steps& steps, ValueView value, TextStore& text);

/// The text of a scalar, or bytes that are UTF-8, as `convert = "string"` and `encode = "text"`
/// make it: borrowed from `value` or `text`.
Result<ValueView> to_string_value(ValueView value, TextStore& text);

/// BP_FORMAT_JSON or BP_FORMAT_CBOR: a codec must write the value; 0: none, since the step is
/// `text` or `none`.
uint16_t encode_format(const Steps& steps) noexcept;

bool is_utf8(std::string_view text) noexcept;

/// "application/json" of BP_FORMAT_JSON, likewise CBOR; else empty.
std::string_view media_type(uint16_t format) noexcept;

/// Report by exception: remembers what passed last, of each path that a source tells of.
class Deadband {
 public:
  /// With more paths than this all are forgotten, and pass again.
  static constexpr size_t kMostPaths = 65536;

  Deadband(std::optional<double> width, std::chrono::nanoseconds heartbeat) noexcept
      : width_(width), heartbeat_(heartbeat) {}

  /// Whether `value` passes at the monotonic time `now_ns`; then it is the last one.
  bool passes(ValueView value, int64_t now_ns, std::string_view path = {});
  /// The last one of this path did not arrive: the next passes.
  void forget(std::string_view path) noexcept {
    if (const auto at = last_.find(path); at != last_.end()) {
      last_.erase(at);
    }
  }
  bool needs_clock() const noexcept { return width_.has_value() && heartbeat_.count() > 0; }

 private:
  struct Last {
    OwnedMessage value;
    int64_t time_ns;
  };
  bool differs(ValueView value, ValueView last) const;

  std::optional<double> width_;
  std::chrono::nanoseconds heartbeat_;
  std::map<std::string, Last, std::less<>> last_;  // by path
};

}  // namespace backplane::route
