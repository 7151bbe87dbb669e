// SPDX-License-Identifier: Apache-2.0
// The machinery behind hub.hpp; its design notes are there.
#pragma once

#include "../hub.hpp"
#include "../options.hpp"
#include "hub_state.hpp"

#include <array>
#include <atomic>

namespace backplane::detail {

class HubCore : public std::enable_shared_from_this<HubCore> {
 public:
  HubCore(const Host& host, HubOptions options)
      : host_(host),
        options_(std::move(options)),
        dropped_oldest_(host.counter("messages_dropped_total", {{"reason", "oldest"}})),
        dropped_latest_(host.counter("messages_dropped_total", {{"reason", "latest"}})),
        dropped_overflow_(host.counter("messages_dropped_total", {{"reason", "overflow"}})),
        dropped_ended_(host.counter("messages_dropped_total", {{"reason", "ended"}})) {}

  void connect() {
    wakeup_.emplace(host_, [weak = weak_from_this()] {
      if (const auto core = weak.lock()) core->pump_all(false);
    });
    timer_.emplace(host_, [weak = weak_from_this()] {
      if (const auto core = weak.lock()) core->pump_all(true);
    });
  }

  Status watch(Op op) {
    const auto policy = op.in().header<uint32_t>(BP_H_OVERFLOW).value_or(options_.default_policy);
    if (policy > BP_OVERFLOW_FAIL) {
      return Status(BP_INVALID_ARGUMENT, "unknown overflow policy ", policy,
                    ": 0 block, 1 drop_oldest, 2 latest, 3 fail");
    }
    try {
      options_of(op.in(), options_.options);
    } catch (const Error& error) {
      return error.status();
    }
    auto made = std::make_unique<HubWatcher>();
    HubWatcher& watcher = *made;
    watcher.op = op;
    watcher.policy = policy;
    watcher.credit = op->credit;
    watcher.wants_ack = op.wants_ack();
    HubOutbox outbox;
    auto state = state_.lock();
    if (state->ended) {
      return *state->ended;
    }
    if (state->last) {
      welcome(watcher, *state->last);
    } else if (options_.present) {
      watcher.is_new = state->has_new = outbox.wake = true;
    }
    watcher.index = state->watchers.size();
    state->watchers.push_back(std::move(made));
    count_ = state->watchers.size();
    op->impl[0] = reinterpret_cast<uintptr_t>(&watcher);
    op->impl[1] = reinterpret_cast<uintptr_t>(this);
    watcher.busy = true;
    pump(state, watcher, outbox);
    flush(state, outbox);
    return Status::pending();
  }

  void cancel(Op op) noexcept {
    HubOutbox outbox;
    auto state = state_.lock();
    if (HubWatcher* watcher = find(op)) {
      finish(state, *watcher, Status(BP_CANCELLED), outbox);
    }
    flush(state, outbox);
  }

  void credit(Op op, uint32_t n) noexcept {
    bool wake = false;
    {
      auto state = state_.lock();
      if (HubWatcher* watcher = find(op)) {
        watcher->credit = watcher->credit > UINT32_MAX - n ? UINT32_MAX : watcher->credit + n;
        wake = !watcher->busy && may_deliver(*watcher);
      }
    }
    if (wake) {
      wake_loop();
    }
  }

  void ack(Op op, uint64_t seq, bp_status status) noexcept {
    HubOutbox outbox;
    auto state = state_.lock();
    HubWatcher* const watcher = find(op);
    if (watcher == nullptr) {
      return;
    }
    const auto found = watcher->unsettled.find(seq);
    if (found == watcher->unsettled.end()) {
      return;
    }
    if (status >= 0) {
      outbox.settle(std::move(found->second.join), Status::ok());
    } else {
      watcher->again.push_back(std::move(found->second));
      outbox.arm = !std::exchange(state->redelivery_armed, true);
    }
    watcher->unsettled.erase(found);
    outbox.wake = !watcher->busy && may_deliver(*watcher);
    if (is_drained(*state, *watcher)) {
      finish(state, *watcher, *state->ended, outbox);
    }
    flush(state, outbox);
  }

