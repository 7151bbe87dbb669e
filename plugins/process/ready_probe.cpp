// SPDX-License-Identifier: Apache-2.0
// Design notes. A connection to a port of this machine is decided at once; the time-out is for a
// firewall that swallows it. begin() looks at once: what is ready when it is executed is so before
// the news that it has ended, however close behind that comes.
#include "ready_probe.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

namespace backplane::process {
namespace {

constexpr std::chrono::milliseconds kLookEvery(20);
constexpr std::chrono::seconds kConnectTimeout(1);

/// With nobody listening, a connection from a port to itself can succeed on the loopback interface.
bool is_self_connected(int fd) {
  sockaddr_storage own{};
  sockaddr_storage peer{};
  socklen_t own_size = sizeof own;
  socklen_t peer_size = sizeof peer;
  return getsockname(fd, reinterpret_cast<sockaddr*>(&own), &own_size) == 0 &&
         getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &peer_size) == 0 &&
         own_size == peer_size && std::memcmp(&own, &peer, own_size) == 0;
}

}  // namespace

ReadyProbe::ReadyProbe(const Host& host, const ReadyOptions& options)
    : host_(host),
      options_(options),
      timer_(std::make_unique<Timer>(host, [this] { look(); })),
      timeout_(std::make_unique<Timer>(host, [this] { finish_connect(); })) {}

void ReadyProbe::check_free(std::function<void(const Status&)> done) {
  line_matched_ = false;
  if (!options_.file.empty() && ::stat(options_.file.c_str(), &file_before_) != 0) {
    file_before_ = {};
  }
  if (options_.tcp.empty()) {
    post(host_, [done = std::move(done)] { done(Status::ok()); }).or_throw();
    return;
  }
  connect([this, done = std::move(done)](bool connected) {
    done(!connected ? Status::ok()
                    : Status(BP_FAILED_PRECONDITION, options_.tcp,
                             " is taken by another process already: stop that one, or choose "
                             "another port"));
  });
}

void ReadyProbe::begin(std::function<void()> ready) {
  ready_ = std::move(ready);
  look();
}

void ReadyProbe::stop() {
  ready_ = nullptr;
  connected_ = nullptr;
  timer_->cancel();
  timeout_->cancel();
  watch_.reset();
  socket_.reset();
}

void ReadyProbe::line(const std::string& text) {
  if (!line_matched_ && options_.log && options_.log->matches(text)) {
    line_matched_ = true;
    succeed();
  }
}

void ReadyProbe::look() {
  if (!ready_) {
    return;
  }
  if (!options_.tcp.empty()) {
    connect([this](bool connected) {
      if (connected) {
        succeed();
      } else {
        timer_->after(kLookEvery).or_throw();
      }
    });
  } else if (!options_.file.empty() && !file_is_new()) {
    timer_->after(kLookEvery).or_throw();
  } else if (!options_.log || line_matched_) {
    succeed();
  }
}

void ReadyProbe::succeed() {
  if (const auto ready = std::exchange(ready_, nullptr)) {
    stop();
    ready();
  }
}

bool ReadyProbe::file_is_new() const {
  struct stat now {};
  return ::stat(options_.file.c_str(), &now) == 0 &&
         (now.st_ino != file_before_.st_ino || now.st_dev != file_before_.st_dev ||
          now.st_mtim.tv_sec != file_before_.st_mtim.tv_sec ||
          now.st_mtim.tv_nsec != file_before_.st_mtim.tv_nsec);
}

void ReadyProbe::connect(Connected done) {
  socket_.reset(
      ::socket(options_.tcp_address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  connected_ = std::move(done);
  if (socket_) {
    static_cast<void>(::connect(socket_.get(),
                                reinterpret_cast<const sockaddr*>(&options_.tcp_address),
                                options_.tcp_address_size));
    watch_ = std::make_unique<FdWatch>(host_, socket_.get(), BP_FD_WRITE,
                                       [this](uint32_t) { finish_connect(); });
  }
  timeout_->after(kConnectTimeout).or_throw();
}

void ReadyProbe::finish_connect() {
  timeout_->cancel();
  int error = 0;
  socklen_t size = sizeof error;
  sockaddr_storage peer{};
  socklen_t peer_size = sizeof peer;
  const bool connected =
      socket_ && getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &size) == 0 &&
      error == 0 &&
      getpeername(socket_.get(), reinterpret_cast<sockaddr*>(&peer), &peer_size) == 0 &&
      !is_self_connected(socket_.get());
  watch_.reset();
  socket_.reset();
  if (const auto done = std::exchange(connected_, nullptr)) {
    done(connected);
  }
}

}  // namespace backplane::process
