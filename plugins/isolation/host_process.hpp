// SPDX-License-Identifier: Apache-2.0
// HostProcess: one run of backplane-host, from its start until it was reaped.
#pragma once

#include <backplane/sdk/status.hpp>
#include <backplane/sdk/unique_handle.hpp>

#include <string>
#include <sys/types.h>

namespace backplane::isolation {

/// How it ended.
struct HostEnd {
  bool known = false;  // false: somebody else has reaped it
  bool crashed = false;
  int code = 0;  // the exit code, or the signal

  bool is_success() const noexcept { return known && !crashed && code == 0; }
  /// "was ended by SIGSEGV (Segmentation fault)", "exited with code 1".
  std::string text() const;
};

/// A direct child of this process. Killed and reaped by the destructor if it still runs.
class HostProcess {
 public:
  /// `memory`: the link's. `name` is shown by ps. Throws Error when it cannot be started.
  HostProcess(const std::string& name, UniqueFd memory);
  HostProcess(const HostProcess&) = delete;
  HostProcess& operator=(const HostProcess&) = delete;
  ~HostProcess();

  pid_t pid() const noexcept { return pid_; }
  /// Readable when it has ended.
  int descriptor() const noexcept { return process_.get(); }
  UniqueFd take_socket() noexcept { return std::move(socket_); }
  /// What it and its libraries print.
  UniqueFd take_output() noexcept { return std::move(output_); }
  void kill() noexcept;
  /// When descriptor() is readable.
  HostEnd reap() noexcept;

 private:
  pid_t pid_ = 0;
  bool reaped_ = false;
  UniqueFd process_;
  UniqueFd socket_;
  UniqueFd output_;
};

}  // namespace backplane::isolation
