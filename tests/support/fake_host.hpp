// SPDX-License-Identifier: Apache-2.0
// FakeHost: a bp_host inside the test process, for plugins and the SDK without a kernel. It keeps
// the contract of operations (exactly one completion, none while a call is inside) and reports
// breaches as test failures. Its loop runs when the test says so, on a clock that the test moves,
// or on a thread.
#pragma once

#include "backplane/sdk/buffer.hpp"
#include "backplane/sdk/endpoint_object.hpp"
#include "backplane/sdk/loop.hpp"
#include "backplane/sdk/services.hpp"

#include <gtest/gtest.h>

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <poll.h>
#include <string>
#include <thread>
#include <vector>

namespace backplane::test {

class FakeLoop {
 public:
  ~FakeLoop() { stop_thread(); }

  // ---- for tests ----
  /// Runs what is due and ready, and what that leads to, on this thread. Returns how many ran.
  size_t run() {
    size_t ran = 0;
    while (run_one()) ++ran;
    return ran;
  }
  /// Moves the clock and runs what is due, in order of time.
  void advance(std::chrono::nanoseconds by) {
    offset_ += by.count();
    run();
  }
  int64_t now() const { return monotonic_ns() + offset_; }
  /// From now until the destruction a thread runs the loop.
  void start_thread() {
    thread_ = std::thread([this] {
      std::unique_lock lock(mutex_);
      while (!ending_) {
        lock.unlock();
        const bool ran = run_one();
        lock.lock();
        if (!ran && !ending_) changed_.wait_for(lock, std::chrono::milliseconds(1));
      }
    });
  }
  void stop_thread() {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) thread_.join();
  }
  size_t registrations() {
    const std::lock_guard lock(mutex_);
    return posted_.size() + timed_.size() + watched_.size();
  }
  /// The time of the earliest timer, from now; negative: none.
  std::chrono::nanoseconds next_timer() {
    const std::lock_guard lock(mutex_);
    return std::chrono::nanoseconds(timed_.empty() ? -1 : timed_.begin()->first - now());
  }

  // ---- bp.executor/1 ----
  bp_status post(void (*task)(void*), void* user) {
    const std::lock_guard lock(mutex_);
    posted_.emplace_back([=] { task(user); });
    changed_.notify_all();
    return BP_OK;
  }
  bp_status at(int64_t time, void (*task)(void*), void* user, uint64_t* id) {
    const std::lock_guard lock(mutex_);
    *id = ++last_id_;
    timed_.emplace(time, Timed{*id, [=] { task(user); }});
    changed_.notify_all();
    return BP_OK;
  }
  bp_status watch_fd(int fd, uint32_t events, void (*task)(void*, uint32_t), void* user,
                     uint64_t* id) {
    const std::lock_guard lock(mutex_);
    *id = ++last_id_;
    watched_[*id] = {fd, events, [=](uint32_t ready) { task(user, ready); }};
    return BP_OK;
  }
  bp_status change_fd(uint64_t id, uint32_t events) {
    const std::lock_guard lock(mutex_);
    const auto found = watched_.find(id);
    if (found == watched_.end()) return BP_NOT_FOUND;
    found->second.events = events;
    return BP_OK;
  }
  bp_status remove(uint64_t id) {
    const std::lock_guard lock(mutex_);
    const bool elsewhere = running_id_ == id && runner_ != std::this_thread::get_id();
    if (watched_.erase(id) > 0) return elsewhere ? BP_PENDING : BP_OK;
    for (auto it = timed_.begin(); it != timed_.end(); ++it) {
      if (it->second.id == id) {
        timed_.erase(it);
        return BP_OK;
      }
    }
    if (running_id_ == id) return elsewhere ? BP_PENDING : BP_OK;
    return BP_NOT_FOUND;
  }
  bool on_loop() {
    const std::lock_guard lock(mutex_);
    return runner_ == std::this_thread::get_id();
  }

 private:
  struct Timed {
    uint64_t id;
    std::function<void()> task;
  };
  struct Watched {
    int fd = -1;
    uint32_t events = 0;
    std::function<void(uint32_t)> task;
  };

