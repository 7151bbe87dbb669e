// SPDX-License-Identifier: Apache-2.0
#include "outbox.hpp"

#include <cerrno>
#include <cstring>
#include <sys/socket.h>

namespace backplane::opcua {

Status socket_status(int error) {
  return error == 0 ? Status::ok() : Status(BP_UNAVAILABLE, std::string_view(strerror(error)));
}

Status Outbox::send(int fd, std::string_view bytes) {
  size_t sent = 0;
  if (waiting_.empty()) {
    const ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
      return socket_status(errno);
    }
    sent = n < 0 ? 0 : static_cast<size_t>(n);
  }
  if (sent == bytes.size()) {
    return Status::ok();
  }
  if (waiting_bytes_ + bytes.size() - sent > most_) {
    return Status(BP_RESOURCE_EXHAUSTED, "the peer does not take what is sent");
  }
  waiting_.emplace_back(bytes.substr(sent));
  waiting_bytes_ += bytes.size() - sent;
  return Status::ok();
}

Status Outbox::flush(int fd) {
  while (!waiting_.empty()) {
    std::string& first = waiting_.front();
    const ssize_t n = ::send(fd, first.data(), first.size(), MSG_NOSIGNAL);
    if (n < 0) {
      return errno == EAGAIN || errno == EINTR ? Status::ok() : socket_status(errno);
    }
    waiting_bytes_ -= static_cast<size_t>(n);
    first.erase(0, static_cast<size_t>(n));
    if (!first.empty()) {
      return Status::ok();
    }
    waiting_.pop_front();
  }
  return Status::ok();
}

}  // namespace backplane::opcua
