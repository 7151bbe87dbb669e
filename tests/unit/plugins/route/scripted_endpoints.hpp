// SPDX-License-Identifier: Apache-2.0
// A source and a destination that do what the test says, on any host.
#pragma once

#include "backplane/sdk/endpoint_object.hpp"
#include "backplane/sdk/host.hpp"

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

namespace backplane::test {

/// Watched by one at a time. publish() is called by one thread at a time.
class ScriptedSource {
 public:
  explicit ScriptedSource(const Host& host) : host_(host) {}

  class Endpoint;
  std::unique_ptr<Endpoint> object();
  bp_endpoint endpoint();

  /// False: nobody watches, or there is no credit.
  bool publish(MessageView message) {
    bp_op* op = nullptr;
    {
      const std::lock_guard lock(mutex_);
      if (watch_ == nullptr || end_ || credit_ == 0) return false;
      credit_ -= credit_ == UINT32_MAX ? 0 : 1;
      op = watch_;
      publishing_ = true;
    }
    const bool is_delivered = host_.deliver(op, message).is_ok();
    std::optional<Status> status;
    {
      const std::lock_guard lock(mutex_);
      publishing_ = false;
      status = std::exchange(end_, std::nullopt);
      if (status) watch_ = nullptr;
    }
    if (status) host_.complete(op, *status);
    return is_delivered;
  }
  bool publish(ValueView body, uint64_t seq = 0, uint32_t flags = 0) {
    return publish(MessageBuilder(body).seq(seq).flags(flags));
  }
  /// Ends the watch; nothing if there is none. While publish() delivers, it does it, afterwards.
  void end(const Status& status) {
    bp_op* op = nullptr;
    {
      const std::lock_guard lock(mutex_);
      if (watch_ == nullptr) return;
      if (publishing_) {
        end_ = status;
        return;
      }
      op = std::exchange(watch_, nullptr);
    }
    host_.complete(op, status);
  }

  bool is_watched() const { return read(watch_) != nullptr; }
  bool wants_ack() const { return read(wants_ack_); }
  /// What the watch says in its headers.
  OwnedMessage asked() const { return read(asked_); }
  uint64_t credit() const { return read(credit_); }
  int watches() const { return read(watches_); }
  /// How often each number was settled with OK; others are in `nacked`.
  std::map<uint64_t, int> acked() const { return read(acked_); }
  std::map<uint64_t, int> nacked() const { return read(nacked_); }

  // Before it is watched.
  bool refuses_ack = false;
  Status refusal;  // of the next watches; OK: none

 private:
  template <class T>
  T read(const T& member) const {
    const std::lock_guard lock(mutex_);
    return member;
  }

  const Host& host_;
  mutable std::mutex mutex_;
  bp_op* watch_ = nullptr;
  bool publishing_ = false;
  std::optional<Status> end_;  // asked for while it was publishing
  bool wants_ack_ = false;
  OwnedMessage asked_;
  uint64_t credit_ = 0;
  int watches_ = 0;
  std::map<uint64_t, int> acked_;
  std::map<uint64_t, int> nacked_;
};

class ScriptedSource::Endpoint {
 public:
  explicit Endpoint(ScriptedSource& owner) : owner_(owner) {}
  Status watch(Op op) {
    if (owner_.refusal.is_error()) return owner_.refusal;
    const std::lock_guard lock(owner_.mutex_);
    owner_.watch_ = op;
    owner_.wants_ack_ = op.wants_ack();
    owner_.asked_ = OwnedMessage(op.in());
    owner_.credit_ = op->credit;
    ++owner_.watches_;
    return Status::pending();
  }
  void cancel(Op) noexcept { owner_.end(Status(BP_CANCELLED)); }
  void credit(Op, uint32_t n) noexcept {
    const std::lock_guard lock(owner_.mutex_);
    owner_.credit_ = n == UINT32_MAX ? n : owner_.credit_ + n;
  }
  void ack(Op, uint64_t seq, bp_status status) noexcept {
    const std::lock_guard lock(owner_.mutex_);
    ++(status == BP_OK ? owner_.acked_ : owner_.nacked_)[seq];
  }

