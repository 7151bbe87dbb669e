// SPDX-License-Identifier: Apache-2.0
// backplane-guard: runs one command and outlives everybody who could forget it.
//
// Design notes. It is the parent of the command and the reaper of all of its descendants
// (PR_SET_CHILD_SUBREAPER): who loses its parent, also by a double fork or setsid, becomes a child
// of the guard. So "kill all children until there are none" ends every descendant, and never hits
// anybody else: the number of a child is not given away before the guard has reaped it.
// The guard ends when the command ends or when its socket closes, which the system does however the
// other side dies. It holds none of the command's pipes. If the guard itself is killed, the command
// is too (PR_SET_PDEATHSIG, which holds because the guard has one thread).
#include "plugins/process/guard_protocol.hpp"

#include <cctype>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <dirent.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using backplane::process::GuardEvent;
using backplane::process::GuardOrder;
using backplane::process::GuardReport;
using backplane::process::GuardStep;
using backplane::process::kGuardSocket;

struct Failure {
  GuardStep step;
  int32_t error;
};

void report(const GuardReport& report) {
  // Nobody may be left to read it.
  static_cast<void>(send(kGuardSocket, &report, sizeof report, MSG_NOSIGNAL));
}

int64_t now_ms() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

// ---- the command -------------------------------------------------------------------------------

[[noreturn]] void become_command(const char* folder, char** command, pid_t guard,
                                 int failure_pipe) {
  const auto fail = [failure_pipe](GuardStep step) {
    const Failure failure{step, errno};
    static_cast<void>(!write(failure_pipe, &failure, sizeof failure));
    _exit(127);
  };
  setsid();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != guard) {
    _exit(127);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (*folder != '\0' && chdir(folder) != 0) {
    fail(GuardStep::kFolder);
  }
  close_range(kGuardSocket, ~0U, CLOSE_RANGE_CLOEXEC);
  execvp(command[0], command);
  fail(GuardStep::kExecute);
  _exit(127);
}

/// The child, which runs the command; or -1 when that was reported as failed.
pid_t start(const char* folder, char** command) {
  int failure_pipe[2];
  const pid_t guard = getpid();
  const pid_t child = pipe2(failure_pipe, O_CLOEXEC) == 0 ? fork() : -1;
  if (child < 0) {
    report({GuardEvent::kFailed, GuardStep::kFork, 0, errno, 0, 0, 0, 0, 0});
    return -1;
  }
  if (child == 0) {
    become_command(folder, command, guard, failure_pipe[1]);
  }
  close(failure_pipe[1]);
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = 0; fd < kGuardSocket; ++fd) {
    dup2(null, fd);
  }
  Failure failure{};
  ssize_t n = 0;
  do {
    n = read(failure_pipe[0], &failure, sizeof failure);  // ends when the command is executed
  } while (n < 0 && errno == EINTR);
  close(failure_pipe[0]);
  if (n == sizeof failure) {
    waitpid(child, nullptr, 0);
    report({GuardEvent::kFailed, failure.step, 0, failure.error, 0, 0, 0, 0, 0});
    return -1;
  }
  report({GuardEvent::kStarted, {}, child, 0, 0, 0, 0, 0, 0});
  return child;
}

// ---- the end -----------------------------------------------------------------------------------

/// The parent of a process, from "PID (NAME) STATE PPID ..."; 0: it is gone.
pid_t parent_of(const char* pid) {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return 0;
  }
  char text[512];
  const ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  text[n > 0 ? n : 0] = '\0';
  const char* after_name = std::strrchr(text, ')');
  int parent = 0;
  return after_name != nullptr && std::sscanf(after_name, ") %*c %d", &parent) == 1 ? parent : 0;
}

void kill_children() {
  DIR* processes = opendir("/proc");
  if (processes == nullptr) {
    return;
  }
  const pid_t guard = getpid();
  while (const dirent* entry = readdir(processes)) {
    if (std::isdigit(static_cast<unsigned char>(entry->d_name[0])) != 0 &&
        parent_of(entry->d_name) == guard) {
      kill(std::atoi(entry->d_name), SIGKILL);
    }
  }
  closedir(processes);
}

/// Returns when no descendant is left. Each round ends one generation.
void kill_everybody(int signals) {
  for (;;) {
    kill_children();
    int reaped = 0;
    do {
      reaped = waitpid(-1, nullptr, WNOHANG);
    } while (reaped > 0);
    if (reaped < 0 && errno == ECHILD) {
      return;
    }
    pollfd wait{signals, POLLIN, 0};
    poll(&wait, 1, 20);  // SIGCHLD, or somebody who cannot die yet
    signalfd_siginfo info{};
    static_cast<void>(!read(signals, &info, sizeof info));
  }
}

/// The group first, while the child's number, which names it, is still taken.
void end_child(pid_t child, bool tell) {
  kill(-child, SIGKILL);
  int status = 0;
  rusage usage{};
  if (wait4(child, &status, 0, &usage) == child && tell) {
    const auto us = [](const timeval& t) { return int64_t{t.tv_sec} * 1'000'000 + t.tv_usec; };
    report({GuardEvent::kExited,
            {},
            child,
            0,
            status,
            0,
            us(usage.ru_utime),
            us(usage.ru_stime),
            usage.ru_maxrss});
  }
}

/// Reaps those that were adopted. True: the child has ended, and is not reaped yet.
bool has_ended(pid_t child) {
  for (;;) {
    siginfo_t info{};
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) {
      return false;
    }
    if (info.si_pid == child) {
      return true;
    }
    waitpid(info.si_pid, nullptr, 0);
  }
}

/// Until the child ends, or everything is to end.
void watch_over(pid_t child, int signals, int stop_signal, int64_t grace_ms) {
  bool parent_lives = true;
  int64_t deadline = 0;
  for (;;) {
    pollfd fds[2] = {{signals, POLLIN, 0}, {parent_lives ? kGuardSocket : -1, POLLIN, 0}};
    const int64_t left = parent_lives ? -1 : deadline - now_ms();
    if (!parent_lives && left <= 0) {
      return;
    }
    poll(fds, 2, static_cast<int>(left));
    signalfd_siginfo info{};
    while (read(signals, &info, sizeof info) > 0) {
    }
    if (has_ended(child)) {
      return;
    }
    if ((fds[1].revents & (POLLIN | POLLHUP | POLLERR)) == 0) {
      continue;
    }
    GuardOrder order{};
    const ssize_t n = recv(kGuardSocket, &order, sizeof order, MSG_DONTWAIT);
    if (n == sizeof order) {
      if (order.signal == 0) {
        return;
      }
      kill(-child, order.signal);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
      parent_lives = false;
      deadline = now_ms() + grace_ms;
      kill(-child, stop_signal);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  int type = 0;
  socklen_t size = sizeof type;
  if (argc < 5 || getsockopt(kGuardSocket, SOL_SOCKET, SO_TYPE, &type, &size) != 0) {
    std::fputs("backplane-guard: started by Backplane's process plugin, not by hand\n", stderr);
    return 2;
  }
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, nullptr);
  sigset_t child_signal;
  sigemptyset(&child_signal);
  sigaddset(&child_signal, SIGCHLD);
  const int signals = signalfd(-1, &child_signal, SFD_CLOEXEC | SFD_NONBLOCK);
  const pid_t child = start(argv[3], argv + 4);
  if (child < 0) {
    return 0;
  }
  watch_over(child, signals, std::atoi(argv[1]), std::atoll(argv[2]));
  end_child(child, true);
  kill_everybody(signals);
  return 0;
}
