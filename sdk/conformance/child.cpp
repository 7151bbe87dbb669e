// SPDX-License-Identifier: Apache-2.0
#include "child.hpp"

#include "test.hpp"

#include <array>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <iostream>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace backplane::conformance {
namespace {

using Verdict = Outcome::Verdict;

class Descriptor {
 public:
  explicit Descriptor(int fd) noexcept : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { reset(); }
  int get() const noexcept { return fd_; }
  void reset() noexcept {
    if (const int fd = std::exchange(fd_, -1); fd >= 0) {
      close(fd);
    }
  }

 private:
  int fd_;
};

/// A verdict as it goes through the pipe: a letter, and the text.
std::string verdict_of(const std::function<void()>& test) {
  try {
    test();
    return "P";
  } catch (const Skipped& skipped) {
    return concat("S", skipped.what());
  } catch (const Warning& warning) {
    return concat("W", warning.what());
  } catch (const std::exception& failure) {
    return concat("F", failure.what());
  }
}

[[noreturn]] void be_the_child(const std::function<void()>& test, int report, int output) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  const std::string verdict = verdict_of(test);
  std::cout << std::flush;
  (void)!write(report, verdict.data(), std::min<size_t>(verdict.size(), PIPE_BUF));
  _exit(0);
}

/// What the child wrote before it ended; false when it had not ended in time.
bool read_report(int fd, std::chrono::steady_clock::time_point end, std::string& report) {
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    pollfd readable{fd, POLLIN, 0};
    const int n = left.count() <= 0 ? 0 : poll(&readable, 1, static_cast<int>(left.count()));
    if (n == 0) {
      return false;
    }
    std::array<char, 512> bytes{};
    const ssize_t got = n < 0 ? -1 : read(fd, bytes.data(), bytes.size());
    if (got == 0) {
      return true;
    }
    if (got > 0) {
      report.append(bytes.data(), static_cast<size_t>(got));
    } else if (errno != EINTR) {
      return true;
    }
  }
}

std::string last_line_of(int fd) {
  std::array<char, 4096> bytes{};
  const off_t size = lseek(fd, 0, SEEK_END);
  const ssize_t got = pread(fd, bytes.data(), bytes.size(), std::max<off_t>(0, size - 4096));
  std::string_view text(bytes.data(), static_cast<size_t>(std::max<ssize_t>(0, got)));
  while (text.ends_with('\n')) {
    text.remove_suffix(1);
  }
  return std::string(text.substr(text.rfind('\n') + 1));
}

Outcome outcome_of(const std::string& report, int status, int output) {
  if (report.empty()) {
    const std::string said = last_line_of(output);
    return {Verdict::kCrash,
            concat(WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "it ends its process",
                   said.empty() ? "" : ": ", said),
            {}};
  }
  const char letter = report.front();
  const Verdict verdict = letter == 'P'   ? Verdict::kPass
                          : letter == 'S' ? Verdict::kSkip
                          : letter == 'W' ? Verdict::kWarn
                                          : Verdict::kFail;
  return {verdict, report.substr(1), {}};
}

}  // namespace

const char* word_of(Verdict verdict) noexcept {
  switch (verdict) {
    case Verdict::kPass:
      return "pass";
    case Verdict::kWarn:
      return "warn";
    case Verdict::kSkip:
      return "skip";
    case Verdict::kFail:
      return "FAIL";
    case Verdict::kCrash:
      return "CRASH";
    case Verdict::kTimeout:
      break;
  }
  return "TIMEOUT";
}

Outcome run_in_child(const std::function<void()>& test, std::chrono::duration<double> at_most) {
  std::array<int, 2> pipe{-1, -1};
  const Descriptor output(memfd_create("output of a test", MFD_CLOEXEC));
  if (output.get() < 0 || pipe2(pipe.data(), O_CLOEXEC) != 0) {
    throw Error(BP_RESOURCE_EXHAUSTED, "no descriptors: ", strerror(errno));
  }
  Descriptor from(pipe[0]);
  Descriptor to(pipe[1]);
  const auto start = std::chrono::steady_clock::now();
  const pid_t child = fork();
  if (child < 0) {
    throw Error(BP_RESOURCE_EXHAUSTED, "no process: ", strerror(errno));
  }
  if (child == 0) {
    be_the_child(test, to.get(), output.get());
  }
  to.reset();
  std::string report;
  const auto end = start + std::chrono::duration_cast<std::chrono::steady_clock::duration>(at_most);
  const bool in_time = read_report(from.get(), end, report);
  kill(-child, SIGKILL);  // a child that waits for ever, or what it left
  kill(child, SIGKILL);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  Outcome out = in_time ? outcome_of(report, status, output.get())
                        : Outcome{Verdict::kTimeout,
                                  concat("it has not ended after ",
                                         std::to_string(at_most.count()).substr(0, 4), " s"),
                                  {}};
  out.taken = std::chrono::steady_clock::now() - start;
  return out;
}

}  // namespace backplane::conformance
