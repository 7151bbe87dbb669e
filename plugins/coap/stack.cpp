// SPDX-License-Identifier: Apache-2.0
#include "stack.hpp"

#include "socket.hpp"

#include <openssl/err.h>

#include <sys/epoll.h>

namespace backplane::coap {
namespace {

constexpr auto kSampleEvery = std::chrono::seconds(1);

thread_local Stack* current_stack = nullptr;

}  // namespace

Stack::Entry::Entry(Stack& stack) noexcept
    : uses_dtls_(stack.uses_dtls_), outer_(std::exchange(current_stack, &stack)) {
  if (uses_dtls_) {
    ERR_clear_error();
  }
}
Stack::Entry::~Entry() {
  current_stack = outer_;
  if (uses_dtls_) {
    ERR_clear_error();
  }
}

Stack::Stack(const Host& host)
    : host_(host),
      malformed_(host.counter("coap_malformed_total")),
      dropped_(host.counter("coap_datagrams_dropped_total")) {
  coap_startup();
  coap_set_log_handler(&Stack::log);  // its own would print to standard output
  coap_set_log_level(LOG_WARNING);
  const Entry entry(*this);
  context_.reset(coap_new_context(nullptr));
  if (!context_ || coap_context_get_coap_fd(context_.get()) < 0) {
    throw Error(BP_RESOURCE_EXHAUSTED, "libcoap gave no context: are there too many open files?");
  }
  coap_context_set_block_mode(context_.get(), 0);  // block.hpp does it, in bounded memory
}

Stack::~Stack() { close(); }

void Stack::start() {
  is_started_ = true;
  watch();
  sampler_.emplace(host_, [this] {
    sample_drops();
    static_cast<void>(sampler_->after(kSampleEvery));
  });
  static_cast<void>(sampler_->after(kSampleEvery));
}

void Stack::close() noexcept {
  sampler_.reset();
  unwatch();
  if (context_) {
    sample_drops();
    sockets_.clear();
    const Entry entry(*this);
    context_.reset();
  }
}

void Stack::watch() {
  if (!is_started_) {
    return;
  }
  const int set = coap_context_get_coap_fd(context_.get());
  const std::vector<Polled> members = polled_by(set);
  std::list<FdWatch> watches;
  for (const Polled& member : members) {
    watches.emplace_back(host_, member.fd, BP_FD_READ,
                         [this, data = member.data](uint32_t) { take(data); });
  }
  if (members.empty()) {
    watches.emplace_back(host_, set, BP_FD_READ, [this](uint32_t) { take_from_set(); });
  }
  watches_ = std::move(watches);
}

void Stack::take(uint64_t data) noexcept {
  const Entry entry(*this);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = data;
  coap_io_do_epoll(context_.get(), &event, 1);
}

void Stack::take_from_set() noexcept {
  constexpr int kEvents = 16;
  const Entry entry(*this);
  epoll_event events[kEvents];
  const int n = epoll_wait(coap_context_get_coap_fd(context_.get()), events, kEvents, 0);
  if (n > 0) {
    coap_io_do_epoll(context_.get(), events, static_cast<size_t>(n));
  }
}

void Stack::arm_timer() noexcept {
  const Entry entry(*this);
  coap_tick_t now = 0;
  coap_ticks(&now);
  coap_io_prepare_epoll(context_.get(), now);
}

void Stack::count_drops(int socket, bool is_dtls, bool is_client) {
  if (socket < 0) {
    host_.log().debug("datagrams that the system drops are not counted: no /proc");
    return;
  }
  refuse_foreign_datagrams(socket, is_dtls);
  sockets_.push_back({socket, dropped_datagrams(socket), is_client});
}

void Stack::sample_drops() noexcept {
  for (Socket& socket : sockets_) {
    const uint32_t now = dropped_datagrams(socket.fd);
    if (now != socket.dropped) {
      dropped_.add(now - std::exchange(socket.dropped, now));
    }
  }
}

void Stack::log(coap_log_t level, const char* message) {
  if (current_stack != nullptr) {  // else somebody else's use of the library in this process
    current_stack->take_log(level, message);
  }
}

void Stack::take_log(coap_log_t level, std::string_view message) noexcept {
  while (!message.empty() && (message.back() == '\n' || message.back() == '\r')) {
    message.remove_suffix(1);
  }
  if (message == "discard malformed PDU") {
    malformed_.add();
  }
  // Peers can cause nearly all of these, an ALERT for each reset included.
  host_.log().write(level == LOG_EMERG ? BP_LOG_ERROR : BP_LOG_DEBUG, message,
                    {{"library", "libcoap"}});
}

}  // namespace backplane::coap