  bool publish(MessageView message, Hub::Settled settled) noexcept {
    std::shared_ptr<HubJoin> join;
    if (settled) {
      try {
        join = std::make_shared<HubJoin>(std::move(settled));
      } catch (...) {
        settled(Status(BP_RESOURCE_EXHAUSTED));
        return true;
      }
    }
    HubOutbox outbox;
    HubWatcher* chain = nullptr;
    bp_message raw = message.raw();
    auto state = state_.lock();
    if (state->ended) {
      const Status ended = *state->ended;
      state.unlock();
      if (join) {
        join->settle(ended.is_error() ? ended : Status(BP_UNAVAILABLE, "the stream has ended"));
      }
      return true;
    }
    const Status mine = state->watchers.empty() ? Status(BP_UNAVAILABLE) : Status::ok();
    number(*state, raw);
    HubKeeper keeper(raw);
    remember(*state, keeper);
    HubWatcher** tail = &chain;
    for (size_t i = 0; i < state->watchers.size();) {
      HubWatcher& watcher = *state->watchers[i];
      if (watcher.is_new) {
        outbox.wake = true;  // again, if the loop took no task before
        ++i;                 // what is present will be this, or later
        continue;
      }
      const bool direct = !watcher.busy && watcher.queue.empty() && has_credit(watcher) &&
                          begin_direct(watcher, raw.seq, keeper, join);
      if (!direct && !watcher.final) {
        enqueue(state, watcher, keeper, join, outbox);
        if (i == state->watchers.size() || state->watchers[i].get() != &watcher) {
          continue;  // it has ended, and another one took its place
        }
      }
      if (direct || (!watcher.busy && may_deliver(watcher))) {
        watcher.busy = true;
        watcher.direct = direct;
        watcher.next = nullptr;
        *tail = &watcher;
        tail = &watcher.next;
      }
      ++i;
    }
    const bool go_on = !state->paused;
    flush(state, outbox);
    for (HubWatcher* watcher = chain; watcher != nullptr;) {
      HubWatcher* const next = watcher->next;
      const Status status =
          watcher->direct ? host_.deliver(watcher->op, MessageView(raw)) : Status::ok();
      state.relock();
      after_delivery(*watcher, status);
      pump(state, *watcher, outbox);
      flush(state, outbox);
      watcher = next;
    }
    if (join) {
      join->settle(mine);
    }
    return go_on;
  }

  void end(const Status& status) noexcept {
    HubOutbox outbox;
    auto state = state_.lock();
    if (!state->ended) {
      state->ended = status;
    }
    for (size_t i = state->watchers.size(); i-- > 0;) {  // finish() moves the last one into a gap
      HubWatcher& watcher = *state->watchers[i];
      if (is_drained(*state, watcher)) {
        finish(state, watcher, *state->ended, outbox);
      }
    }
    flush(state, outbox);
  }

  void stop(const Status& status, std::function<void()> stopped) noexcept {
    HubOutbox outbox;
    auto state = state_.lock();
    state->ended = status;
    state->stopped = std::move(stopped);
    for (size_t i = state->watchers.size(); i-- > 0;) {
      finish(state, *state->watchers[i], status, outbox);
    }
    if (state->watchers.empty() && state->stopped) {
      outbox.stopped = std::exchange(state->stopped, {});
    }
    flush(state, outbox);
  }

  bool has_room(size_t messages, size_t bytes) noexcept {
    const auto state = state_.lock();
    for (const auto& watcher : state->watchers) {
      if (watcher->policy == BP_OVERFLOW_BLOCK && !fit(*watcher, messages, bytes)) {
        return false;
      }
    }
    return true;
  }

  size_t watchers() const noexcept { return count_; }

 private:
  using Locked = Guarded<HubState>::Locked;

  /// The operation's own look-up: set by watch, cleared when it ends. With the lock.
  HubWatcher* find(Op op) const noexcept {
    return op->impl[1] == reinterpret_cast<uintptr_t>(this)
               ? reinterpret_cast<HubWatcher*>(op->impl[0])
               : nullptr;
  }