  bool run_one() {
    std::function<void()> task;
    {
      const std::lock_guard lock(mutex_);
      running_id_ = 0;
      if (!posted_.empty()) {
        task = std::move(posted_.front());
        posted_.pop_front();
      } else if (!timed_.empty() && timed_.begin()->first <= now()) {
        running_id_ = timed_.begin()->second.id;
        task = std::move(timed_.begin()->second.task);
        timed_.erase(timed_.begin());
      } else {
        task = ready_descriptor();
      }
      if (!task) return false;
      runner_ = std::this_thread::get_id();
    }
    task();
    const std::lock_guard lock(mutex_);
    runner_ = {};
    running_id_ = 0;
    return true;
  }
  std::function<void()> ready_descriptor() {
    for (auto& [id, watched] : watched_) {
      const int wanted = ((watched.events & BP_FD_READ) != 0 ? POLLIN : 0) |
                         ((watched.events & BP_FD_WRITE) != 0 ? POLLOUT : 0);
      pollfd poll_fd{watched.fd, static_cast<short>(wanted), 0};
      if (wanted == 0 || ::poll(&poll_fd, 1, 0) <= 0) continue;
      const uint32_t ready =
          ((poll_fd.revents & (POLLIN | POLLHUP | POLLERR)) != 0 ? BP_FD_READ : 0u) |
          ((poll_fd.revents & POLLOUT) != 0 ? BP_FD_WRITE : 0u);
      running_id_ = id;
      return [task = watched.task, ready] { task(ready); };
    }
    return {};
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> posted_;
  std::multimap<int64_t, Timed> timed_;
  std::map<uint64_t, Watched> watched_;
  uint64_t last_id_ = 0;
  uint64_t running_id_ = 0;
  std::thread::id runner_;
  bool ending_ = false;
  std::atomic<int64_t> offset_{0};
  std::thread thread_;
};

class FakeHost {
 public:
  struct LogRecord {
    uint32_t level;
    std::string text;
    std::string fields = {};  // "\"name\"=value " each
  };
  struct Report {
    uint32_t state;
    std::string detail;
  };

  FakeHost() {
    host_.base = {BP_SIZE_TO(bp_host, system),
                  BP_ABI_MINOR,
                  &log_level_,
                  {"test", 4},
                  &get_service,
                  {"fake", 4}};
    host_.owner = this;
  }
  FakeHost(const FakeHost&) = delete;
  FakeHost& operator=(const FakeHost&) = delete;
  ~FakeHost() {
    loop.stop_thread();
    loop.run();
    if (opener_ != 0) release(opener_);
    EXPECT_EQ(live_operations_, 0) << "operations were not freed";
  }

  const bp_host* raw() const { return &host_.base; }
  FakeLoop loop;
  /// While it is true, `op_new` fails.
  std::atomic<bool> has_no_memory_for_operations{false};

  /// `address` can be opened from now on; owned by the host.
  void add_endpoint(const std::string& address, bp_endpoint endpoint) {
    addresses_[address] = adopt_endpoint(endpoint);
  }
  bp_ref adopt_endpoint(bp_endpoint endpoint) {
    const std::lock_guard lock(mutex_);
    slots_.push_back(std::make_unique<Slot>(Slot{endpoint, 1, 0, {}}));
    return slots_.size();
  }
  void close_address(const std::string& address) { release(addresses_.at(address)); }
  /// What opening an address comes to: an error; PENDING: until finish_opens(); OK, or no function:
  /// it is looked up at once.
  std::function<Status(std::string_view address)> opening;
  bool cancels_opens = true;  // that pend
  /// Looks up what is to be opened, or refuses it.
  void finish_opens(const Status& refusal = Status::ok()) {
    for (const auto& [op, address] : std::exchange(opens_, {})) {
      complete(raw(), op, refusal.is_error() ? refusal.to(op->error) : look_up(address, op));
    }
  }
  /// References that nobody has closed, of what was added and adopted.
  int references() const {
    int sum = 0;
    for (const auto& slot : slots_) sum += slot->owners;
    return sum - (opener_ != 0 ? 1 : 0);
  }
  void set_credential(const std::string& name, const std::string& field, std::string content) {
    credentials_[name + "." + field] = std::move(content);
  }
  /// "messages_dropped_total{reason=oldest}"; 0 when nobody defined it.
  int64_t metric(const std::string& name) {
    const std::lock_guard lock(mutex_);
    const auto found = metric_ids_.find(name);
    return found == metric_ids_.end() ? 0 : metrics_[found->second];
  }
  std::vector<LogRecord> logs() {
    const std::lock_guard lock(mutex_);
    return logs_;
  }
  std::vector<Report> reports() {
    const std::lock_guard lock(mutex_);
    return reports_;
  }