 private:
  ScriptedSource& owner_;
};

inline std::unique_ptr<ScriptedSource::Endpoint> ScriptedSource::object() {
  return std::make_unique<Endpoint>(*this);
}
inline bp_endpoint ScriptedSource::endpoint() {
  constexpr uint32_t kVerbs = verbs_of<Endpoint>();
  return make_endpoint(object(), refuses_ack ? kVerbs & ~BP_CAN_ACK : kVerbs);
}

/// Written and called.
class ScriptedDestination {
 public:
  explicit ScriptedDestination(const Host& host) : host_(host) {}

  class Endpoint;
  std::unique_ptr<Endpoint> object();
  bp_endpoint endpoint();

  /// What each operation is answered with; PENDING: kept until the test completes it. Empty: OK.
  std::function<Status(Op)> answer;
  void keep_all() {
    answer = [](Op) { return Status::pending(); };
  }

  /// The bodies and headers of all operations so far, in their order.
  std::vector<OwnedMessage> received() const {
    const std::lock_guard lock(mutex_);
    return received_;
  }
  std::vector<int> values() const {
    std::vector<int> out;
    for (const OwnedMessage& each : received()) out.push_back(each.as<int>().value());
    return out;
  }
  size_t count() const {
    const std::lock_guard lock(mutex_);
    return received_.size();
  }
  std::vector<uint16_t> verbs() const {
    const std::lock_guard lock(mutex_);
    return verbs_;
  }
  size_t kept() const {
    const std::lock_guard lock(mutex_);
    return kept_.size();
  }
  /// The body of a kept operation.
  int kept_value(size_t i) const {
    const std::lock_guard lock(mutex_);
    return Op(kept_.at(i)).in().as<int>().value();
  }
  /// Completes the i-th of those that are kept.
  void complete(size_t i, const Status& status) {
    bp_op* op = nullptr;
    {
      const std::lock_guard lock(mutex_);
      op = kept_.at(i);
      kept_.erase(kept_.begin() + static_cast<std::ptrdiff_t>(i));
    }
    host_.complete(op, status);
  }
  void complete_all(const Status& status = Status::ok()) {
    while (kept() != 0) complete(0, status);
  }

 private:
  Status take(Op op) {
    {
      const std::lock_guard lock(mutex_);
      received_.emplace_back(op.in());
      verbs_.push_back(op.verb());
    }
    const Status status = answer ? answer(op) : Status::ok();
    if (status.is_pending()) {
      const std::lock_guard lock(mutex_);
      kept_.push_back(op);
    }
    return status;
  }
  bool remove(bp_op* op) {
    const std::lock_guard lock(mutex_);
    return std::erase(kept_, op) != 0;
  }
  void cancel(Op op) noexcept {
    if (remove(op)) host_.complete(op, Status(BP_CANCELLED));
  }

  const Host& host_;
  mutable std::mutex mutex_;
  std::vector<OwnedMessage> received_;
  std::vector<uint16_t> verbs_;
  std::vector<bp_op*> kept_;
};

class ScriptedDestination::Endpoint {
 public:
  explicit Endpoint(ScriptedDestination& owner) : owner_(owner) {}
  Status write(Op op) { return owner_.take(op); }
  Status call(Op op) { return owner_.take(op); }
  void cancel(Op op) noexcept { owner_.cancel(op); }

 private:
  ScriptedDestination& owner_;
};

inline std::unique_ptr<ScriptedDestination::Endpoint> ScriptedDestination::object() {
  return std::make_unique<Endpoint>(*this);
}
inline bp_endpoint ScriptedDestination::endpoint() { return make_endpoint(object()); }

}  // namespace backplane::test
