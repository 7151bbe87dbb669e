// SPDX-License-Identifier: Apache-2.0
#include "message.hpp"

#include "block.hpp"
#include "error_map.hpp"

#include <algorithm>
#include <charconv>

namespace backplane::coap {
namespace {

enum class Kind { kOpaque, kString, kUint, kEmpty, kFormat };

struct Row {
  std::string_view name;
  coap_option_num_t number;
  Kind kind;
};

constexpr Row kRows[] = {
    {"accept", COAP_OPTION_ACCEPT, Kind::kFormat},
    {"if-match", COAP_OPTION_IF_MATCH, Kind::kOpaque},
    {"if-none-match", COAP_OPTION_IF_NONE_MATCH, Kind::kEmpty},
    {"uri-query", COAP_OPTION_URI_QUERY, Kind::kString},
    {"location-path", COAP_OPTION_LOCATION_PATH, Kind::kString},
    {"location-query", COAP_OPTION_LOCATION_QUERY, Kind::kString},
    {"hop-limit", COAP_OPTION_HOP_LIMIT, Kind::kUint},
    {"echo", COAP_OPTION_ECHO, Kind::kOpaque},
    {"no-response", COAP_OPTION_NORESPONSE, Kind::kUint},
    {"request-tag", COAP_OPTION_RTAG, Kind::kOpaque},
};

// Addressing, transfer and what has a header id of its own.
constexpr coap_option_num_t kHandled[] = {
    COAP_OPTION_URI_HOST, COAP_OPTION_ETAG,   COAP_OPTION_OBSERVE, COAP_OPTION_URI_PORT,
    COAP_OPTION_URI_PATH, COAP_OPTION_MAXAGE, COAP_OPTION_BLOCK1,  COAP_OPTION_CONTENT_FORMAT,
    COAP_OPTION_BLOCK2,   COAP_OPTION_SIZE1,  COAP_OPTION_SIZE2,
};
bool is_handled(coap_option_num_t number) noexcept {
  return std::find(std::begin(kHandled), std::end(kHandled), number) != std::end(kHandled);
}

constexpr struct {
  std::string_view name;
  coap_pdu_code_t code;
} kMethods[] = {
    {"GET", COAP_REQUEST_CODE_GET},       {"POST", COAP_REQUEST_CODE_POST},
    {"PUT", COAP_REQUEST_CODE_PUT},       {"DELETE", COAP_REQUEST_CODE_DELETE},
    {"FETCH", COAP_REQUEST_CODE_FETCH},   {"PATCH", COAP_REQUEST_CODE_PATCH},
    {"iPATCH", COAP_REQUEST_CODE_IPATCH},
};

/// The option that a header of the wire names: a row, or a bare number.
std::optional<Row> option_named(const bp_value& key) noexcept {
  if (key.tag != BP_T_STRING) {
    return std::nullopt;
  }
  const std::string_view name(key.as.s, key.len);
  for (const Row& row : kRows) {
    if (row.name == name) {
      return row;
    }
  }
  uint16_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end != name.data() + name.size() || is_handled(number)) {
    return std::nullopt;
  }
  return Row{name, number, Kind::kOpaque};
}

/// The number of an option: a registered media type's, a decimal text's, or a number itself.
std::optional<uint32_t> number_of(Kind kind, ValueView value) {
  const auto text = value.get<std::string_view>();
  if (!text) {
    return value.get<uint32_t>();
  }
  if (kind == Kind::kFormat) {
    return format_of(*text);
  }
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number);
  return error == std::errc() && end == text->data() + text->size() ? std::optional(number)
                                                                    : std::nullopt;
}

void add(coap_pdu_t* pdu, const Row& row, ValueView value) {
  const auto refuse = [&] {
    return Error(BP_INVALID_ARGUMENT, "header '", row.name, "': ", value.to_text(),
                 " does not fit this CoAP option");
  };
  bool done = false;
  if (row.kind == Kind::kEmpty) {
    done = value.tag == BP_T_BOOL && value.as.u == 0 ? true : add_option(pdu, row.number, Bytes());
  } else if (row.kind == Kind::kFormat || row.kind == Kind::kUint) {
    const auto number = number_of(row.kind, value);
    if (!number) {
      throw refuse();
    }
    done = add_uint_option(pdu, row.number, *number);
  } else if (const auto bytes = value.payload()) {
    done = add_option(pdu, row.number,
                      Bytes(reinterpret_cast<const uint8_t*>(bytes->data()), bytes->size()));
  } else if (const auto number = value.get<uint32_t>()) {
    done = add_uint_option(pdu, row.number, *number);
  } else {
    throw refuse();
  }
  if (!done) {
    throw Error(BP_INVALID_ARGUMENT, "header '", row.name,
                "': the option stands twice, or does not fit into the datagram");
  }
}

}  // namespace

