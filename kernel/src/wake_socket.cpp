// SPDX-License-Identifier: Apache-2.0
#include "wake_socket.hpp"

#include "process_wide.hpp"

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>

namespace backplane::kernel {
namespace {

constexpr int kType = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC;

struct Name {
  explicit Name(std::uint64_t address) noexcept {
    name.sun_family = AF_UNIX;  // sun_path[0] is 0: abstract
    const int n =
        std::snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "backplane-channel-%016llx",
                      static_cast<unsigned long long>(address));
    size =
        static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + static_cast<std::size_t>(n));
  }
  const sockaddr* raw() const noexcept { return reinterpret_cast<const sockaddr*>(&name); }

  sockaddr_un name{};
  socklen_t size = 0;
};

// Never closed: one for all, also for children made by fork(2), since it is not bound.
std::atomic<int> sender{-1};

bool send(int socket, const Name& name) noexcept {
  const char byte = 0;
  return ::sendto(socket, &byte, sizeof byte, MSG_NOSIGNAL, name.raw(), name.size) == sizeof byte;
}

}  // namespace

int WakeSocket::open() noexcept {
  Descriptor made(::socket(AF_UNIX, kType, 0));
  if (!made) return errno;
  do {
    if (::getrandom(&address_, sizeof address_, 0) != sizeof address_) return errno;
  } while (address_ == 0);
  const Name name(address_);
  if (::bind(made.get(), name.raw(), name.size) != 0) return errno;
  socket_ = std::move(made);
  return 0;
}

void WakeSocket::drain() const noexcept {
  // As many as a socket holds, and not for ever while others send.
  char byte = 0;
  for (int i = 0; i < 1000 && ::recv(socket_.get(), &byte, sizeof byte, 0) >= 0; ++i) {
  }
}

int WakeSocket::prepare_to_wake() noexcept {
  const std::scoped_lock lock(process_wide());
  if (sender >= 0) return 0;
  const int made = ::socket(AF_UNIX, kType, 0);
  if (made < 0) return errno;
  sender = made;
  return 0;
}

void WakeSocket::wake(std::uint64_t address) noexcept {
  const Name name(address);
  // Not because the other is gone: this socket has sent as much as it may that is not received yet,
  // or the other has so much that it is awake.
  if (!send(sender, name) && errno == EAGAIN)
    send(Descriptor(::socket(AF_UNIX, kType, 0)).get(), name);
}

}  // namespace backplane::kernel
