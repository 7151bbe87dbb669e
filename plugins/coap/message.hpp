// SPDX-License-Identifier: Apache-2.0
// Headers and options: what of a message travels as CoAP options, and what of a datagram becomes
// headers. The table of names is in message.cpp and in README.md.
#pragma once

#include "content_format.hpp"

#include <coap3/coap.h>

namespace backplane::coap {

/// Adds the options that the headers of an own request or answer ask for; Content-Format, Max-Age,
/// Uri-Path and blocks are the caller's. Headers that mean nothing in CoAP are passed over. Throws
/// Error (INVALID_ARGUMENT) for a value that does not fit its option.
void add_header_options(coap_pdu_t* pdu, MessageView message);

/// Whether add_header_options would add anything: most messages have nothing for it.
bool has_header_options(MessageView message) noexcept;

/// Adds the options of a received message as headers, borrowed from it. Addressing, Observe and
/// blocks are left out. `format` is what the payload is taken as, kNoFormat for nothing.
void add_option_headers(MessageBuilder& out, const coap_pdu_t* pdu, uint16_t format);

/// A received answer: its body as a value, its code as BP_H_STATUS, its options as headers. All
/// borrowed.
void fill_message(MessageBuilder& out, const coap_pdu_t* pdu, Bytes body);

/// The Content-Format option, or kNoFormat.
uint16_t format_option(const coap_pdu_t* pdu) noexcept;

/// CON unless BP_H_QOS is 0. Throws Error (INVALID_ARGUMENT) for 2 and above.
coap_pdu_type_t type_of(MessageView message);

/// The seconds of a Max-Age option for a message that is worth so long.
uint32_t max_age_of(int64_t expiry_ns) noexcept;

/// "POST" for the header BP_H_METHOD; 0 for an unknown name.
std::string_view method_name(coap_pdu_code_t code) noexcept;
coap_pdu_code_t method_of(std::string_view name) noexcept;

}  // namespace backplane::coap
