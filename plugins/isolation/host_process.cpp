// SPDX-License-Identifier: Apache-2.0
// Design notes. This process has many threads: posix_spawn runs no code of ours between fork and
// exec. The host gets three descriptors and its socket, no environment, and a session of its own,
// so that a terminal's Ctrl-C reaches it only through its instance's stop. It asks the system to
// kill it when the thread that started it ends: that is the loop's, which lives as long as the
// kernel.
#include "plugins/isolation/host_process.hpp"

#include "plugins/isolation/host_socket.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fcntl.h>
#include <memory>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace backplane::isolation {
namespace {

constexpr int kFirstOwnDescriptor = 10;  // above all that the host gets

[[noreturn]] void throw_errno(std::string_view what, int error) {
  throw Error(Status(BP_UNAVAILABLE, what, ": ", std::string_view(strerrordesc_np(error)))
                  .with_native(error, "errno"));
}

/// Takes over `fd` and gives it a high number, so that no order of duplication overwrites one.
UniqueFd high(int fd) {
  const UniqueFd low(fd);
  UniqueFd out(fcntl(fd, F_DUPFD_CLOEXEC, kFirstOwnDescriptor));
  if (!out) {
    throw_errno("no descriptor", errno);
  }
  return out;
}

/// Beside the folder of this library when installed, in bin/ of a build.
std::string host_path() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&host_path), &info) == 0) {
    throw Error(BP_INTERNAL, "this library does not know where it is");
  }
  const std::unique_ptr<char, detail::CallClose<std::free>> real(realpath(info.dli_fname, nullptr));
  const std::string library = real != nullptr ? real.get() : info.dli_fname;
  const std::string folder = library.substr(0, library.rfind('/'));
  const std::string parent = folder.substr(0, folder.rfind('/'));
  for (const std::string_view place : {"/backplane-host", "/bin/backplane-host"}) {
    std::string path = concat(parent, place);
    if (access(path.c_str(), X_OK) == 0) {
      return path;
    }
  }
  throw Error(BP_NOT_FOUND, "backplane-host is missing: neither ", parent, "/backplane-host nor ",
              parent, "/bin/backplane-host can be executed");
}

struct SpawnActions {
  SpawnActions() { posix_spawn_file_actions_init(&value); }
  SpawnActions(const SpawnActions&) = delete;
  SpawnActions& operator=(const SpawnActions&) = delete;
  ~SpawnActions() { posix_spawn_file_actions_destroy(&value); }
  posix_spawn_file_actions_t value{};
};
struct SpawnAttributes {
  SpawnAttributes() { posix_spawnattr_init(&value); }
  SpawnAttributes(const SpawnAttributes&) = delete;
  SpawnAttributes& operator=(const SpawnAttributes&) = delete;
  ~SpawnAttributes() { posix_spawnattr_destroy(&value); }
  posix_spawnattr_t value{};
};

pid_t spawn(const std::string& name, const std::array<int, kHostSocket + 1>& ends) {
  const std::string path = host_path();
  SpawnActions actions;
  for (size_t i = 0; i < ends.size(); ++i) {
    posix_spawn_file_actions_adddup2(&actions.value, ends[i], static_cast<int>(i));
  }
  posix_spawn_file_actions_addclosefrom_np(&actions.value, kHostSocket + 1);
  SpawnAttributes attributes;
  sigset_t set;
  sigemptyset(&set);
  posix_spawnattr_setsigmask(&attributes.value, &set);
  sigfillset(&set);
  posix_spawnattr_setsigdefault(&attributes.value, &set);
  posix_spawnattr_setflags(&attributes.value,
                           POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
  // The interface is older than const.
  const std::array<char*, 3> arguments{const_cast<char*>("backplane-host"),
                                       const_cast<char*>(name.c_str()), nullptr};
  const std::array<char*, 1> environment{nullptr};
  pid_t pid = 0;
  const int error = posix_spawn(&pid, path.c_str(), &actions.value, &attributes.value,
                                arguments.data(), environment.data());
  if (error != 0) {
    throw_errno(concat("cannot start ", path), error);
  }
  return pid;
}

}  // namespace

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

HostProcess::HostProcess(const std::string& name) {
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) {
    throw_errno("no socket pair", errno);
  }
  UniqueFd theirs(sockets[1]);
  socket_ = high(sockets[0]);
  theirs = high(theirs.release());
  int pipe[2];
  if (pipe2(pipe, O_CLOEXEC) != 0) {
    throw_errno("no pipe", errno);
  }
  UniqueFd print(pipe[1]);
  output_ = high(pipe[0]);
  print = high(print.release());
  fcntl(output_.get(), F_SETFL, O_NONBLOCK);
  const UniqueFd null = high(open("/dev/null", O_RDONLY | O_CLOEXEC));
  pid_ = spawn(name, {null.get(), print.get(), print.get(), theirs.get()});
  process_.reset(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
  if (!process_) {
    const int error = errno;
    ::kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    throw_errno("no pidfd", error);
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