  bool has_credit(const HubWatcher& watcher) const noexcept {
    return watcher.credit > 0 &&
           watcher.unsettled.size() + watcher.again.size() < options_.queue_messages;
  }
  bool may_deliver(const HubWatcher& watcher) const noexcept {
    return !watcher.queue.empty() && has_credit(watcher);
  }
  static bool is_drained(const HubState& state, const HubWatcher& watcher) noexcept {
    return state.ended && !watcher.is_new && !watcher.busy && watcher.queue.empty() &&
           watcher.unsettled.empty() && watcher.again.empty();
  }
  /// One alone fits whatever its size.
  bool fit(const HubWatcher& watcher, size_t messages, size_t bytes) const noexcept {
    const bool is_alone = watcher.queue.empty() && messages == 1;
    return watcher.queue.size() + messages <= options_.queue_messages &&
           (is_alone || watcher.bytes + bytes <= options_.queue_bytes);
  }
  bool is_full(const HubWatcher& watcher, size_t more) const noexcept {
    return !fit(watcher, 1, more);
  }
  static void take_credit(HubWatcher& watcher) noexcept {
    watcher.credit -= watcher.credit == UINT32_MAX ? 0 : 1;
  }

  /// False: no memory to remember what is to be acknowledged.
  static bool begin_direct(HubWatcher& watcher, uint64_t seq, HubKeeper& keeper,
                           const std::shared_ptr<HubJoin>& join) noexcept {
    if (watcher.wants_ack) {
      try {
        watcher.unsettled.insert_or_assign(seq, HubEntry{keeper.keep(), join, keeper.size()});
      } catch (...) {
        return false;
      }
      if (join) join->add();
    }
    take_credit(watcher);
    return true;
  }

  static void number(HubState& state, bp_message& message) noexcept {
    message.seq = state.seq = message.seq > state.seq ? message.seq : state.seq + 1;
  }

  void remember(HubState& state, HubKeeper& keeper) const noexcept {
    if (options_.replay_last) {
      boundary([&] { state.last = keeper.keep(); },
               [&](const Status&) noexcept { state.last.reset(); });
    }
  }

  static void welcome(HubWatcher& watcher, const OwnedMessage& initial) {
    watcher.queue.push_back({initial, nullptr, hub_entry_size(initial.view())});
    HubEntry& entry = watcher.queue.back();
    entry.message.set_flags(initial.view().flags() | BP_M_INITIAL);
    watcher.bytes += entry.size;
  }

  /// On the loop. Those who come while the source is asked have the same coming to them.
  void welcome_new() noexcept {
    if (!state_.lock()->has_new) {
      return;
    }
    std::optional<OwnedMessage> present;
    Status failure;
    boundary([&] { present = options_.present(); },
             [&](const Status& status) noexcept { failure = status; });
    HubOutbox outbox;
    auto state = state_.lock();
    state->has_new = false;
    if (present) {
      state->seq = std::max<uint64_t>(state->seq, 1);
      present->set_seq(state->seq);  // the last one again
    }
    for (size_t i = state->watchers.size(); i-- > 0;) {  // finish() moves the last one into a gap
      HubWatcher& watcher = *state->watchers[i];
      if (!std::exchange(watcher.is_new, false)) {
        continue;
      }
      boundary(
          [&] {
            failure.or_throw();
            if (present) welcome(watcher, *present);
          },
          [&](const Status& status) noexcept { finish(state, watcher, status, outbox); });
      if (is_drained(*state, watcher)) {
        finish(state, watcher, *state->ended, outbox);
      }
    }
    flush(state, outbox);
  }

  void enqueue(Locked& state, HubWatcher& watcher, HubKeeper& keeper,
               const std::shared_ptr<HubJoin>& join, HubOutbox& outbox) noexcept {
    try {
      const size_t size = keeper.size();
      if (watcher.policy == BP_OVERFLOW_LATEST) {
        while (!watcher.queue.empty()) drop_front(watcher, dropped_latest_, outbox);
      } else if (watcher.policy == BP_OVERFLOW_DROP_OLDEST) {
        while (is_full(watcher, size)) drop_front(watcher, dropped_oldest_, outbox);
      } else if (is_full(watcher, size)) {
        overflow(state, watcher, join, outbox);
        return;
      }
      const bool joins = watcher.wants_ack && join;
      watcher.queue.push_back({keeper.keep(), joins ? join : nullptr, size});
      watcher.bytes += size;
      if (joins) join->add();
      state->paused =
          state->paused || (watcher.policy == BP_OVERFLOW_BLOCK && is_full(watcher, size));
    } catch (...) {  // no memory, or too deep a tree: as if there were no room
      overflow(state, watcher, join, outbox);
    }
  }

