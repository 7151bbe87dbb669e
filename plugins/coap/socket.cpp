// SPDX-License-Identifier: Apache-2.0
#include "socket.hpp"

#include "address.hpp"
#include <backplane/sdk/unique_handle.hpp>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <linux/filter.h>
#include <linux/sock_diag.h>
#include <sstream>
#include <string>
#include <sys/socket.h>

namespace backplane::coap {
namespace {

[[noreturn]] void refuse(const coap_address_t& address, std::string_view shown, int error) {
  const unsigned port = coap_address_get_port(&address);
  switch (error) {
    case EADDRINUSE:
      throw Error(Status(BP_FAILED_PRECONDITION, "UDP port ", port, " of '", shown,
                         "' is in use by another process: `ss -lunp 'sport = :", port,
                         "'` names it; stop that, or choose another port in 'listen'")
                      .with_native(error, "errno"));
    case EACCES:
      throw Error(Status(BP_PERMISSION_DENIED, "UDP port ", port, " of '", shown,
                         "' needs a privilege; choose a port above 1023 in 'listen'")
                      .with_native(error, "errno"));
    default:
      throw Error(Status(BP_INVALID_ARGUMENT, "'", shown,
                         "' cannot be bound: ", std::string_view(std::strerror(error)),
                         "; 'listen' takes an address of this machine, such as 127.0.0.1")
                      .with_native(error, "errno"));
  }
}

bool has_address(int fd, const coap_address_t& wanted,
                 int (*get)(int, sockaddr*, socklen_t*)) noexcept {
  coap_address_t found;
  coap_address_init(&found);
  found.size = sizeof found.addr;
  return get(fd, &found.addr.sa, &found.size) == 0 && coap_address_equals(&found, &wanted) != 0;
}

bool is_datagram(int fd) noexcept {
  int type = 0;
  socklen_t size = sizeof type;
  return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_DGRAM;
}

}  // namespace

void require_free_port(coap_address_t& address, std::string_view shown) {
  const UniqueFd probe(socket(address.addr.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!probe) {
    refuse(address, shown, errno);
  }
  if (address.addr.sa.sa_family == AF_INET6) {  // as libcoap binds it: both families
    const int off = 0;
    setsockopt(probe.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  }
  if (bind(probe.get(), &address.addr.sa, address.size) != 0) {
    refuse(address, shown, errno);
  }
  getsockname(probe.get(), &address.addr.sa, &address.size);
}

std::vector<Polled> polled_by(int epoll_fd) {
  std::vector<Polled> out;
  std::ifstream info("/proc/self/fdinfo/" + std::to_string(epoll_fd));
  for (std::string line; std::getline(info, line);) {  // "tfd: 12 events: 19 data: 55d0c8 ..."
    std::istringstream words(line);
    std::string word;
    Polled member{};
    if (words >> word >> member.fd && word == "tfd:" && words >> word >> word >> word &&
        words >> std::hex >> member.data) {
      out.push_back(member);
    }
  }
  return out;
}

int find_socket(int epoll_fd, const coap_address_t* local, const coap_address_t* peer) {
  for (const auto [fd, data] : polled_by(epoll_fd)) {
    if (is_datagram(fd) && (local != nullptr ? has_address(fd, *local, &getsockname)
                                             : has_address(fd, *peer, &getpeername))) {
      return fd;
    }
  }
  return -1;
}

void refuse_foreign_datagrams(int socket, bool is_dtls) noexcept {
  constexpr uint32_t kUdpHeader = 8;
  constexpr uint32_t kCoapHeader = 4;
  constexpr uint32_t kRecordHeader = 13;
  // The first byte: a record's type, or the version of CoAP, which is 1, in two bits.
  const uint32_t first = is_dtls ? 20 : 0x40;
  const uint32_t last = is_dtls ? 63 : 0x7f;
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, kUdpHeader + (is_dtls ? kRecordHeader : kCoapHeader), 0,
               4),
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, kUdpHeader),
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, first, 0, 2),
      BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, last, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
      BPF_STMT(BPF_RET | BPF_K, 0),
  };
  const sock_fprog filter = {std::size(program), program};
  setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter);
}

uint32_t dropped_datagrams(int socket) noexcept {
  uint32_t info[SK_MEMINFO_VARS] = {};
  socklen_t size = sizeof info;
  return getsockopt(socket, SOL_SOCKET, SO_MEMINFO, info, &size) == 0 ? info[SK_MEMINFO_DROPS] : 0;
}

}  // namespace backplane::coap
