// SPDX-License-Identifier: Apache-2.0
// Design notes. The host is a companion: it gets three descriptors and the link's two, no
// environment, and a session of its own, so that a terminal's Ctrl-C reaches it only through its
// instance's stop. It asks the system to kill it when the thread that started it ends: that is the
// loop's, which lives as long as the kernel.
#include "plugins/isolation/host_process.hpp"

#include "plugins/isolation/host_socket.hpp"
#include <backplane/sdk/companion.hpp>

#include <array>
#include <csignal>
#include <cstring>
#include <sys/syscall.h>
#include <sys/wait.h>

namespace backplane::isolation {

std::string HostEnd::text() const {
  if (!known) {
    return "has ended, and somebody else knows how";
  }
  if (!crashed) {
    return concat("exited with code ", code);
  }
  const char* const name = sigabbrev_np(code);
  const char* const description = sigdescr_np(code);
  return concat("was ended by ",
                name != nullptr ? concat("SIG", std::string_view(name)) : concat("signal ", code),
                " (", std::string_view(description != nullptr ? description : "?"), ")");
}

HostProcess::HostProcess(const std::string& name, UniqueFd memory) {
  companion::Pipe link = companion::make_socket_pair(SOCK_STREAM);
  companion::Pipe printed = companion::make_pipe();
  fcntl(printed.read.get(), F_SETFL, O_NONBLOCK);
  const UniqueFd null = companion::high(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const UniqueFd shared = companion::high(memory.release());
  const std::array<int, kHostMemory + 1> ends{null.get(), printed.write.get(), printed.write.get(),
                                              link.write.get(), shared.get()};
  pid_ = companion::spawn(companion::path("backplane-host"), {"backplane-host", name}, {}, ends);
  socket_ = std::move(link.read);
  output_ = std::move(printed.read);
  process_.reset(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
  if (!process_) {
    const int error = errno;
    ::kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    companion::throw_errno("no pidfd", error);
  }
}

HostProcess::~HostProcess() {
  if (process_ && !reaped_) {
    kill();
    reap();
  }
}

void HostProcess::kill() noexcept {
  syscall(SYS_pidfd_send_signal, process_.get(), SIGKILL, nullptr, 0);
}

HostEnd HostProcess::reap() noexcept {
  siginfo_t info{};
  int result = 0;
  do {
    result = waitid(P_PIDFD, static_cast<id_t>(process_.get()), &info, WEXITED);
  } while (result != 0 && errno == EINTR);
  reaped_ = true;
  if (result != 0) {
    return {};
  }
  return {true, info.si_code != CLD_EXITED, info.si_status};
}

}  // namespace backplane::isolation
