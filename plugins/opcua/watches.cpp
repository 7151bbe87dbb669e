// SPDX-License-Identifier: Apache-2.0
#include "watches.hpp"

#include "client.hpp"
#include "values.hpp"

namespace backplane::opcua {
namespace {

constexpr auto kAgainAfter = std::chrono::seconds(5);

/// Starts a watch in a session, once its node is known.
class WatchJob final : public Job {
 public:
  WatchJob(Watches& watches, const Watch& watch)
      : Job(watch.target), watches_(watches), number_(watch.number) {}
  void run(Session& session) override { watches_.create(session, number_, *target().node); }
  void fail(const Status& status) override { watches_.refuse(number_, status); }

 private:
  Watches& watches_;
  const uint64_t number_;
};

}  // namespace

Watches::Watches(Client& client)
    : client_(client),
      create_waiting_(client.host(), [this] { create_waiting(); }),
      start_again_(client.host(), [this] { start_again(); }) {}

void Watches::add(std::shared_ptr<Watch> watch) {
  if (watch->hub.watchers() == 0) {
    return;  // cancelled before it came here
  }
  if (stopped_) {
    return watch->hub.end(*stopped_);
  }
  watches_.emplace(watch->number, watch);
  start(watch);
}

void Watches::start(const std::shared_ptr<Watch>& watch) {
  if (client_.session() != nullptr) {
    client_.run(std::make_shared<WatchJob>(*this, *watch));
  }
}

void Watches::start_all() {
  const auto all = watches_;  // one that fails at once is removed
  for (const auto& [number, watch] : all) {
    start(watch);
  }
}

void Watches::start_again() {
  for (const uint64_t number : std::exchange(again_, {})) {
    if (const auto at = watches_.find(number); at != watches_.end()) {
      start(std::shared_ptr(at->second));
    }
  }
}

void Watches::forget_session() {
  ++session_number_;
  subscriptions_.clear();
  again_.clear();
  for (const auto& [number, watch] : watches_) {
    watch->item = 0;
    watch->is_first = true;
    watch->held.clear();
  }
}

void Watches::stop(const Status& status, std::function<void()> done) {
  stopped_ = status;
  forget_session();
  const auto all = std::exchange(watches_, {});
  auto left = std::make_shared<size_t>(all.size());
  if (all.empty()) {
    return done();
  }
  for (const auto& [number, watch] : all) {
    watch->hub.stop(status, [this, left, done] {
      static_cast<void>(post(client_.host(), [left, done] {
        if (--*left == 0) {
          done();
        }
      }));
    });
  }
}

void Watches::refuse(uint64_t number, const Status& status) {
  const auto at = watches_.find(number);
  if (client_.session() == nullptr || at == watches_.end()) {
    return;  // of a session that is gone: the next one starts it again
  }
  const bool is_full = status.code() == BP_RESOURCE_EXHAUSTED || status.code() == BP_UNAVAILABLE;
  if (status.code() != BP_DEADLINE_EXCEEDED && !(is_full && at->second->has_had_item)) {
    return end(number, status);
  }
  if (again_.empty()) {
    client_.host().log().warning("a watch is tried again", {{"error", status.to_string()}});
    static_cast<void>(start_again_.after(kAgainAfter));
  }
  again_.push_back(number);
}

void Watches::end(uint64_t number, const Status& status) {
  if (const auto ended = watches_.extract(number)) {
    ended.mapped()->hub.end(status);
  }
}

void Watches::create(Session& session, uint64_t number, const UA_NodeId& node) {
  const auto at = watches_.find(number);
  if (at == watches_.end()) {
    return;
  }
  const auto& events = at->second->options.events;
  at->second->event_filter = events ? events->filter(session.namespaces()) : EventOptions::Filter();
  const auto publishing = at->second->options.publishing;
  Subscription& subscription = subscriptions_[publishing];
  subscription.items += 1;
  subscription.waiting.emplace_back(number, NodeId::copy_of(node));
  if (subscription.id != 0) {
    static_cast<void>(create_waiting_.post());
  } else if (!std::exchange(subscription.is_asked_for, true)) {
    subscribe(session, publishing);
  }
}

void Watches::remove(uint64_t number) {
  const auto at = watches_.find(number);
  if (at == watches_.end()) {
    return;
  }
  const auto watch = std::move(at->second);
  watches_.erase(at);
  Session* const session = client_.session();
  if (session != nullptr && watch->item != 0) {
    drop_item(*session, watch->options.publishing, watch->item);
  }
}

void Watches::changed(uint64_t number, const UA_DataValue& value) {
  const auto at = watches_.find(number);
  if (at == watches_.end() || client_.session() == nullptr) {
    return;
  }
  const auto watch = at->second;
  give(*watch, [&] {
    if (!watch->held.empty() || !publish(*watch, value, &client_.type_reader().types())) {
      watch->held.push_back(DataValue::copy_of(value));
    }
  });
}

/// What is published may be nothing that a message can hold, or be the last that is wanted.
template <class Body>
void Watches::give(Watch& watch, Body body) {
  try {
    body();
  } catch (...) {
    watch.hub.end(current_exception_status());  // the same value would come again
    return remove(watch.number);
  }
  if (watch.hub.watchers() == 0) {
    remove(watch.number);  // ended by its consumer
  }
}

/// False: it has a structure that nobody has asked for yet; it comes when that is known.
bool Watches::publish(Watch& watch, const UA_DataValue& value, DataTypes* types) {
  MessageBuilder message;
  if (watch.options.events) {
    fill_event(message, *watch.options.events, value, types);
  } else {
    fill_message(message, value, types, watch.options.is_reversible);
  }
  if (types != nullptr && types->has_missing()) {
    client_.type_reader().read_missing(
        *client_.session(), [this, number = watch.number](const Status& status) {
          publish_held(number, status.is_error() ? nullptr : &client_.type_reader().types());
        });
    return false;
  }
  // Events have no present value.
  const bool is_initial = std::exchange(watch.is_first, false) && !watch.options.events;
  message.flags(is_initial ? BP_M_INITIAL : 0u);
  static_cast<void>(watch.hub.publish(message));
  return true;
}

/// None of the types: the server has not told them in time, and structures stay as they came.
void Watches::publish_held(uint64_t number, DataTypes* types) {
  const auto at = watches_.find(number);
  if (at == watches_.end() || client_.session() == nullptr) {
    return;
  }
  const auto watch = at->second;
  give(*watch, [&] {
    while (!watch->held.empty()) {
      const DataValue value = std::move(watch->held.front());
      watch->held.pop_front();
      if (!publish(*watch, *value, types)) {
        watch->held.push_front(DataValue::copy_of(*value));
        return;
      }
    }
  });
}

}  // namespace backplane::opcua