 private:
  struct Self {
    bp_host base;
    FakeHost* owner;
  };
  struct Operation;
  struct Slot {
    bp_endpoint endpoint;
    int owners;
    int pending;
    std::vector<bp_op*> operations;
  };
  struct Operation {
    int inside = 0;
    bool completed = true;
    bool completed_inline = false;
    bool dispatching = false;
    bool cancel_wanted = false;
    uint32_t credit = 0;
    Slot* slot = nullptr;
    bp_op op{};
    static Operation& of(bp_op* op) {
      return *reinterpret_cast<Operation*>(reinterpret_cast<char*>(op) - offsetof(Operation, op));
    }
  };
  static FakeHost& of(const bp_host* host) { return *reinterpret_cast<const Self*>(host)->owner; }

  // ---- bp.endpoint/1 ----
  static bp_op* op_new(const bp_host* host) {
    FakeHost& self = of(host);
    const std::lock_guard lock(self.mutex_);
    if (self.has_no_memory_for_operations) {
      return nullptr;
    }
    ++self.live_operations_;
    auto* operation = new Operation();
    operation->op.struct_size = BP_SIZE_TO(bp_op, impl);
    return &operation->op;
  }
  static void op_free(const bp_host* host, bp_op* op) {
    FakeHost& self = of(host);
    {
      const std::lock_guard lock(self.mutex_);
      --self.live_operations_;
      EXPECT_TRUE(Operation::of(op).completed) << "op_free of an operation that is under way";
    }
    delete &Operation::of(op);
  }
  static bp_status open(const bp_host* host, bp_str address, const bp_message*, bp_op* op) {
    FakeHost& self = of(host);
    op->out = bp_message{};
    const Status first = self.opening ? self.opening(to_view(address)) : Status::ok();
    if (first.is_error()) {
      return op->status = first.to(op->error);
    }
    if (first.is_pending()) {
      if (self.opener_ == 0) {
        self.opener_ = self.adopt_endpoint(make_endpoint(std::make_unique<Opener>(Opener{self})));
      }
      self.opens_.emplace_back(op, to_view(address));
      op->verb = BP_V_CALL;
      op->target = self.opener_;
      return submit(host, op);
    }
    return op->status = self.look_up(std::string(to_view(address)), op);
  }
  bp_status look_up(const std::string& address, bp_op* op) {
    const auto found = addresses_.find(address);
    if (found == addresses_.end()) {
      return Status(BP_NOT_FOUND, "no address '", address, "'").to(op->error);
    }
    retain(raw(), found->second);
    op->out.body = ValueView::reference(found->second);
    return BP_OK;
  }
  /// Has the operations of opens that pend.
  struct Opener {
    FakeHost& host;
    Status call(Op) { return Status::pending(); }
    void cancel(Op op) noexcept {
      if (host.cancels_opens &&
          std::erase_if(host.opens_, [&](const auto& each) { return each.first == op; }) != 0) {
        complete(host.raw(), op, BP_CANCELLED);
      }
    }
  };
  static bp_status adopt(const bp_host* host, const bp_endpoint* endpoint, bp_ref* out) {
    *out = of(host).adopt_endpoint(*endpoint);
    return BP_OK;
  }
  static uint32_t asked_for(const bp_op& op) {
    if (op.flags == 0) return op.verb < 16 ? BP_VERB_BIT(op.verb) : 0;
    if (op.verb == BP_V_WATCH && op.flags == BP_OP_ACK) return BP_CAN_ACK;
    return op.verb == BP_V_CALL && op.flags == BP_OP_DUPLEX ? BP_CAN_DUPLEX : 0;
  }
  static uint32_t verbs(const bp_host* host, bp_ref ref) {
    FakeHost& self = of(host);
    const std::lock_guard lock(self.mutex_);
    if (ref == 0 || ref > self.slots_.size()) return 0;
    const Slot& slot = *self.slots_[ref - 1];
    return slot.owners > 0 ? slot.endpoint.verbs : 0;
  }
  static bp_status retain(const bp_host* host, bp_ref ref) {
    FakeHost& self = of(host);
    const std::lock_guard lock(self.mutex_);
    Slot& slot = *self.slots_.at(ref - 1);
    return slot.owners > 0 ? (++slot.owners, BP_OK) : BP_FAILED_PRECONDITION;
  }
  static void close(const bp_host* host, bp_ref ref) { of(host).release(ref); }
  void release(bp_ref ref) {
    Slot* slot = nullptr;
    std::vector<bp_op*> pending;
    {
      const std::lock_guard lock(mutex_);
      slot = slots_.at(ref - 1).get();
      if (--slot->owners > 0) return;
      if (slot->pending > 0) {
        pending = slot->operations;
        for (bp_op* op : pending) ++Operation::of(op).inside;
      } else {
        ++slot->pending;  // for the close below
      }
    }
    for (bp_op* op : pending) {
      slot->endpoint.ops->cancel(op);
      leave(op);
    }
    if (pending.empty()) retire(*slot);
  }
  void retire(Slot& slot) {
    bool last = false;
    {
      const std::lock_guard lock(mutex_);
      last = --slot.pending == 0 && slot.owners <= 0;
    }
    if (last) slot.endpoint.ops->close(slot.endpoint.self);
  }
  static bp_status submit(const bp_host* host, bp_op* op) {
    FakeHost& self = of(host);
    Operation& operation = Operation::of(op);
    {
      const std::lock_guard lock(self.mutex_);
      op->out = bp_message{};
      op->out.time_ns = BP_TIME_NONE;
      Slot* slot = op->target == 0 || op->target > self.slots_.size()
                       ? nullptr
                       : self.slots_[op->target - 1].get();
      if (slot == nullptr || slot->owners <= 0)
        return op->status = Status(BP_FAILED_PRECONDITION, "closed").to(op->error);
      if ((slot->endpoint.verbs & asked_for(*op)) == 0) {
        return op->status = Status(BP_UNIMPLEMENTED, "no such verb").to(op->error);
      }
      EXPECT_TRUE(operation.completed) << "submit of an operation that is under way";
      operation.completed = operation.completed_inline = operation.cancel_wanted = false;
      operation.dispatching = true;
      operation.inside = 1;
      operation.credit = op->credit;
      operation.slot = slot;
      op->self = slot->endpoint.self;
      ++slot->pending;
      slot->operations.push_back(op);
    }
    const bp_status status = operation.slot->endpoint.ops->submit(op);
    if (status != BP_PENDING) {
      {
        const std::lock_guard lock(self.mutex_);
        EXPECT_FALSE(operation.completed) << "complete() and an inline status";
        operation.completed = operation.completed_inline = true;
        std::erase(operation.slot->operations, op);
        op->status = status;
      }
      self.retire(*operation.slot);
      return status;
    }
    bool cancel_now = false;
    {
      const std::lock_guard lock(self.mutex_);
      operation.dispatching = false;
      cancel_now = operation.cancel_wanted && !operation.completed;
    }
    if (cancel_now) operation.slot->endpoint.ops->cancel(op);
    self.leave(op);
    return BP_PENDING;
  }
  static uint32_t submit_n(const bp_host*, bp_op* const*, uint32_t) { return 0; }
  bool enter(bp_op* op) {
    const std::lock_guard lock(mutex_);
    Operation& operation = Operation::of(op);
    if (operation.completed) return false;
    ++operation.inside;
    return true;
  }
  void leave(bp_op* op) {
    Operation& operation = Operation::of(op);
    {
      const std::lock_guard lock(mutex_);
      if (--operation.inside > 0 || !operation.completed || operation.completed_inline) return;
      std::erase(operation.slot->operations, op);
    }
    Slot& slot = *operation.slot;
    op->done(op);
    retire(slot);
  }
  static void cancel(const bp_host* host, bp_op* op) {
    FakeHost& self = of(host);
    if (!self.enter(op)) return;
    bool pass_on = false;
    {
      const std::lock_guard lock(self.mutex_);
      Operation::of(op).cancel_wanted = true;
      pass_on = !Operation::of(op).dispatching;
    }
    if (pass_on) Operation::of(op).slot->endpoint.ops->cancel(op);
    self.leave(op);
  }
  static void credit(const bp_host* host, bp_op* op, uint32_t n) {
    FakeHost& self = of(host);
    if (!self.enter(op)) return;
    {
      const std::lock_guard lock(self.mutex_);
      uint32_t& have = Operation::of(op).credit;
      have = have > UINT32_MAX - n ? UINT32_MAX : have + n;
    }
    Operation::of(op).slot->endpoint.ops->credit(op, n);
    self.leave(op);
  }
  static void ack(const bp_host* host, bp_op* op, uint64_t seq, bp_status status) {
    FakeHost& self = of(host);
    if (!self.enter(op)) return;
    Operation::of(op).slot->endpoint.ops->ack(op, seq, status);
    self.leave(op);
  }
  static void complete(const bp_host* host, bp_op* op, bp_status status) {
    FakeHost& self = of(host);
    EXPECT_LE(status, BP_OK);
    if (!self.enter(op)) {
      ADD_FAILURE() << "an operation was completed twice";
      return;
    }
    {
      const std::lock_guard lock(self.mutex_);
      Operation::of(op).completed = true;
      op->status = status;
    }
    self.leave(op);
  }
  static bp_status deliver(const bp_host* host, bp_op* op, const bp_message* messages, uint32_t n) {
    FakeHost& self = of(host);
    if (!self.enter(op)) {
      ADD_FAILURE() << "a message was delivered after the completion";
      return BP_FAILED_PRECONDITION;
    }
    bp_status status = BP_OK;
    {
      const std::lock_guard lock(self.mutex_);
      uint32_t& have = Operation::of(op).credit;
      EXPECT_GE(have, n) << "more was delivered than there was credit for";
      have -= have == UINT32_MAX ? 0 : n;
    }
    status = op->sink->next(op, messages, n);
    self.leave(op);
    return status;
  }

