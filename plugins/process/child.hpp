// SPDX-License-Identifier: Apache-2.0
// Child: one run of a command, under its guard: output by lines, signals, the exit.
#pragma once

#include "guard_protocol.hpp"
#include "options.hpp"
#include <backplane/sdk/line_reader.hpp>
#include <backplane/sdk/loop.hpp>

#include <array>

namespace backplane::process {

/// How a run ended.
struct ExitRecord {
  int wait_status = 0;
  bool known = false;  // false: the guard was killed and could not tell
  int64_t user_us = 0;
  int64_t system_us = 0;
  int64_t max_rss_kib = 0;

  bool is_success() const noexcept { return known && wait_status == 0; }
  /// "exited with code 1", "was ended by SIGKILL".
  std::string text() const;
};

/// What a run tells, on the loop, in this order: started or failed; lines at any time; exited (if
/// it started); gone, when no process of it is left and all output was told. The Child may be
/// destroyed after gone, not inside.
struct ChildEvents {
  std::function<void(pid_t)> started;
  std::function<void(const Status&)> failed;
  std::function<void(std::string_view stream, std::string line, bool cut)> line;
  std::function<void(const ExitRecord&)> exited;
  std::function<void()> gone;
};

/// All members on the loop.
class Child {
 public:
  /// Starts the guard. Throws Error when it cannot be started.
  Child(const Host& host, const Options& options, ChildEvents events);
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() = default;

  /// To its process group. No-op once it has exited.
  void signal(int number);
  /// SIGKILL to all of its processes, those that left its group or session too.
  void kill();
  /// Its standard input, non-blocking; none unless options.stdin_pipe.
  UniqueFd take_stdin() { return std::move(stdin_); }

 private:
  struct Output {
    std::string_view stream;
    UniqueFd fd;
    LineReader lines;
    std::unique_ptr<FdWatch> watch = {};
  };

  void order(int number);
  void read_reports();
  void read_output(Output& output, size_t most);
  void guard_ended();

  const Options& options_;
  const ChildEvents events_;
  UniqueFd stdin_;
  UniqueFd socket_;
  UniqueFd guard_;  // a pidfd
  pid_t pid_ = 0;
  bool exited_ = false;
  std::array<Output, 2> outputs_;
  std::unique_ptr<FdWatch> socket_watch_;
  std::unique_ptr<FdWatch> guard_watch_;
};

/// Where backplane-guard is: beside the folder of this library when installed, in bin/ of a build.
/// Throws Error naming both.
std::string guard_path();

}  // namespace backplane::process