bool has_header_options(MessageView message) noexcept {
  return std::any_of(message.headers().begin(), message.headers().end(), [](const bp_pair& header) {
    return header.key.tag == BP_T_STRING ||
           (header.key.tag == BP_T_UINT && header.key.as.u == BP_H_ETAG);
  });
}

void add_header_options(coap_pdu_t* pdu, MessageView message) {
  for (const bp_pair& header : message.headers()) {
    if (header.key.tag == BP_T_UINT && header.key.as.u == BP_H_ETAG) {
      add(pdu, {"etag", COAP_OPTION_ETAG, Kind::kOpaque}, header.val);
    } else if (const auto row = option_named(header.key)) {
      add(pdu, *row, header.val);
    }
  }
}

void add_option_headers(MessageBuilder& out, const coap_pdu_t* pdu, uint16_t format) {
  if (format != kNoFormat) {
    FormatScratch scratch;
    const std::string_view type = media_type_of(format, scratch);
    out.header(BP_H_CONTENT_TYPE,
               type.data() == scratch.data() ? out.arena().copy(type) : ValueView(type));
  }
  coap_opt_iterator_t iterator;
  coap_option_iterator_init(pdu, &iterator, COAP_OPT_ALL);
  while (const coap_opt_t* option = coap_option_next(&iterator)) {
    const coap_option_num_t number = iterator.number;
    const Bytes bytes(coap_opt_value(option), coap_opt_length(option));
    const ValueView opaque(std::as_bytes(bytes));
    if (number == COAP_OPTION_ETAG) {
      out.header(BP_H_ETAG, opaque);
    } else if (number == COAP_OPTION_MAXAGE) {
      out.header(BP_H_EXPIRY_NS, std::chrono::nanoseconds(std::chrono::seconds(
                                     coap_decode_var_bytes(bytes.data(), bytes.size()))));
    } else if (!is_handled(number)) {
      const Row* const row =
          std::find_if(std::begin(kRows), std::end(kRows),
                       [number](const Row& known) { return known.number == number; });
      if (row == std::end(kRows)) {
        const std::string name = std::to_string(number);
        out.header(std::string_view(out.arena().copy(name).as.s, name.size()), opaque);
        continue;
      }
      switch (row->kind) {
        case Kind::kOpaque:
          out.header(row->name, opaque);
          break;
        case Kind::kString:
          out.header(row->name, value_of(bytes, kTextPlain));
          break;
        case Kind::kUint:
          out.header(row->name, coap_decode_var_bytes(bytes.data(), bytes.size()));
          break;
        case Kind::kEmpty:
          out.header(row->name, true);
          break;
        case Kind::kFormat: {
          FormatScratch scratch;
          const auto value = coap_decode_var_bytes(bytes.data(), bytes.size());
          out.header(row->name,
                     out.arena().copy(media_type_of(static_cast<uint16_t>(value), scratch)));
          break;
        }
      }
    }
  }
}

void fill_message(MessageBuilder& out, const coap_pdu_t* pdu, Bytes body) {
  const uint16_t format = format_option(pdu);
  if (!body.empty() || format != kNoFormat) {
    out.body(value_of(body, format));
  }
  out.header(BP_H_STATUS, static_cast<uint32_t>(decimal_of(coap_pdu_get_code(pdu))));
  add_option_headers(out, pdu, format);
}

uint16_t format_option(const coap_pdu_t* pdu) noexcept {
  const auto number = option_uint(pdu, COAP_OPTION_CONTENT_FORMAT);
  return number && *number < kNoFormat ? static_cast<uint16_t>(*number) : kNoFormat;
}

coap_pdu_type_t type_of(MessageView message) {
  const auto qos = message.header<uint32_t>(BP_H_QOS).value_or(1);
  if (qos > 1) {
    throw Error(BP_INVALID_ARGUMENT, "QoS ", qos,
                ": CoAP has 0 (non-confirmable) and 1 (confirmable)");
  }
  return qos == 0 ? COAP_MESSAGE_NON : COAP_MESSAGE_CON;
}

uint32_t max_age_of(int64_t expiry_ns) noexcept {
  constexpr int64_t kSecond = 1'000'000'000;
  return static_cast<uint32_t>(std::clamp<int64_t>(expiry_ns / kSecond, 0, UINT32_MAX));
}

std::string_view method_name(coap_pdu_code_t code) noexcept {
  for (const auto& method : kMethods) {
    if (method.code == code) {
      return method.name;
    }
  }
  return "";
}

coap_pdu_code_t method_of(std::string_view name) noexcept {
  for (const auto& method : kMethods) {
    if (method.name == name) {
      return method.code;
    }
  }
  return COAP_EMPTY_CODE;
}

}  // namespace backplane::coap