  void overflow(Locked& state, HubWatcher& watcher, const std::shared_ptr<HubJoin>& join,
                HubOutbox& outbox) noexcept {
    dropped_overflow_.add();
    if (watcher.wants_ack && join) {
      join->add();
      outbox.settle(join, Status(BP_RESOURCE_EXHAUSTED, "a watcher's queue is full"));
    }
    if (watcher.policy == BP_OVERFLOW_FAIL) {
      finish(state, watcher,
             Status(BP_RESOURCE_EXHAUSTED, "the watcher was too slow: more than ",
                    options_.queue_messages, " messages or ", options_.queue_bytes,
                    " bytes waited; grant more credit or choose another overflow policy"),
             outbox);
    }
  }

  static void drop_front(HubWatcher& watcher, const Counter& reason, HubOutbox& outbox) {
    HubEntry entry = std::move(watcher.queue.front());
    watcher.queue.pop_front();
    watcher.bytes -= entry.size;
    reason.add();
    outbox.settle(std::move(entry.join), Status::ok());
  }

  static void after_delivery(HubWatcher& watcher, const Status& status) noexcept {
    if (status.is_error() && !watcher.final) {
      watcher.final = status;
    }
  }

  /// Delivers what waits, as far as credit goes, then ends the watcher's busy time and, if it is
  /// due, the watcher.
  void pump(Locked& state, HubWatcher& watcher, HubOutbox& outbox) noexcept {
    constexpr size_t kBatch = 16;
    while (!watcher.final && may_deliver(watcher)) {
      std::array<HubEntry, kBatch> batch;
      std::array<bp_message, kBatch> raw;
      size_t n = 0;
      while (n < kBatch && may_deliver(watcher)) {
        HubEntry& entry = batch[n];
        entry = std::move(watcher.queue.front());
        watcher.queue.pop_front();
        watcher.bytes -= entry.size;
        take_credit(watcher);
        raw[n] = entry.message.view().raw();
        if (watcher.wants_ack) watcher.unsettled.insert_or_assign(raw[n].seq, entry);
        ++n;
      }
      look_for_room(*state, outbox);
      flush(state, outbox);
      const Status status = host_.deliver(watcher.op, std::span(raw.data(), n));
      state.relock();
      after_delivery(watcher, status);
    }
    watcher.busy = false;
    if (watcher.final || is_drained(*state, watcher)) {
      finish(state, watcher, watcher.final ? *watcher.final : *state->ended, outbox);
    }
  }

  void pump_all(bool redeliver) noexcept {
    welcome_new();
    HubOutbox outbox;
    HubWatcher* chain = nullptr;
    auto state = state_.lock();
    if (redeliver) {
      state->redelivery_armed = false;
    }
    for (const auto& watcher : state->watchers) {
      if (redeliver) {
        for (HubEntry& entry : watcher->again) {
          entry.message.set_flags(entry.message.view().flags() | BP_M_REDELIVERED);
          watcher->bytes += entry.size;
        }
        watcher->queue.splice(watcher->queue.begin(), watcher->again);
      }
      if (!watcher->busy && may_deliver(*watcher)) {
        watcher->busy = true;
        watcher->next = std::exchange(chain, watcher.get());
      }
    }
    while (chain != nullptr) {
      HubWatcher& watcher = *std::exchange(chain, chain->next);
      pump(state, watcher, outbox);
    }
    flush(state, outbox);
  }

