// SPDX-License-Identifier: Apache-2.0
#include "transform.hpp"

#include <backplane/sdk/rfc3339.hpp>

#include <boost/locale/utf.hpp>

#include <charconv>
#include <cmath>

namespace backplane::route {

namespace {

bool ends_with(std::string_view text, std::string_view end) noexcept {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

enum class Media : uint8_t { kNone, kJson, kCbor, kText, kOther };

/// What a content type says: "application/json", "application/senml+cbor; x=y".
Media media_of(MessageView message) {
  const auto type = message.header<std::string_view>(BP_H_CONTENT_TYPE);
  if (!type) {
    return Media::kNone;
  }
  std::string_view name = type->substr(0, type->find(';'));
  while (!name.empty() && name.back() == ' ') {
    name.remove_suffix(1);
  }
  if (ends_with(name, "/json") || ends_with(name, "+json")) {
    return Media::kJson;
  }
  if (ends_with(name, "/cbor") || ends_with(name, "+cbor")) {
    return Media::kCbor;
  }
  return name.substr(0, 5) == "text/" ? Media::kText : Media::kOther;
}

uint16_t format_of(Encode encode) noexcept {
  return encode == Encode::kJson ? BP_FORMAT_JSON : encode == Encode::kCbor ? BP_FORMAT_CBOR : 0;
}

Status cannot_decode(std::string_view what) {
  return Status(BP_INVALID_ARGUMENT, "decode: cannot make a value of ", what);
}

ValueView as_string(ValueView bytes) noexcept {
  bytes.tag = BP_T_STRING;
  bytes.aux = 0;
  return bytes;
}

Result<Beginning> begin_with_encoded(const Steps& steps, ValueView body) {
  if (!steps.use_value() && body.aux == format_of(steps.encode)) {
    return Beginning{0, true, body};
  }
  if (body.aux != BP_FORMAT_JSON && body.aux != BP_FORMAT_CBOR) {
    return cannot_decode(concat("format ", body.aux));
  }
  return Beginning{body.aux, false, {}};
}

Result<Beginning> begin_with_bytes(const Steps& steps, MessageView message) {
  uint16_t format = BP_FORMAT_JSON;
  switch (media_of(message)) {
    case Media::kText:
      return Beginning{0, false, as_string(message.body())};
    case Media::kOther:
      return cannot_decode(
          concat("the content type ", *message.header<std::string_view>(BP_H_CONTENT_TYPE)));
    case Media::kNone:
      if (!steps.use_value() && steps.encode == Encode::kText) {
        return Beginning{0, false, message.body()};
      }
      return Beginning{format, false, {}};
    case Media::kCbor:
      format = BP_FORMAT_CBOR;
      break;
    case Media::kJson:
      break;
  }
  const bool is_made = !steps.use_value() && format == format_of(steps.encode);
  return is_made ? Beginning{0, true, message.body()} : Beginning{format, false, {}};
}

/// Text that `decode = "auto"` left as it was.
std::string_view text_of(ValueView value) noexcept {
  return value.len == 0 ? std::string_view() : std::string_view(value.as.s, value.len);
}

template <class Number>
std::optional<Number> parse(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  return whole ? std::optional(number) : std::nullopt;
}

std::optional<double> number_of(ValueView value) {
  switch (value.tag) {
    case BP_T_INT:
      return static_cast<double>(value.as.i);
    case BP_T_UINT:
      return static_cast<double>(value.as.u);
    case BP_T_FLOAT:
      return value.as.f;
    case BP_T_STRING:
    case BP_T_BYTES:
      return parse<double>(text_of(value));
    default:
      return std::nullopt;
  }
}

Status wrong_type(std::string_view step, std::string_view wanted, ValueView value) {
  return Status(BP_INVALID_ARGUMENT, step, ": expected ", wanted, ", got ", value.type_name(), " ",
                value.to_text(80));
}

Result<ValueView> scaled(const Steps& steps, ValueView value) {
  const auto number = number_of(value);
  if (!number) {
    return wrong_type("scale and offset", "a number", value);
  }
  const double result = *number * steps.scale.value_or(1) + steps.offset.value_or(0);
  if (std::isfinite(*number) && !std::isfinite(result)) {
    return Status(BP_OUT_OF_RANGE, "scale and offset: ", value.to_text(80), " becomes too large");
  }
  return ValueView(result);
}

Result<ValueView> to_number(ValueView value) {
  if (value.tag == BP_T_BOOL) {
    return ValueView(value.as.u != 0 ? 1.0 : 0.0);
  }
  const auto number = number_of(value);
  return number ? Result<ValueView>(ValueView(*number))
                : wrong_type("convert to number", "a number", value);
}

Result<ValueView> to_integer(ValueView value) {
  if (value.tag == BP_T_BOOL) {
    return ValueView(static_cast<int64_t>(value.as.u != 0));
  }
  if (value.tag == BP_T_STRING || value.tag == BP_T_BYTES) {
    if (const auto exact = parse<int64_t>(text_of(value))) {
      return ValueView(*exact);
    }
  } else if (const auto exact = value.get<int64_t>()) {
    return ValueView(*exact);
  }
  if (value.tag == BP_T_UINT) {
    return Status(BP_OUT_OF_RANGE, "convert to integer: ", value.as.u, " needs more than 63 bits");
  }
  const auto number = number_of(value);
  if (!number) {
    return wrong_type("convert to integer", "a number", value);
  }
  const double rounded = std::round(*number);
  if (!(rounded >= -0x1p63 && rounded < 0x1p63)) {
    return Status(BP_OUT_OF_RANGE, "convert to integer: ", value.to_text(80),
                  " does not fit into 64 bits");
  }
  return ValueView(static_cast<int64_t>(rounded));
}

Result<ValueView> to_boolean(ValueView value) {
  if (value.tag == BP_T_BOOL) {
    return value;
  }
  if (value.tag == BP_T_STRING || value.tag == BP_T_BYTES) {
    const std::string_view text = text_of(value);
    if (text == "true" || text == "1") {
      return ValueView(true);
    }
    if (text == "false" || text == "0") {
      return ValueView(false);
    }
    return wrong_type("convert to boolean", R"("true", "false", "1" or "0")", value);
  }
  if (!value.is_number() || (value.tag == BP_T_FLOAT && std::isnan(value.as.f))) {
    return wrong_type("convert to boolean", "a boolean or a number", value);
  }
  return ValueView(*number_of(value) != 0);
}

Result<ValueView> converted(Convert convert, ValueView value, TextStore& text) {
  switch (convert) {
    case Convert::kNone:
      return value;
    case Convert::kNumber:
      return to_number(value);
    case Convert::kInteger:
      return to_integer(value);
    case Convert::kString:
      return to_string_value(value, text);
    case Convert::kBoolean:
      return to_boolean(value);
  }
  return value;
}

}  // namespace

Result<Beginning> begin(const Steps& steps, MessageView message) {
  const ValueView body = message.body();
  if (steps.constant) {
    return Beginning{};
  }
  if (steps.are_none()) {
    return Beginning{0, true, body};
  }
  if (steps.decode == Decode::kJson || steps.decode == Decode::kCbor) {
    const uint16_t format = steps.decode == Decode::kJson ? BP_FORMAT_JSON : BP_FORMAT_CBOR;
    return body.payload() ? Beginning{format, false, {}} : Beginning{0, false, body};
  }
  if (steps.decode == Decode::kAuto && body.tag == BP_T_ENCODED) {
    return begin_with_encoded(steps, body);
  }
  if (steps.decode == Decode::kAuto && body.tag == BP_T_BYTES) {
    return begin_with_bytes(steps, message);
  }
  return Beginning{0, false, body};
}

Result<ValueView> transform(const Steps& steps, ValueView value, TextStore& text) {
  if (steps.constant) {
    return converted(steps.convert, steps.constant->body(), text);
  }
  if (steps.select) {
    auto found = steps.select->find(value);
    if (!found) {
      return Status(BP_INVALID_ARGUMENT, "select: ", found.status().message());
    }
    value = *found;
  }
  if (steps.scale || steps.offset) {
    auto number = scaled(steps, value);
    if (!number) {
      return number;
    }
    value = *number;
  }
  return converted(steps.convert, value, text);
}

Result<ValueView> to_string_value(ValueView value, TextStore& text) {
  switch (value.tag) {
    case BP_T_STRING:
      value.aux = 0;
      return value;
    case BP_T_BYTES:
    case BP_T_ENCODED:
      if (!is_utf8(text_of(value))) {
        return Status(BP_INVALID_ARGUMENT, "text: ", value.len, " bytes that are not UTF-8");
      }
      return as_string(value);
    case BP_T_BOOL:
      return ValueView(value.as.u != 0 ? "true" : "false");
    case BP_T_INT:
    case BP_T_UINT:
    case BP_T_FLOAT: {
      char digits[32];
      char* end = digits;
      if (value.tag == BP_T_INT) {
        end = std::to_chars(digits, digits + sizeof digits, value.as.i).ptr;
      } else if (value.tag == BP_T_UINT) {
        end = std::to_chars(digits, digits + sizeof digits, value.as.u).ptr;
      } else if (value.aux == 32) {
        end = std::to_chars(digits, digits + sizeof digits, static_cast<float>(value.as.f)).ptr;
      } else {
        end = std::to_chars(digits, digits + sizeof digits, value.as.f).ptr;
      }
      text.assign(digits, end);
      return ValueView(text);
    }
    case BP_T_TIME: {
      auto time = to_rfc3339(value);
      if (!time) {
        return time.status();
      }
      text = *std::move(time);
      return ValueView(text);
    }
    default:
      return wrong_type("text", "a scalar", value);
  }
}

uint16_t encode_format(const Steps& steps) noexcept { return format_of(steps.encode); }

bool is_utf8(std::string_view text) noexcept {
  for (const char* at = text.data(); at != text.data() + text.size();) {
    const auto point = boost::locale::utf::utf_traits<char>::decode(at, text.data() + text.size());
    if (!boost::locale::utf::is_valid_codepoint(point)) {
      return false;
    }
  }
  return true;
}

std::string_view media_type(uint16_t format) noexcept {
  return format == BP_FORMAT_JSON   ? "application/json"
         : format == BP_FORMAT_CBOR ? "application/cbor"
                                    : std::string_view();
}

bool Deadband::passes(ValueView value, int64_t now_ns, std::string_view path) {
  if (!width_) {
    return true;
  }
  const auto at = last_.find(path);
  if (at == last_.end()) {
    if (last_.size() == kMostPaths) {
      last_.clear();
    }
    last_.emplace(path, Last{OwnedMessage(value), now_ns});
    return true;
  }
  Last& last = at->second;
  const bool beat = heartbeat_.count() > 0 && now_ns - last.time_ns >= heartbeat_.count();
  if (!beat && !differs(value, last.value.body())) {
    return false;
  }
  last = {OwnedMessage(value), now_ns};
  return true;
}

bool Deadband::differs(ValueView value, ValueView last) const {
  if (!value.is_number() || !last.is_number()) {
    return !(value == last);
  }
  const double a = *number_of(value);
  const double b = *number_of(last);
  if (std::isnan(a) || std::isnan(b)) {
    return std::isnan(a) != std::isnan(b);
  }
  return a != b && !(std::abs(a - b) <= *width_);
}

}  // namespace backplane::route
