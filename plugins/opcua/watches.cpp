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
      counters_(client.host()),
      create_waiting_(client.host(), [this] { create_waiting(); }),
      start_again_(client.host(), [this] { start_again(); }) {}

Status Watches::begin(std::shared_ptr<Target> target, MonitorOptions options, Op op) {
  const auto watch = std::make_shared<Watch>(client_.host(), counters_, std::move(target),
                                             std::move(options), ++last_number_, op);
  const Status posted = post(client_.host(), [this, watch] { add(watch); });
  return posted.is_error() ? posted : Status::pending();
}

void Watches::cancel(Op op) noexcept {
  boundary(
      [&] {
        static_cast<void>(post(client_.host(), [this, number = Feed::number_of(op)] {
          const auto watch = take(number);
          if (watch != nullptr) {
            watch->feed.end(Status(BP_CANCELLED));
          }
        }));
      },
      [](const Status&) noexcept {});
}

void Watches::credit(Op op) noexcept {
  if (Feed::waits(op)) {
    boundary(
        [&] {
          static_cast<void>(
              post(client_.host(), [this, number = Feed::number_of(op)] { go_on(number); }));
        },
        [](const Status&) noexcept {});  // the next message goes on
  }
}

void Watches::add(const std::shared_ptr<Watch>& watch) {
  if (stopped_) {
    return watch->feed.end(*stopped_);
  }
  watches_.emplace(watch->number, watch);
  watch->is_running = true;
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

void Watches::stop(const Status& status) {
  stopped_ = status;
  forget_session();
  for (const auto& [number, watch] : std::exchange(watches_, {})) {
    watch->is_running = false;
    watch->feed.end(status);
  }
  for (const auto& [number, ending] : std::exchange(ending_, {})) {
    ending.first->feed.end(status);
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

/// When it has taken what waits for it.
void Watches::end(uint64_t number, const Status& status) {
  const auto watch = take(number);
  if (watch == nullptr) {
    return;
  }
  if (watch->feed.is_empty()) {
    return watch->feed.end(status);
  }
  ending_.emplace(number, std::pair(watch, status));
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

/// It is none of these any more, and the server is told. Null: it was none.
std::shared_ptr<Watch> Watches::take(uint64_t number) {
  if (auto ending = ending_.extract(number)) {
    return std::move(ending.mapped().first);
  }
  auto node = watches_.extract(number);
  if (!node) {
    return nullptr;
  }
  auto watch = std::move(node.mapped());
  watch->is_running = false;
  Session* const session = client_.session();
  if (session != nullptr && watch->item != 0) {
    drop_item(*session, watch->options.publishing, watch->item);
  }
  return watch;
}

void Watches::go_on(uint64_t number) {
  if (const auto at = watches_.find(number); at != watches_.end()) {
    return give(*at->second, [&] { return at->second->feed.go_on(); });
  }
  const auto at = ending_.find(number);
  if (at == ending_.end()) {
    return;
  }
  auto& [watch, status] = at->second;
  if (const Status given = watch->feed.go_on(); given.is_error()) {
    status = given;
  } else if (!watch->feed.is_empty()) {
    return;
  }
  const auto ended = ending_.extract(at);
  ended.mapped().first->feed.end(ended.mapped().second);
}

void Watches::changed(Watch& watch, const UA_DataValue& value) {
  if (!watch.is_running) {
    return;  // the server does not know yet
  }
  give(watch, [&] {
    if (watch.held.empty()) {
      if (auto given = publish(watch, value, &client_.type_reader().types())) {
        return *std::move(given);
      }
    }
    watch.held.push_back(DataValue::copy_of(value));
    return Status::ok();
  });
}

/// What is given may be nothing that a message can hold, or be refused by its consumer.
template <class Body>
void Watches::give(Watch& watch, Body body) {
  try {
    if (const Status status = body(); status.is_error()) {
      if (const auto ended = take(watch.number)) {
        ended->feed.end(status);
      }
    }
  } catch (...) {
    end(watch.number, current_exception_status());  // the same value would come again
  }
}

/// Nothing: it has a structure that nobody has asked for yet; it comes when that is known.
std::optional<Status> Watches::publish(Watch& watch, const UA_DataValue& value, DataTypes* types) {
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
    return std::nullopt;
  }
  // Events have no present value.
  const bool is_initial = std::exchange(watch.is_first, false) && !watch.options.events;
  message.flags(is_initial ? BP_M_INITIAL : 0u).seq(watch.feed.next_seq());
  return watch.feed.give(message);
}

/// None of the types: the server has not told them in time, and structures stay as they came.
void Watches::publish_held(uint64_t number, DataTypes* types) {
  const auto at = watches_.find(number);
  if (at == watches_.end() || client_.session() == nullptr) {
    return;
  }
  Watch& watch = *at->second;
  give(watch, [&] {
    Status status;
    while (!watch.held.empty() && !status.is_error()) {
      const DataValue value = std::move(watch.held.front());
      watch.held.pop_front();
      const auto given = publish(watch, *value, types);
      if (!given) {
        watch.held.push_front(DataValue::copy_of(*value));
        return Status::ok();
      }
      status = *given;
    }
    return status;
  });
}

}  // namespace backplane::opcua
