// SPDX-License-Identifier: Apache-2.0
// The part of Server that answers a datagram. Design notes: server.hpp.
#include "error_map.hpp"
#include "server.hpp"

namespace backplane::coap {
namespace {

/// If-Match and If-None-Match (RFC 7252, 5.10.8).
bool precondition_holds(const Resource& resource, const coap_pdu_t* request) noexcept {
  bool asked = false;
  bool matched = false;
  coap_opt_iterator_t iterator;
  coap_option_iterator_init(request, &iterator, COAP_OPT_ALL);
  while (const coap_opt_t* option = coap_option_next(&iterator)) {
    if (iterator.number == COAP_OPTION_IF_NONE_MATCH) {
      return false;  // a declared resource exists
    }
    if (iterator.number == COAP_OPTION_IF_MATCH) {
      const Bytes wanted(coap_opt_value(option), coap_opt_length(option));
      const Bytes etag = resource.etag();
      asked = true;
      matched = matched || wanted.empty() ||
                std::equal(wanted.begin(), wanted.end(), etag.begin(), etag.end());
    }
    if (iterator.number > COAP_OPTION_IF_NONE_MATCH) {
      break;
    }
  }
  return !asked || matched;
}

}  // namespace

void Server::refuse(coap_pdu_t* response, coap_pdu_code_t code, std::string_view why) noexcept {
  refused_.add();
  coap_pdu_set_code(response, code);
  coap_add_data(response, why.size(), reinterpret_cast<const uint8_t*>(why.data()));
}

void Server::on_declared(Resource& resource, coap_session_t* session, const coap_pdu_t* request,
                         coap_pdu_t* response) {
  requests_.add();
  if (coap_pdu_get_code(request) == COAP_REQUEST_CODE_GET) {
    get(resource, session, request, response);
  } else if (Taken* const taken = begin(session, request, response)) {
    taken->code = COAP_RESPONSE_CODE_INTERNAL_ERROR;  // when this throws
    put(resource, session, *taken, request, response);
    taken->code = coap_pdu_get_code(response);  // still empty: it is held
  }
}

/// The entry of a request that is new; none when the response is a copy's, or a refusal.
Taken* Server::begin(coap_session_t* session, const coap_pdu_t* request, coap_pdu_t* response) {
  Peer& peer = peer_of(session);
  const coap_mid_t mid = coap_pdu_get_mid(request);
  const Token token(coap_pdu_get_token(request));
  const int64_t now = monotonic_ns();
  if (const Taken* const known = peer.find(mid, token, now)) {
    copies_.add();
    // A copy of a non-confirmable request gets nothing (RFC 7252, 4.3), an early one an
    // acknowledgement again.
    if (coap_pdu_get_type(request) == COAP_MESSAGE_CON && known->code != COAP_EMPTY_CODE) {
      Answer plain;
      plain.code = known->code;
      write_answer(response, known->answer ? *known->answer : plain,
                   wanted_block(request, options_.szx), known->block1);
    }
    return nullptr;
  }
  Taken* const taken = draining_ || held_.is_full()
                           ? nullptr
                           : peer.take(mid, token, coap_pdu_get_type(request), now);
  if (taken == nullptr) {
    refuse(response, COAP_RESPONSE_CODE_SERVICE_UNAVAILABLE,
           draining_ ? "stopping" : "too many requests wait for their answer");
  }
  return taken;
}

void Server::get(Resource& resource, coap_session_t* session, const coap_pdu_t* request,
                 coap_pdu_t* response) {
  auto observer = Observers::Answer::kNone;
  if (resource.options().observable) {
    const size_t before = observers_.count();
    observer = observers_.look_at(peer_of(session), &resource, request);
    if (observers_.count() != before) {
      observers_gauge_.set(static_cast<int64_t>(observers_.count()));
    }
  }
  if (observer == Observers::Answer::kTooMany) {
    refuse(response, COAP_RESPONSE_CODE_SERVICE_UNAVAILABLE, "too many observers");
    return;
  }
  const bool may_fail = observer != Observers::Answer::kKnown;
  const auto accept = option_uint(request, COAP_OPTION_ACCEPT);
  if (may_fail && accept && resource.format() != kNoFormat && *accept != resource.format()) {
    refuse(response, COAP_RESPONSE_CODE_NOT_ACCEPTABLE, "");
    return;
  }
  const Wanted wanted = wanted_block(request, options_.szx);
  const auto known = option_bytes(request, COAP_OPTION_ETAG);
  const Bytes etag = resource.etag();
  const bool is_valid = known && wanted.number == 0 &&
                        std::equal(known->begin(), known->end(), etag.begin(), etag.end());
  bool fits = add_option(response, COAP_OPTION_ETAG, etag);
  coap_pdu_set_code(response, is_valid ? COAP_RESPONSE_CODE_VALID : COAP_RESPONSE_CODE_CONTENT);
  if (!is_valid && resource.format() != kNoFormat) {
    fits = fits && add_uint_option(response, COAP_OPTION_CONTENT_FORMAT, resource.format());
  }
  if (const auto max_age = resource.max_age()) {
    fits = fits && add_uint_option(response, COAP_OPTION_MAXAGE, *max_age);
  }
  if (!is_valid) {
    fits = fits && add_body(response, COAP_OPTION_BLOCK2, resource.payload(),
                            may_fail ? wanted.number : 0, wanted.szx, wanted.asked);
  }
  if (!fits && may_fail) {
    coap_pdu_set_code(response, wanted.number > 0 ? COAP_RESPONSE_CODE_BAD_REQUEST
                                                  : COAP_RESPONSE_CODE_INTERNAL_ERROR);
  }
}

bool Server::receive(coap_session_t* session, Taken& taken, const coap_pdu_t* request,
                     coap_pdu_t* response, Incoming& out) {
  const bool in_blocks = block_option(request, COAP_OPTION_BLOCK1).has_value();
  const size_t evicted =
      inbox_.take(request, in_blocks ? body_key(session, request) : std::string(), out);
  if (evicted > 0) {
    evicted_.add(evicted);
  }
  taken.block1 = out.block1;
  if (out.code == COAP_EMPTY_CODE) {
    return true;
  }
  if (out.code == COAP_RESPONSE_CODE_CONTINUE) {
    coap_pdu_set_code(response, out.code);
  } else {
    if (out.size1) {
      static_cast<void>(add_uint_option(response, COAP_OPTION_SIZE1, *out.size1));
    }
    refuse(response, out.code, "");
  }
  if (out.block1) {
    static_cast<void>(add_uint_option(response, COAP_OPTION_BLOCK1, *out.block1));
  }
  return false;
}

void Server::hold(uint64_t id, coap_session_t* session, const Taken& taken,
                  const coap_pdu_t* request, const Wanted& wanted, std::string key) {
  Asked asked;
  asked.session = session;
  asked.type = coap_pdu_get_type(request);
  asked.mid = coap_pdu_get_mid(request);
  asked.token = taken.token;
  asked.wanted = wanted;
  asked.block1 = taken.block1;
  asked.body_key = std::move(key);
  held_.hold(id, std::move(asked));
}

void Server::put(Resource& resource, coap_session_t* session, Taken& taken,
                 const coap_pdu_t* request, coap_pdu_t* response) {
  Incoming body;
  if (!receive(session, taken, request, response, body)) {
    return;
  }
  if (!precondition_holds(resource, request)) {
    refuse(response, COAP_RESPONSE_CODE_PRECONDITION_FAILED, "");
    return;
  }
  const uint64_t id = next_id_++;
  const uint64_t outer = std::exchange(publishing_, id);
  settled_inside_.reset();
  ++unsettled_;
  Status status;
  try {
    status = resource.put(body.bytes, request,
                          [this, id](const Status& result) { settled(id, result); });
  } catch (...) {
    status = current_exception_status();
  }
  publishing_ = outer;
  if (status.is_error()) {
    --unsettled_;  // nothing was published
    refuse(response, code_of_status(status.code()), status.message());
    return;
  }
  coap_resource_notify_observers(resource.handle, nullptr);
  const auto result = std::exchange(settled_inside_, std::nullopt);
  if (!result) {
    hold(id, session, taken, request, Wanted(), std::string());
    return;
  }
  // UNAVAILABLE means that nobody watches, which is no reason to refuse a value.
  if (result->is_error() && result->code() != BP_UNAVAILABLE) {
    refuse(response, COAP_RESPONSE_CODE_SERVICE_UNAVAILABLE, result->message());
    return;
  }
  if (body.block1) {
    static_cast<void>(add_uint_option(response, COAP_OPTION_BLOCK1, *body.block1));
  }
  coap_pdu_set_code(response, COAP_RESPONSE_CODE_CHANGED);
}

void Server::on_other(coap_session_t* session, const coap_pdu_t* request, coap_pdu_t* response) {
  requests_.add();
  const std::string path = path_of(request);
  if (!served_.has(path)) {
    refuse(response, COAP_RESPONSE_CODE_NOT_FOUND, "");
    return;
  }
  if (Taken* const taken = begin(session, request, response)) {
    taken->code = COAP_RESPONSE_CODE_INTERNAL_ERROR;  // when this throws
    serve(path, session, *taken, request, response);
    taken->code = coap_pdu_get_code(response);
  }
}

void Server::serve(const std::string& path, coap_session_t* session, Taken& taken,
                   const coap_pdu_t* request, coap_pdu_t* response) {
  const Wanted wanted = wanted_block(request, options_.szx);
  const std::string key = body_key(session, request);
  if (wanted.number > 0) {
    if (const auto* const kept = answers_.find(key)) {
      write_answer(response, **kept, wanted, std::nullopt);
      return;
    }
    if (coap_pdu_get_code(request) != COAP_REQUEST_CODE_GET) {
      refuse(response, COAP_RESPONSE_CODE_INCOMPLETE, "the answer is not kept any more");
      return;
    }
  }
  Incoming body;
  if (!receive(session, taken, request, response, body)) {
    return;
  }
  const uint64_t id = next_id_++;
  const coap_address_t* const remote = coap_session_get_addr_remote(session);
  auto answer = served_.start(id, path, request, body.bytes,
                              remote != nullptr ? to_text(*remote) : std::string(),
                              peer_of(session).proof, options_.answer_timeout);
  if (!answer) {
    hold(id, session, taken, request, wanted, key);
    return;
  }
  auto shared = std::make_shared<const Answer>(*std::move(answer));
  write_answer(response, *shared, wanted, body.block1);
  keep_blocks(key, shared, wanted);
  taken.answer = std::move(shared);
}

void Server::keep_blocks(const std::string& key, const std::shared_ptr<const Answer>& answer,
                         const Wanted& wanted) {
  if (answer->body.size() <= block_size(wanted.szx)) {
    return;
  }
  size_t evicted = 0;
  answers_.at(key, &evicted) = answer;
  evicted_.add(evicted);
}

void Server::on_links(const coap_pdu_t* request, std::string_view query, coap_pdu_t* response) {
  requests_.add();
  Answer answer;
  answer.code = COAP_RESPONSE_CODE_CONTENT;
  answer.format = 40;
  answer.body = write_links(links(), query);
  write_answer(response, answer, wanted_block(request, options_.szx), std::nullopt);
}

}  // namespace backplane::coap
