// SPDX-License-Identifier: Apache-2.0
#include "client.hpp"

#include "error_map.hpp"
#include "socket.hpp"

#include <algorithm>

namespace backplane::coap {
namespace {

constexpr auto kTick = std::chrono::seconds(1);
constexpr unsigned kPingPatienceSeconds = 10;

uint64_t token_of(coap_bin_const_t token) noexcept {
  uint64_t out = 0;
  std::memcpy(&out, token.s, std::min(token.length, sizeof out));
  return out;
}

/// A copy with the same message id and token.
Pdu same_message(coap_session_t* session, const coap_pdu_t* pdu) {
  const coap_bin_const_t token = coap_pdu_get_token(pdu);
  Pdu copy(coap_pdu_duplicate(pdu, session, token.length, token.s, nullptr));
  const Bytes data = payload_of(pdu);
  if (!copy || (!data.empty() && coap_add_data(copy.get(), data.size(), data.data()) == 0)) {
    throw std::bad_alloc();
  }
  coap_pdu_set_mid(copy.get(), coap_pdu_get_mid(pdu));
  return copy;
}

unsigned whole_seconds(std::chrono::nanoseconds time) noexcept {
  return static_cast<unsigned>(std::chrono::ceil<std::chrono::seconds>(time).count());
}

}  // namespace

Client::Client(Stack& stack, const Options& options, const Config& config)
    : stack_(stack),
      options_(options),
      authority_(parse_authority(config.string("url"), "url")),
      is_numeric_(address_of(authority_.host, authority_.port)),
      resolver_(stack.host()),
      reconnect_(stack.host(), [this] { attempt(); }),
      ticker_(stack.host(), [this] { tick(); }),
      requests_(stack.host().counter("coap_sent_requests_total")),
      timeouts_(stack.host().counter("coap_request_timeouts_total")),
      unexpected_(stack.host().counter("coap_unexpected_responses_total")),
      lost_notifications_(stack.host().counter("coap_lost_notifications_total")) {}

Client::~Client() = default;

void Client::start() {
  if (is_numeric_) {
    addresses_ = {*address_of(authority_.host, authority_.port)};
    try {
      use_address();
    } catch (const Error&) {
      session_.reset();  // no network yet: the first try says so
    }
  }
  reconnect_.start();
  static_cast<void>(ticker_.after(kTick));
}

// ---- whether the peer is there ----

void Client::attempt() {
  trying_ = true;
  if (session_ && !ask_again_) {
    probe();
  } else if (!resolver_.is_busy()) {
    resolver_.resolve(authority_.host, [this](const Resolver::Answer& found) {
      if (stopping_) {
        check_stopped();
      } else if (found.is_ok()) {
        connect(*found);
      } else {
        for (const auto& exchange : std::exchange(unsent_, {})) {
          exchange->lost(found.status());
        }
        failed(found.status().message());
      }
    });
  }
}

void Client::connect(const std::vector<std::string>& hosts) {
  std::vector<coap_address_t> addresses;
  for (const std::string& host : hosts) {
    if (const auto address = address_of(host, authority_.port)) {
      addresses.push_back(*address);
    }
  }
  const bool is_same =
      session_ &&
      std::any_of(addresses.begin(), addresses.end(), [this](const coap_address_t& one) {
        return coap_address_equals(&one, &addresses_.at(address_)) != 0;
      });
  if (!is_same) {
    addresses_ = addresses;
    address_ = 0;
    try {
      use_address();
    } catch (const Error& error) {
      session_.reset();
      failed(error.status().message());
      return;
    }
    resend_all();
  }
  ask_again_ = false;
  probe();
}

/// To another address: requests that wait, and observations, which the peer there knows nothing of.
void Client::resend_all() {
  for (const auto& receiver : receivers([](const Receiver&) { return true; })) {
    receiver->resend();
  }
}

/// Asks whether the peer is there.
void Client::probe() {
  flush_unsent();
  if (ping_ == COAP_INVALID_MID) {
    ping();
  } else if (receivers([](const Receiver& r) { return r.is_waiting; }).empty()) {
    drop_messages();  // the last ping, which is sent more and more rarely
    ping();
  } else {
    ping_due_ = true;
    ping_waited_s_ = 0;
  }
}

void Client::flush_unsent() {
  for (const auto& exchange : std::exchange(unsent_, {})) {
    exchange->resend();
  }
}

void Client::close_session() noexcept {
  stack_.unwatch();
  stack_.forget_drops_of_peer();
  session_.reset();
}

void Client::use_address() {
  const Stack::Entry entry(stack_);
  drop_messages();
  close_session();
  const coap_address_t& address = addresses_.at(address_);
  session_.reset(coap_new_client_session(stack_.context(), nullptr, &address, COAP_PROTO_UDP));
  stack_.watch();
  if (!session_) {
    throw Error(BP_UNAVAILABLE, "no socket to '", authority_.text,
                "': is there a route to that network?");
  }
  options_.apply(session_.get());
  stack_.count_drops(find_socket(coap_context_get_coap_fd(stack_.context()), nullptr, &address),
                     true);
}

/// True: there is another address, and what was being waited for is on its way there.
bool Client::try_next_address() {
  if (answered_ || addresses_.size() < 2) {
    return false;
  }
  address_ = (address_ + 1) % addresses_.size();
  try {
    use_address();
  } catch (const Error&) {
    session_.reset();
    return false;
  }
  if (address_ == 0) {
    return false;  // all of them refused
  }
  ping();
  resend_all();
  return true;
}

/// The library forgets what it would send again. Its nacks are for nobody.
void Client::drop_messages() {
  end_ping();
  if (session_) {
    const Stack::Entry entry(stack_);
    coap_session_disconnected(session_.get(), COAP_NACK_NOT_DELIVERABLE);
  }
}

/// Ends what the library would still send of requests that nobody waits for. It has no call for one
/// message: so all are dropped, and the others go on as what they are, retransmissions to the peer.
void Client::drop_abandoned() {
  drop_posted_ = false;
  if (stopping_ || !session_) {
    return;
  }
  const Stack::Entry entry(stack_);
  std::vector<Pdu> kept;
  kept_ = &kept;
  coap_session_disconnected(session_.get(), COAP_NACK_NOT_DELIVERABLE);
  kept_ = nullptr;
  const coap_mid_t next = coap_new_message_id(session_.get());
  const auto age = [next](const Pdu& pdu) {
    return static_cast<uint16_t>(next - coap_pdu_get_mid(pdu.get()));
  };
  std::sort(kept.begin(), kept.end(),
            [age](const Pdu& a, const Pdu& b) { return age(a) > age(b); });
  for (const Pdu& pdu : kept) {
    coap_mid_t sent = COAP_INVALID_MID;
    for (int tries = 0; tries < kSends && sent == COAP_INVALID_MID; ++tries) {
      sent = coap_send(session_.get(), same_message(session_.get(), pdu.get()).release());
    }
  }
}

/// Its receiver is told that nothing will come.
void Client::abandon(const std::shared_ptr<Receiver>& receiver, const Status& status) {
  const bool may_be_sent = receiver->is_waiting;
  receiver->lost(status);
  // In a task of its own: this may be inside the library.
  if (may_be_sent && !std::exchange(drop_posted_, true)) {
    drop_posted_ = post(host(), [this] { drop_abandoned(); }).is_ok();
  }
}

void Client::link_down() {
  down_posted_ = false;
  if (stopping_) {
    return;
  }
  if (try_next_address()) {
    return;
  }
  drop_messages();
  const Status status = error_of_nack(COAP_NACK_ICMP_ISSUE);
  failed(status.message());
  for (const auto& receiver : receivers([](const Receiver& r) { return r.is_waiting; })) {
    if (receiver->is_waiting) {
      receiver->lost(status);
    }
  }
}

void Client::ping() {
  const Stack::Entry entry(stack_);
  ping_ = COAP_INVALID_MID;
  coap_session_set_nstart(session_.get(), static_cast<uint16_t>(options_.nstart + 1));
  for (int tries = 0; tries < kSends && ping_ == COAP_INVALID_MID; ++tries) {
    coap_pdu_t* const pdu = coap_new_pdu(COAP_MESSAGE_CON, COAP_EMPTY_CODE, session_.get());
    ping_ = pdu != nullptr ? coap_send(session_.get(), pdu) : COAP_INVALID_MID;
  }
  ping_waited_s_ = 0;
  ping_due_ = ping_ != COAP_INVALID_MID;
  if (!ping_due_) {
    end_ping();
    failed("a ping could not be sent");
  }
}

void Client::end_ping() noexcept {
  ping_ = COAP_INVALID_MID;
  ping_due_ = false;
  if (session_) {
    coap_session_set_nstart(session_.get(), options_.nstart);
  }
}

void Client::heard() {
  quiet_s_ = 0;
  answered_ = true;
  if (!std::exchange(trying_, false)) {
    return;
  }
  reconnect_.up(concat(authority_.text, " answers"));
  for (const auto& observation : observations()) {
    if (observation->hub().watchers() > 0) {
      observation->begin();
    }
  }
}

void Client::failed(std::string_view reason) {
  ping_due_ = false;
  trying_ = false;
  ask_again_ = !is_numeric_;
  reconnect_.failed(concat(authority_.text, ": ", reason));
}

void Client::on_nack(coap_session_t* session, const coap_pdu_t* sent, coap_nack_reason_t reason,
                     coap_mid_t mid) {
  if (session != session_.get() || stopping_) {
    return;
  }
  if (reason == COAP_NACK_NOT_DELIVERABLE) {
    if (kept_ != nullptr &&
        (mid == ping_ || receivers_.count(token_of(coap_pdu_get_token(sent))) != 0)) {
      kept_->push_back(same_message(session, sent));
    }
    return;
  }
  if (reason == COAP_NACK_ICMP_ISSUE) {
    if (!std::exchange(down_posted_, true)) {
      static_cast<void>(post(host(), [this] { link_down(); }));
    }
    return;
  }
  const bool is_ping = mid == ping_;
  if (is_ping) {
    end_ping();
  }
  const Status status = error_of_nack(reason);
  if (reason == COAP_NACK_RST) {  // that is how a ping is answered
    heard();
  } else {
    failed(status.message());
  }
  const auto found = sent != nullptr && !is_ping
                         ? receivers_.find(token_of(coap_pdu_get_token(sent)))
                         : receivers_.end();
  if (found != receivers_.end()) {
    const std::shared_ptr<Receiver> receiver = found->second;
    receiver->lost(status);
  }
}

void Client::tick() {
  static_cast<void>(ticker_.after(kTick));
  const unsigned patience = whole_seconds(options_.request_timeout);
  for (const auto& receiver : receivers([](const Receiver& r) { return r.is_waiting; })) {
    if (receiver->is_waiting && ++receiver->waited_s > patience) {
      timeouts_.add();
      const Status status(BP_DEADLINE_EXCEEDED, "no answer within 'request_timeout_s' = ", patience,
                          " s");
      if (trying_) {
        failed(status.message());
      }
      abandon(receiver, status);
    }
  }
  if (!session_) {
    return;
  }
  if (ping_due_) {
    if (++ping_waited_s_ >= kPingPatienceSeconds) {
      failed(concat("no answer to a ping within ", kPingPatienceSeconds, " s"));
    }
  } else if (++quiet_s_ >= whole_seconds(options_.keepalive) && ping_ == COAP_INVALID_MID) {
    quiet_s_ = 0;
    ping();
  }
}

// ---- requests ----

Status Client::begin(std::shared_ptr<Exchange> exchange) {
  if (stopping_) {
    return Status(BP_CANCELLED);
  }
  if (receivers_.size() + unsent_.size() >= options_.max_requests) {
    return Status(BP_RESOURCE_EXHAUSTED, "more than 'max_requests' = ", options_.max_requests,
                  " requests to ", authority_.text, " are under way");
  }
  requests_.add();
  if (!session_) {
    unsent_.push_back(std::move(exchange));
    return Status::pending();
  }
  const Status status = exchange->send();
  return status.is_error() ? status : Status::pending();
}

void Client::cancel(uint64_t operation) {
  for (size_t i = 0; i < unsent_.size(); ++i) {
    if (unsent_[i]->operation == operation) {
      const std::shared_ptr<Exchange> exchange = unsent_[i];
      unsent_.erase(unsent_.begin() + static_cast<std::ptrdiff_t>(i));
      exchange->lost(Status(BP_CANCELLED));
      return;
    }
  }
  for (const auto& [token, entry] : receivers_) {
    if (entry->operation == operation) {
      abandon(std::shared_ptr<Receiver>(entry), Status(BP_CANCELLED));
      return;
    }
  }
}

std::shared_ptr<Observation> Client::observation(const std::shared_ptr<const Target>& target) {
  auto observations = observations_.lock();
  auto& entry = (*observations)[target->text];
  if (!entry || entry->is_stopped()) {
    entry = std::make_shared<Observation>(*this, target);
  }
  entry->pin();
  return entry;
}

bool Client::retire(const Observation& observation) {
  auto observations = observations_.lock();
  if (!observation.is_unwatched()) {
    return false;
  }
  const auto found = observations->find(observation.target().text);
  if (found != observations->end() && found->second.get() == &observation) {
    observations->erase(found);
  }
  return true;
}

std::vector<std::shared_ptr<Observation>> Client::observations() {
  std::vector<std::shared_ptr<Observation>> out;
  const auto known = observations_.lock();
  for (const auto& [text, observation] : *known) {
    out.push_back(observation);
  }
  return out;
}

coap_pdu_t* Client::new_request(Receiver& receiver, coap_pdu_type_t type, coap_pdu_code_t method,
                                uint64_t token) {
  coap_pdu_t* const pdu = coap_new_pdu(type, method, session_.get());
  if (pdu == nullptr) {
    return nullptr;
  }
  uint8_t bytes[sizeof token] = {};
  size_t size = sizeof bytes;
  if (receiver.token != 0 || token != 0) {
    token = receiver.token != 0 ? receiver.token : token;
    std::memcpy(bytes, &token, sizeof bytes);
    while (size > 1 && bytes[size - 1] == 0) {
      --size;
    }
  } else {
    do {
      size = sizeof bytes;
      coap_session_new_token(session_.get(), &size, bytes);
      token = token_of({size, bytes});
    } while (token == 0 || bytes[size - 1] == 0 || receivers_.count(token) != 0);
  }
  if (coap_add_token(pdu, size, bytes) == 0) {
    coap_delete_pdu(pdu);
    return nullptr;
  }
  receiver.token = token;
  receivers_[token] = receiver.shared_from_this();
  return pdu;
}

Status Client::send(Receiver& receiver, Pdu pdu) {
  const Stack::Entry entry(stack_);
  receiver.is_waiting = true;
  receiver.waited_s = 0;
  if (coap_send(session_.get(), pdu.release()) == COAP_INVALID_MID) {
    forget(receiver);
    return Status(BP_UNAVAILABLE, "a request to ", authority_.text, " could not be sent");
  }
  return Status::ok();
}

void Client::forget(Receiver& receiver) noexcept {
  receiver.is_waiting = false;
  if (const uint64_t token = std::exchange(receiver.token, 0); token != 0) {
    receivers_.erase(token);
  }
}

bool Client::on_response(const coap_pdu_t* received) {
  const coap_bin_const_t token = coap_pdu_get_token(received);
  const auto found =
      token.length <= sizeof(uint64_t) ? receivers_.find(token_of(token)) : receivers_.end();
  heard();
  if (found == receivers_.end()) {
    unexpected_.add();
    return false;
  }
  const std::shared_ptr<Receiver> receiver = found->second;
  receiver->response(received);
  return true;
}

std::vector<std::shared_ptr<Receiver>> Client::receivers(bool (*wanted)(const Receiver&)) {
  std::vector<std::shared_ptr<Receiver>> out;
  for (const auto& [token, receiver] : receivers_) {
    if (wanted(*receiver)) {
      out.push_back(receiver);
    }
  }
  return out;
}

// ---- the end ----

void Client::stop(std::function<void()> stopped) {
  stopping_ = true;
  stopped_ = std::move(stopped);
  reconnect_.stop();
  ticker_.cancel();
  for (const auto& exchange : std::exchange(unsent_, {})) {
    exchange->lost(Status(BP_CANCELLED));
  }
  const auto all = observations();
  stops_left_ = all.size();
  for (const auto& observation : all) {
    observation->stop(Status(BP_CANCELLED), [this] {  // on any thread
      static_cast<void>(post(host(), [this] {
        --stops_left_;
        check_stopped();
      }));
    });
  }
  for (const auto& receiver : receivers([](const Receiver&) { return true; })) {
    receiver->lost(Status(BP_CANCELLED));
  }
  check_stopped();
}

void Client::check_stopped() {
  if (stopped_ && stops_left_ == 0 && !resolver_.is_busy()) {
    const Stack::Entry entry(stack_);
    receivers_.clear();
    close_session();
    static_cast<void>(post(host(), std::exchange(stopped_, nullptr)));
  }
}

}  // namespace backplane::coap
