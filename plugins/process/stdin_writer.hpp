// SPDX-License-Identifier: Apache-2.0
// StdinWriter: writes to the child's standard input, in the order of their submission, without
// blocking.
#pragma once

#include <backplane/sdk/guarded.hpp>
#include <backplane/sdk/loop.hpp>
#include <backplane/sdk/unique_handle.hpp>

#include <deque>

namespace backplane::process {

/// A write completes when the pipe has taken all of it; that the child has read it, nobody knows.
class StdinWriter {
 public:
  /// What may wait: one more write is RESOURCE_EXHAUSTED.
  static constexpr size_t kMostBytes = size_t{1} << 20;

  explicit StdinWriter(const Host& host) : host_(host), pump_(host, [this] { pump(); }) {}

  /// A run begins. On the loop.
  void open(UniqueFd pipe);
  /// The run has ended: what waits completes with `status`. On the loop.
  void close(const Status& status);

  /// PENDING, or why not. BP_M_LAST closes the child's standard input behind it. [any]
  Status write(Op op);
  /// One that is partly written is written to its end all the same. [any]
  void cancel(Op op) noexcept;

 private:
  struct State {
    bool open = false;
    std::deque<Op> waiting = {};
    size_t written = 0;     // of the first one
    size_t bytes = 0;       // of all that wait
    std::string rest = {};  // of a cancelled write that was begun
    bool last = false;      // closes when everything is written
  };

  void pump();
  /// The next bytes to write; empty: none. Valid until the lock is released and taken again.
  static std::string_view next(State& state);

  const Host& host_;
  Guarded<State> state_;
  UniqueFd pipe_;  // on the loop
  std::unique_ptr<FdWatch> watch_;
  Wakeup pump_;  // the last member: its callback ends first
};

}  // namespace backplane::process
