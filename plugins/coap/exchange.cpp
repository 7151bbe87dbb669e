// SPDX-License-Identifier: Apache-2.0
#include "exchange.hpp"

#include "client.hpp"

namespace backplane::coap {
namespace {

std::string etag_of(const coap_pdu_t* pdu) {
  return std::string(as_text(option_bytes(pdu, COAP_OPTION_ETAG).value_or(Bytes())));
}

}  // namespace

Status Exchange::fill(coap_pdu_t* pdu) {
  const unsigned szx = szx_.value_or(client_.options().szx);
  bool fits = true;
  for (const std::string& segment : target_->segments) {
    fits = fits && add_option(pdu, COAP_OPTION_URI_PATH, segment);
  }
  if (payload_.format != kNoFormat) {
    fits = fits && add_uint_option(pdu, COAP_OPTION_CONTENT_FORMAT, payload_.format);
  }
  for (const std::string& query : target_->queries) {
    fits = fits && add_option(pdu, COAP_OPTION_URI_QUERY, query);
  }
  if (has_header_options(headers_)) {
    add_header_options(pdu, headers_);
  }
  if (wants_block2_) {
    fits = fits && add_uint_option(pdu, COAP_OPTION_BLOCK2, block_value(answer_block_, false, szx));
  } else {
    fits = fits && add_body(pdu, COAP_OPTION_BLOCK1, payload_.bytes, request_block_, szx, false);
  }
  return fits ? Status::ok()
              : Status(BP_INVALID_ARGUMENT, "'", target_->text,
                       "': the request's options do not fit into a datagram");
}

Status Exchange::send() {
  const auto self = shared_from_this();
  Status status;
  for (int tries = 0; tries < kSends; ++tries) {
    status = send_once();
    if (status.code() != BP_UNAVAILABLE) {
      break;
    }
  }
  return status;
}

Status Exchange::send_once() {
  client_.forget(*this);  // each block has a token of its own
  Pdu pdu(client_.new_request(*this, type_, method_));
  if (!pdu) {
    return Status(BP_RESOURCE_EXHAUSTED, "no memory for a request");
  }
  Status status;
  try {
    status = fill(pdu.get());
  } catch (...) {
    status = current_exception_status();
  }
  if (status.is_error()) {
    client_.forget(*this);
    return status;
  }
  return client_.send(*this, std::move(pdu));
}

void Exchange::resend() {
  request_block_ = answer_block_ = 0;
  wants_block2_ = false;
  body_ = Assembly();
  go_on();
}

void Exchange::go_on() {
  if (const Status status = send(); status.is_error()) {
    finish(status, nullptr, Bytes());
  }
}

void Exchange::lost(const Status& status) { finish(status, nullptr, Bytes()); }

void Exchange::continue_after(Assembly begun, unsigned szx, std::optional<Bytes> etag) {
  body_ = std::move(begun);
  szx_ = szx;
  answer_block_ = body_.next_number(szx);
  wants_block2_ = true;
  if (etag) {
    etag_.assign(reinterpret_cast<const char*>(etag->data()), etag->size());
  }
}

void Exchange::response(const coap_pdu_t* pdu) {
  const coap_pdu_code_t code = coap_pdu_get_code(pdu);
  const bool is_of_request =
      code == COAP_RESPONSE_CODE_CONTINUE || code == COAP_RESPONSE_CODE_REQUEST_TOO_LARGE;
  const auto block1 = is_of_request ? block_option(pdu, COAP_OPTION_BLOCK1) : std::nullopt;
  const unsigned szx = szx_.value_or(client_.options().szx);
  if (block1 && code == COAP_RESPONSE_CODE_CONTINUE) {
    next_request_block(*block1);
    return;
  }
  if (block1 && code == COAP_RESPONSE_CODE_REQUEST_TOO_LARGE && request_block_ == 0 &&
      block1->szx < szx) {
    szx_ = block1->szx;  // the peer takes smaller blocks (RFC 7959, 2.9.3)
    go_on();
    return;
  }
  const auto block2 = block_option(pdu, COAP_OPTION_BLOCK2);
  if (block2 && COAP_RESPONSE_CLASS(code) == 2) {
    if (!next_answer_block(pdu, *block2)) {
      return;
    }
    const Assembly whole = std::move(body_);
    finish(Status::ok(), pdu, whole.body());
    return;
  }
  const Bytes body = payload_of(pdu);
  if (body.size() > client_.options().max_body) {
    finish(Status(BP_RESOURCE_EXHAUSTED, "the answer is longer than 'max_body'"), nullptr, Bytes());
    return;
  }
  finish(Status::ok(), pdu, body);
}

void Exchange::next_request_block(const coap_block_t& answered) {
  const unsigned szx = szx_.value_or(client_.options().szx);
  if (answered.num != request_block_ ||
      block_size(szx) * (size_t{request_block_} + 1) >= payload_.bytes.size()) {
    finish(Status(BP_ABORTED, "the peer asks for a block that there is not"), nullptr, Bytes());
    return;
  }
  const unsigned smaller = std::min<unsigned>(answered.szx, szx);
  request_block_ = (request_block_ + 1) << (szx - smaller);
  szx_ = smaller;
  go_on();
}

/// True: the body is complete.
bool Exchange::next_answer_block(const coap_pdu_t* pdu, const coap_block_t& block) {
  constexpr unsigned kRestarts = 3;
  std::string etag = etag_of(pdu);
  if (block.num == 0) {
    etag_ = std::move(etag);
  } else if (etag != etag_) {  // it has changed between two blocks: once more from the start
    if (++restarts_ > kRestarts) {
      finish(Status(BP_ABORTED, "the resource changed again and again while it was read"), nullptr,
             Bytes());
    } else {
      resend();
    }
    return false;
  }
  switch (body_.add(block, payload_of(pdu), client_.options().max_body)) {
    case Assembly::Step::kComplete:
      return true;
    case Assembly::Step::kMore:
      szx_ = block.szx;
      answer_block_ = body_.next_number(block.szx);
      wants_block2_ = true;
      go_on();
      return false;
    case Assembly::Step::kTooLarge:
      finish(Status(BP_RESOURCE_EXHAUSTED, "the answer is longer than 'max_body'"), nullptr,
             Bytes());
      return false;
    default:
      finish(Status(BP_ABORTED, "the peer sent a block that does not follow the last one"), nullptr,
             Bytes());
      return false;
  }
}

void Exchange::finish(const Status& status, const coap_pdu_t* pdu, Bytes body) {
  const auto self = shared_from_this();  // the client's share may be the last one
  client_.forget(*this);
  finished(status, pdu, body);
}

}  // namespace backplane::coap
