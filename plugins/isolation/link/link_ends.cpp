// SPDX-License-Identifier: Apache-2.0
#include "plugins/isolation/link/link_ends.hpp"

#include "plugins/isolation/link/codec.hpp"

#include <array>
#include <cerrno>
#include <poll.h>
#include <sys/socket.h>

namespace backplane::isolation {
namespace {

constexpr size_t kBells = 512;  // taken at once; a socket holds fewer that were sent one by one

}  // namespace

LinkEnds::LinkEnds(UniqueFd socket, SharedMemory memory, Side side)
    : socket_(std::move(socket)),
      memory_(std::move(memory)),
      in_(side == Side::kHost ? memory_.as<LinkMemory>().to_host
                              : memory_.as<LinkMemory>().to_proxy),
      out_(side == Side::kHost ? memory_.as<LinkMemory>().to_proxy
                               : memory_.as<LinkMemory>().to_host) {}

size_t LinkEnds::receive(void* to, size_t size) {
  const size_t n = in_.take(to, size);
  if (n != 0 && in_.must_wake()) {
    ring_bell();
  }
  return n;
}

// A socket that is full of bells needs no other.
void LinkEnds::ring_bell() const noexcept {
  const std::byte bell{};
  static_cast<void>(::send(socket(), &bell, sizeof bell, MSG_NOSIGNAL | MSG_DONTWAIT));
}

void LinkEnds::sleep(bool until_it_takes_more) noexcept {
  if (in_.sleep()) {
    pollfd wait{socket(), static_cast<short>(until_it_takes_more ? POLLIN | POLLOUT : POLLIN), 0};
    poll(&wait, 1, -1);
    in_.awake();
  }
}

LinkEnds::Sent LinkEnds::send(std::span<const UniqueFd> descriptors) const noexcept {
  std::byte bell{};
  iovec bytes{&bell, sizeof bell};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int) * kMostDescriptors)> control{};
  message.msg_control = control.data();
  message.msg_controllen = CMSG_SPACE(sizeof(int) * descriptors.size());
  cmsghdr* const head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(sizeof(int) * descriptors.size());
  auto* to = reinterpret_cast<int*>(CMSG_DATA(head));
  for (const UniqueFd& each : descriptors) {
    *to++ = each.get();
  }
  ssize_t n = 0;
  do {
    n = sendmsg(socket(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (n < 0 && errno == EINTR);
  if (n >= 0 || errno == EPIPE || errno == ECONNRESET) {
    return Sent::kAll;
  }
  const bool is_full = errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS;
  return is_full ? Sent::kLater : Sent::kNever;
}

LinkEnds::Taken LinkEnds::take(std::deque<UniqueFd>& descriptors) const {
  std::array<std::byte, kBells> bells;
  iovec bytes{bells.data(), bells.size()};
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int) * kMostDescriptors)> control;
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t n = recvmsg(socket(), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (n <= 0) {
    const bool is_open = n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
    return is_open ? Taken::kNothing : Taken::kEnd;
  }
  for (cmsghdr* head = CMSG_FIRSTHDR(&message); head != nullptr;
       head = CMSG_NXTHDR(&message, head)) {
    if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) {
      continue;
    }
    const size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    const auto* const from = reinterpret_cast<const int*>(CMSG_DATA(head));
    for (size_t i = 0; i < count; ++i) {
      descriptors.emplace_back(from[i]);
    }
  }
  if ((message.msg_flags & MSG_CTRUNC) != 0) {
    throw Error(BP_DATA_LOSS, "more descriptors than a frame may have");
  }
  return Taken::kSome;
}

void LinkEnds::hang_up() const noexcept { shutdown(socket(), SHUT_RDWR); }

}  // namespace backplane::isolation