  /// Ends the watcher now, or leaves that to the thread that is busy with it.
  void finish(Locked& state, HubWatcher& watcher, Status status, HubOutbox& outbox) noexcept {
    if (watcher.busy) {
      if (!watcher.final) watcher.final = std::move(status);
      return;
    }
    const Status lost(BP_CANCELLED);
    for (HubEntry& entry : watcher.queue) {
      dropped_ended_.add();
      outbox.settle(std::move(entry.join), lost);
    }
    for (auto& [seq, entry] : watcher.unsettled) {
      outbox.settle(std::move(entry.join), lost);
    }
    for (HubEntry& entry : watcher.again) {
      outbox.settle(std::move(entry.join), lost);
    }
    watcher.op->impl[0] = watcher.op->impl[1] = 0;
    outbox.completed.emplace_back(watcher.op, std::move(status));
    const size_t index = watcher.index;
    std::swap(state->watchers[index], state->watchers.back());
    state->watchers[index]->index = index;
    state->watchers.pop_back();
    count_ = state->watchers.size();
    look_for_room(*state, outbox);
    if (state->watchers.empty() && state->stopped) {
      outbox.stopped = std::exchange(state->stopped, {});
    }
  }

  /// The source may go on when every blocking queue is half empty.
  void look_for_room(HubState& state, HubOutbox& outbox) const noexcept {
    if (!state.paused) {
      return;
    }
    for (const auto& watcher : state.watchers) {
      if (watcher->policy == BP_OVERFLOW_BLOCK &&
          (watcher->queue.size() > options_.queue_messages / 2 ||
           watcher->bytes > options_.queue_bytes / 2)) {
        return;
      }
    }
    state.paused = false;
    outbox.ready = true;
  }

  void wake_loop() noexcept {
    if (const Status status = wakeup_->post(); status.is_error()) {
      log_failure(host_, status);  // the next publish delivers
    }
  }

  /// Unlocks, and calls what was collected. The lock stays free.
  void flush(Locked& state, HubOutbox& outbox) noexcept {
    state.unlock();
    if (outbox.is_empty()) {
      return;
    }
    const HubOutbox work = std::exchange(outbox, HubOutbox());
    for (const auto& [join, status] : work.settled) join->settle(status);
    for (const auto& [op, status] : work.completed) host_.complete(op, status);
    if (work.wake) wake_loop();
    if (work.arm) static_cast<void>(timer_->after(options_.redeliver_after));
    const auto failed = [this](const Status& status) noexcept { log_failure(host_, status); };
    if (work.ready && options_.on_ready) boundary([&] { options_.on_ready(); }, failed);
    if (work.stopped) {
      timer_->cancel();  // for who has gone
      boundary([&] { work.stopped(); }, failed);
    }
  }

  const Host& host_;
  const HubOptions options_;
  const Counter dropped_oldest_, dropped_latest_, dropped_overflow_, dropped_ended_;
  std::optional<Wakeup> wakeup_;
  std::optional<Timer> timer_;
  Guarded<HubState> state_;
  std::atomic<size_t> count_{0};  // of watchers, for who only asks
};

}  // namespace backplane::detail

namespace backplane {

inline Hub::Hub(const Host& host, HubOptions options)
    : core_(std::make_shared<detail::HubCore>(host, std::move(options))) {
  core_->connect();
}
// Each keeps the core, because complete() may destroy the handle that this was called through.
inline Status Hub::watch(Op op) { return std::shared_ptr(core_)->watch(op); }
inline void Hub::cancel(Op op) noexcept { std::shared_ptr(core_)->cancel(op); }
inline void Hub::credit(Op op, uint32_t n) noexcept { core_->credit(op, n); }
inline void Hub::ack(Op op, uint64_t seq, bp_status status) noexcept {
  std::shared_ptr(core_)->ack(op, seq, status);
}
inline bool Hub::publish(MessageView message, Settled settled) noexcept {
  return std::shared_ptr(core_)->publish(message, std::move(settled));
}
inline void Hub::end(const Status& status) noexcept { std::shared_ptr(core_)->end(status); }
inline void Hub::stop(const Status& status, std::function<void()> stopped) noexcept {
  std::shared_ptr(core_)->stop(status, std::move(stopped));
}
inline bool Hub::has_room(size_t messages, size_t bytes) const noexcept {
  return core_->has_room(messages, bytes);
}
inline size_t Hub::size_of(MessageView message) { return detail::hub_entry_size(message); }
inline size_t Hub::watchers() const noexcept { return core_->watchers(); }

}  // namespace backplane