  // ---- the other services ----
  static bp_status define(const bp_host* host, bp_str name, uint32_t, const bp_pair* labels,
                          uint32_t n, uint64_t* id) {
    FakeHost& self = of(host);
    std::string key(to_view(name));
    for (uint32_t i = 0; i < n; ++i) {
      key += concat(i == 0 ? '{' : ',', std::string_view(labels[i].key.as.s, labels[i].key.len),
                    "=", std::string_view(labels[i].val.as.s, labels[i].val.len));
    }
    const std::lock_guard lock(self.mutex_);
    *id = self.metric_ids_.emplace(key + (n > 0 ? "}" : ""), self.metric_ids_.size()).first->second;
    return BP_OK;
  }
  static void metric_add(const bp_host* host, uint64_t id, int64_t delta) {
    const std::lock_guard lock(of(host).mutex_);
    of(host).metrics_[id] += delta;
  }
  static void metric_set(const bp_host* host, uint64_t id, int64_t value) {
    const std::lock_guard lock(of(host).mutex_);
    of(host).metrics_[id] = value;
  }
  static void write_log(const bp_host* host, uint32_t level, bp_str message, const bp_pair* pairs,
                        uint32_t n_pairs) {
    std::string fields;
    for (uint32_t i = 0; i < n_pairs; ++i) {
      fields +=
          concat(ValueView(pairs[i].key).to_text(), "=", ValueView(pairs[i].val).to_text(), " ");
    }
    const std::lock_guard lock(of(host).mutex_);
    of(host).logs_.push_back({level, std::string(to_view(message)), std::move(fields)});
  }
  static void report(const bp_host* host, uint32_t state, bp_str detail) {
    const std::lock_guard lock(of(host).mutex_);
    of(host).reports_.push_back({state, std::string(to_view(detail))});
  }
  static bp_status allocate(const bp_host*, uint64_t length, bp_buffer** out) {
    *out = Buffer::make(length).release();
    return BP_OK;
  }
  static bp_status get_credential(const bp_host* host, bp_str name, bp_str field, uint32_t flags,
                                  bp_buffer** out, bp_error* error) {
    FakeHost& self = of(host);
    const auto found = self.credentials_.find(concat(to_view(name), ".", to_view(field)));
    if (found == self.credentials_.end()) return Status(BP_NOT_FOUND, "no such field").to(error);
    const std::string content =
        (flags & BP_CREDENTIAL_AS_FILE) != 0 ? concat("/fake/", to_view(field)) : found->second;
    Buffer buffer = Buffer::make(content.size() + 1);
    std::memcpy(buffer.data(), content.c_str(), content.size() + 1);
    buffer.get()->len = content.size();
    *out = buffer.release();
    return BP_OK;
  }

