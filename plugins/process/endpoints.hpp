// SPDX-License-Identifier: Apache-2.0
// The endpoints of a supervised command, one class for each kind of path.
#pragma once

#include "supervisor.hpp"
#include <backplane/sdk/pending.hpp>
#include <backplane/sdk/plugin.hpp>

namespace backplane::process {

/// A hub's watch verbs, and nothing else.
class Watched {
 public:
  explicit Watched(const Hub& hub) : hub_(hub) {}
  Status watch(Op op) { return hub_.watch(op); }
  void cancel(Op op) noexcept { hub_.cancel(op); }
  void credit(Op op, uint32_t n) noexcept { hub_.credit(op, n); }
  void ack(Op op, uint64_t seq, bp_status status) noexcept { hub_.ack(op, seq, status); }

 private:
  Hub hub_;
};

/// `state` and the empty path.
class StateEndpoint final : public Watched {
 public:
  explicit StateEndpoint(Supervisor& supervisor)
      : Watched(supervisor.states()), supervisor_(supervisor) {}
  Status read(Op op) {
    StackArena arena;
    return op.reply(Supervisor::to_map(arena, supervisor_.snapshot(), supervisor_.options()));
  }

 private:
  Supervisor& supervisor_;
};

/// `output`.
class OutputEndpoint final : public Watched {
 public:
  explicit OutputEndpoint(Supervisor& supervisor) : Watched(supervisor.output()) {}
};

/// `stdin`.
class InputEndpoint final {
 public:
  explicit InputEndpoint(Supervisor& supervisor) : input_(supervisor.input()) {}
  Status write(Op op) { return input_.write(op); }
  void cancel(Op op) noexcept { input_.cancel(op); }

 private:
  StdinWriter& input_;
};

/// `start`, `stop`, `restart`, `signal`. A call that was cancelled is not undone: only its answer
/// comes early.
class Command final {
 public:
  using Action = void (*)(Supervisor&, Op, Supervisor::Done);

  /// `calls` holds what is under way, for all endpoints of the instance, which it outlives.
  Command(Supervisor& supervisor, PendingList& calls, Action action)
      : supervisor_(supervisor), calls_(calls), action_(action) {}
  Status call(Op op) {
    Status added = calls_.add(op);
    if (added.is_pending()) {
      PendingList& calls = calls_;
      action_(supervisor_, op, [&calls, op](const Status& status) { calls.complete(op, status); });
    }
    return added;
  }
  void cancel(Op op) noexcept { calls_.cancel(op); }

  /// The action of a path; none for others.
  static Action find(std::string_view path) noexcept;

 private:
  Supervisor& supervisor_;
  PendingList& calls_;
  const Action action_;
};

}  // namespace backplane::process
