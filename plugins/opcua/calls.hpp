// SPDX-License-Identifier: Apache-2.0
// Calls of a server's methods under way, and who answers them. Loop thread only, but for what
// completes elsewhere.
//
// Design notes.
// - Whoever serves a method answers its calls: each is an operation on his handler. Without one
//   they are messages to those who watch the method, and a call is answered when all who
//   acknowledge have done so; they give no outputs.
// - A call is answered once, at the latest when its time is over. What was begun for it goes on
//   until it has an end of its own: the record stays, the caller does not wait.
#pragma once

#include "method.hpp"
#include <backplane/sdk/loop.hpp>
#include <backplane/sdk/unique_op.hpp>

#include <deque>
#include <map>

namespace backplane::opcua {

class Calls {
 public:
  /// On the loop, once, perhaps inside begin(). The outputs are as the method declares them.
  using Answer = std::function<void(const Status&, std::vector<Variant> outputs)>;

  Calls(const Host& host, size_t most, std::chrono::nanoseconds timeout);
  ~Calls();
  Calls(const Calls&) = delete;
  Calls& operator=(const Calls&) = delete;

  /// `in` has the inputs. `caller` is the connection that it came from; 0: it is local.
  uint64_t begin(Method& method, OwnedMessage in, uintptr_t caller, Answer answer);
  /// Nobody waits for the answer any more.
  void abandon(uint64_t id);
  void abandon_caller(uintptr_t caller);
  /// No more are begun; those that wait are answered with `status`.
  void stop(const Status& status);
  /// No more are begun.
  void drain() { is_draining_ = true; }

  /// Takes a SERVE operation: PENDING, or why not.
  Status serve(Op op, uint64_t op_id, Method& method);
  /// Withdraws; the operation completes when no call of it is left.
  void withdraw(uint64_t op_id);
  void withdraw_all();

  /// Calls that have no answer yet.
  size_t unanswered() const noexcept { return unanswered_; }
  /// No handler and no call is left.
  bool is_empty() const noexcept { return handlers_.empty() && calls_.empty(); }
  /// Told whenever one of these may have changed.
  std::function<void()> changed;

 private:
  struct Handler {
    uint64_t op_id;
    Op op;
    bp_ref ref;
    Method* method;
    size_t calls = 0;
    bool is_withdrawn = false;
  };
  struct Call;

  void submit(Call& call, Handler& handler);
  void publish(Call& call);
  void settled(uint64_t id, const Status& status);
  void finish(uint64_t id, const Status& status, MessageView out);
  void answer(Call& call, const Status& status, std::vector<Variant> outputs);
  void expire();
  void leave(Handler& handler);
  Handler* find(const Method& method) noexcept;
  static void done(bp_op* op);

  const Host& host_;
  const size_t most_;
  const std::chrono::nanoseconds timeout_;
  std::map<uint64_t, std::unique_ptr<Call>> calls_;
  std::vector<std::unique_ptr<Handler>> handlers_;
  std::deque<std::pair<int64_t, uint64_t>> deadlines_;  // oldest first; ended ones are skipped
  Timer timer_;
  bool is_armed_ = false;
  bool is_draining_ = false;
  size_t unanswered_ = 0;
  uint64_t last_id_ = 0;
  const Counter count_;
  const Counter refused_;
};

}  // namespace backplane::opcua