  static const void* get_service(const bp_host*, const char* id) {
    static const bp_endpoint_service endpoint = {BP_SIZE_TO(bp_endpoint_service, verbs),
                                                 0,
                                                 op_new,
                                                 op_free,
                                                 open,
                                                 adopt,
                                                 retain,
                                                 close,
                                                 submit,
                                                 submit_n,
                                                 cancel,
                                                 credit,
                                                 ack,
                                                 complete,
                                                 deliver,
                                                 verbs};
    static const bp_executor_service executor = {
        BP_SIZE_TO(bp_executor_service, on_loop),
        0,
        [](const bp_host* host, void (*run)(void*), void* user) {
          return of(host).loop.post(run, user);
        },
        [](const bp_host* host, int64_t time, void (*run)(void*), void* user, uint64_t* out) {
          return of(host).loop.at(time, run, user, out);
        },
        [](const bp_host* host, int32_t fd, uint32_t events, void (*run)(void*, uint32_t),
           void* user,
           uint64_t* out) { return of(host).loop.watch_fd(fd, events, run, user, out); },
        [](const bp_host* host, uint64_t which, uint32_t events) {
          return of(host).loop.change_fd(which, events);
        },
        [](const bp_host* host, uint64_t which) { return of(host).loop.remove(which); },
        [](const bp_host* host) -> uint32_t { return of(host).loop.on_loop() ? 1 : 0; }};
    static const bp_log_service log = {BP_SIZE_TO(bp_log_service, write), 0, write_log};
    static const bp_metrics_service metrics = {BP_SIZE_TO(bp_metrics_service, set), 0, define,
                                               metric_add, metric_set};
    static const bp_state_service state = {BP_SIZE_TO(bp_state_service, report), 0, report};
    static const bp_buffers_service buffers = {BP_SIZE_TO(bp_buffers_service, allocate), 0,
                                               allocate};
    static const bp_credentials_service credentials = {BP_SIZE_TO(bp_credentials_service, get), 0,
                                                       get_credential};
    static const std::map<std::string, const void*> kServices = {
        {BP_S_ENDPOINT, &endpoint},      {BP_S_EXECUTOR, &executor}, {BP_S_LOG, &log},
        {BP_S_METRICS, &metrics},        {BP_S_STATE, &state},       {BP_S_BUFFERS, &buffers},
        {BP_S_CREDENTIALS, &credentials}};
    const auto found = kServices.find(id);
    return found == kServices.end() ? nullptr : found->second;
  }

  Self host_{};
  uint32_t log_level_ = BP_LOG_DEBUG;
  std::map<std::string, bp_ref> addresses_;
  bp_ref opener_ = 0;
  std::vector<std::pair<bp_op*, std::string>> opens_;  // that pend
  std::map<std::string, std::string> credentials_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Slot>> slots_;
  int live_operations_ = 0;
  std::map<std::string, uint64_t> metric_ids_;
  std::map<uint64_t, int64_t> metrics_;
  std::vector<LogRecord> logs_;
  std::vector<Report> reports_;
};

}  // namespace backplane::test
