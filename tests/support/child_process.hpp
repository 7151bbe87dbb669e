// SPDX-License-Identifier: Apache-2.0
// A program as a test's child: its output is collected, every wait has a deadline, and it ends with
// the test.
#pragma once

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <functional>
#include <map>
#include <poll.h>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace backplane::test {

class ChildProcess {
 public:
  using Clock = std::chrono::steady_clock;

  /// Starts it with this environment besides the test's own; `args[0]` is looked for in PATH.
  explicit ChildProcess(std::vector<std::string> args,
                        const std::map<std::string, std::string>& environment = {}) {
    int out[2];
    int err[2];
    if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0) {
      throw std::runtime_error("pipe2 failed");
    }
    std::vector<char*> argv;
    for (std::string& arg : args) {
      argv.push_back(arg.data());
    }
    argv.push_back(nullptr);
    const pid_t parent = getpid();
    pid_ = fork();
    if (pid_ < 0) {
      throw std::runtime_error("fork failed");
    }
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != parent) {
        _exit(126);
      }
      const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
      dup2(null, STDIN_FILENO);
      dup2(out[1], STDOUT_FILENO);
      dup2(err[1], STDERR_FILENO);
      for (const auto& [name, value] : environment) {
        setenv(name.c_str(), value.c_str(), 1);
      }
      execvp(argv[0], argv.data());
      std::fprintf(stderr, "cannot run %s\n", argv[0]);
      _exit(127);
    }
    close(out[1]);
    close(err[1]);
    pipes_[0] = {out[0], {}};
    pipes_[1] = {err[0], {}};
  }
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  ~ChildProcess() {
    if (!ended_) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    for (const Pipe& pipe : pipes_) {
      if (pipe.fd >= 0) {
        close(pipe.fd);
      }
    }
  }

  pid_t pid() const { return pid_; }
  void signal(int number) const { kill(pid_, number); }

  const std::string& out() const { return pipes_[0].text; }
  const std::string& err() const { return pipes_[1].text; }
  /// The last line of its standard output, without the line's end.
  std::string last_line() const {
    const std::string text = out().substr(0, out().find_last_not_of('\n') + 1);
    return text.substr(text.rfind('\n') + 1);
  }

  /// Collects output until the condition holds. False: the deadline passed, or it closed its
  /// output.
  bool wait_until(const std::function<bool()>& condition,
                  std::chrono::milliseconds at_most = std::chrono::seconds(20)) {
    const Clock::time_point end = Clock::now() + at_most;
    while (!condition()) {
      if (!collect(end)) {
        return condition();
      }
    }
    return true;
  }
  bool wait_for_output(std::string_view text,
                       std::chrono::milliseconds at_most = std::chrono::seconds(20)) {
    return wait_until([&] { return out().find(text) != std::string::npos; }, at_most);
  }

  /// Its exit code, 128 + the signal that ended it, or -1 when the deadline passed.
  int wait(std::chrono::milliseconds at_most = std::chrono::seconds(20)) {
    const Clock::time_point end = Clock::now() + at_most;
    while (collect(end)) {
    }
    while (!ended_) {
      int status = 0;
      if (waitpid(pid_, &status, WNOHANG) == pid_) {
        ended_ = true;
        code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      } else if (Clock::now() >= end) {
        return -1;
      } else {
        poll(nullptr, 0, 5);
      }
    }
    return code_;
  }

 private:
  struct Pipe {
    int fd = -1;
    std::string text;
  };

  /// Reads what there is, or waits for it. False: both are closed, or the time is over.
  bool collect(Clock::time_point end) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
    if (left <= 0) {
      return false;
    }
    pollfd fds[2] = {{pipes_[0].fd, POLLIN, 0}, {pipes_[1].fd, POLLIN, 0}};
    if (fds[0].fd < 0 && fds[1].fd < 0) {
      return false;
    }
    poll(fds, 2, static_cast<int>(std::min<long>(left, 50)));
    for (int i = 0; i < 2; ++i) {
      if ((fds[i].revents & (POLLIN | POLLHUP | POLLERR)) == 0) {
        continue;
      }
      char block[4096];
      const ssize_t n = read(pipes_[i].fd, block, sizeof block);
      if (n > 0) {
        pipes_[i].text.append(block, static_cast<size_t>(n));
      } else if (n == 0 || errno != EINTR) {
        close(pipes_[i].fd);
        pipes_[i].fd = -1;
      }
    }
    return true;
  }

  pid_t pid_ = -1;
  Pipe pipes_[2];
  bool ended_ = false;
  int code_ = -1;
};

}  // namespace backplane::test
