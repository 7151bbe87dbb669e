// SPDX-License-Identifier: Apache-2.0
// backplane-host: the process of one isolated plugin. It is started by the plugin isolation, with
// one end of a socket pair, and ends with it.
#include "plugins/isolation/host/isolated.hpp"
#include "plugins/isolation/host_socket.hpp"
#include "plugins/isolation/link/ring_channel.hpp"

#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using namespace backplane;
using namespace backplane::isolation;

/// Who made the socket; 0: there is none.
pid_t maker_of_socket() {
  ucred maker{};
  socklen_t size = sizeof maker;
  return getsockopt(kHostSocket, SOL_SOCKET, SO_PEERCRED, &maker, &size) == 0 ? maker.pid : 0;
}

SharedMemory memory_of_link() {
  const UniqueFd given(kHostMemory);
  return SharedMemory::adopt(given.get(), {.size = sizeof(LinkMemory), .plain = true}).value();
}

}  // namespace

#ifdef __SANITIZE_ADDRESS__
// Its search for leaks traces this process, which is not allowed here.
extern "C" BP_EXPORT const char* __asan_default_options();
extern "C" BP_EXPORT const char* __asan_default_options() { return "detect_leaks=0"; }
#endif

int main() {
  const pid_t proxy = maker_of_socket();
  if (proxy == 0) {
    std::fputs("backplane-host: started by Backplane for isolation = \"process\", not by hand\n",
               stderr);
    return 2;
  }
  // Whatever happens to who started us. It may have happened already.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != proxy) {
    return 1;
  }
  signal(SIGPIPE, SIG_IGN);
  fcntl(kHostSocket, F_SETFD, FD_CLOEXEC);
  fcntl(kHostMemory, F_SETFD, FD_CLOEXEC);
  try {
    LinkEnds link{UniqueFd(kHostSocket), memory_of_link(), Side::kHost};
    const auto frame = read_first_frame(link);
    if (!frame) {
      return 1;
    }
    return Isolated(read_beginning(*frame), std::move(link)).run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "backplane-host: %s\n", error.what());
    return 1;
  }
}
