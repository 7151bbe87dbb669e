// SPDX-License-Identifier: Apache-2.0
#include "client.hpp"

#include "error_map.hpp"
#include "socket.hpp"

#include <algorithm>

namespace backplane::coap {
namespace {
constexpr auto kTick = std::chrono::seconds(1);
}  // namespace

Client::Client(Stack& stack, const Options& options, const Config& config)
    : stack_(stack),
      options_(options),
      authority_(parse_authority(config.string("url"), "url")),
      is_numeric_(address_of(authority_.host, authority_.port)),
      dtls_(make_dtls(config)),
      resolver_(stack.host()),
      reconnect_(
          stack.host(), [this] { attempt(); }, reconnect_options()),
      ticker_(stack.host(), [this] { tick(); }),
      requests_(stack.host().counter("coap_sent_requests_total")),
      timeouts_(stack.host().counter("coap_request_timeouts_total")),
      unexpected_(stack.host().counter("coap_unexpected_responses_total")),
      lost_notifications_(stack.host().counter("coap_lost_notifications_total")) {}

Client::~Client() = default;

void Client::start() {
  if (dtls_) {
    stack_.use_dtls();
  }
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
        lose_unsent(found.status());
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
    answered_ = false;
    try {
      use_address();
    } catch (const Error& error) {
      session_.reset();
      dtls_ ? not_let_in(error.status()) : failed(error.status().message());
      return;
    }
    if (!dtls_) {  // else when the peer has proven itself
      resend_all();
    }
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
  if (is_ready()) {
    flush_unsent();
  }
  if (receivers([](const Receiver& r) { return r.is_waiting; }).empty()) {
    drop_messages();  // the last ping
  }
  ping();  // the last one is sent more and more rarely
}

void Client::flush_unsent() {
  for (const auto& exchange : std::exchange(unsent_, {})) {
    exchange->resend();
  }
}

void Client::close_session() noexcept {
  stack_.unwatch();
  stack_.forget_drops_of_peer();
  is_proven_ = false;
  is_open_ = false;
  is_ending_ = false;
  if (const Session old = std::move(session_); old && dtls_) {
    // With all that it would send again, which else would keep it.
    coap_session_disconnected(old.get(), COAP_NACK_NOT_DELIVERABLE);
  }
}

void Client::use_address() {
  const Stack::Entry entry(stack_);
  drop_messages();
  close_session();
  const coap_address_t& address = addresses_.at(address_);
  Status failed;
  if (dtls_) {
    boundary([&] { session_ = dtls_->connect(stack_.context(), address); },
             [&](const Status& status) { failed = status; });
  } else {
    session_.reset(coap_new_client_session(stack_.context(), nullptr, &address, COAP_PROTO_UDP));
  }
  ++session_number_;
  handshake_s_ = 0;
  end_ = Status::ok();
  stack_.watch();
  if (failed.is_error()) {
    session_.reset();
    throw Error(failed);
  }
  if (!session_) {
    throw Error(BP_UNAVAILABLE, "no socket to '", authority_.text,
                "': is there a route to that network?");
  }
  options_.apply(session_.get());
  if (dtls_) {
    // Else the library would end a long handshake by itself, and not say why.
    coap_session_set_max_retransmit(session_.get(), UINT16_MAX);
  }
  stack_.count_drops(find_socket(coap_context_get_coap_fd(stack_.context()), nullptr, &address),
                     authority_.is_secure, true);
  if (dtls_) {
    stack_.arm_timer();
  }
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
  if (!dtls_) {
    resend_all();
  }
  return true;
}

/// The library forgets what it would send again. Its nacks are for nobody. With DTLS it can do that
/// only by ending the session, which close_session() does.
void Client::drop_messages() {
  end_ping();
  if (session_ && !dtls_) {
    const Stack::Entry entry(stack_);
    coap_session_disconnected(session_.get(), COAP_NACK_NOT_DELIVERABLE);
    set_gate(false);
  }
  is_gated_ = false;
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

void Client::heard() {
  quiet_s_ = 0;
  ping_due_ = false;
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

// ---- the end ----

void Client::stop(std::function<void()> stopped) {
  stopping_ = true;
  stopped_ = std::move(stopped);
  reconnect_.stop();
  ticker_.cancel();
  lose_unsent(Status(BP_CANCELLED));
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
