// SPDX-License-Identifier: Apache-2.0
// ReadyProbe: when a command that was started is ready for others.
#pragma once

#include "options.hpp"
#include <backplane/sdk/loop.hpp>

#include <sys/stat.h>

namespace backplane::process {

/// All members on the loop; each callback too, never inside the call that was given it.
class ReadyProbe {
 public:
  ReadyProbe(const Host& host, const ReadyOptions& options);

  /// Before the start: whether what it waits for is there already, by somebody else's doing. OK, or
  /// FAILED_PRECONDITION which names it.
  void check_free(std::function<void(const Status&)> done);
  /// After the start. `ready` is called once, unless stop() comes first.
  void begin(std::function<void()> ready);
  /// A line of output; it may come before the news that the command was started.
  void line(const std::string& text);
  void stop();

 private:
  using Connected = std::function<void(bool)>;
  void connect(Connected done);
  void finish_connect();
  void look();
  void succeed();
  bool file_is_new() const;

  const Host& host_;
  const ReadyOptions& options_;
  std::function<void()> ready_;
  bool line_matched_ = false;
  struct stat file_before_ {};
  UniqueFd socket_;
  Connected connected_;
  std::unique_ptr<FdWatch> watch_;
  std::unique_ptr<Timer> timer_;    // the next look
  std::unique_ptr<Timer> timeout_;  // of a connection
};

}  // namespace backplane::process
