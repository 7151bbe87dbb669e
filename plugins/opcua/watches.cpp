// SPDX-License-Identifier: Apache-2.0
#include "watches.hpp"

#include "client.hpp"
#include "error_map.hpp"
#include "values.hpp"

#include <algorithm>
#include <new>

namespace backplane::opcua {
namespace {

constexpr auto kAgainAfter = std::chrono::seconds(5);

/// Starts an item in a session, once its node is known.
class ItemJob final : public Job {
 public:
  ItemJob(Watches& watches, Watches::Name name, std::shared_ptr<Target> target)
      : Job(std::move(target)), watches_(watches), name_(name) {}
  void run(Session& session) override { watches_.create(session, name_, target()); }
  void fail(const Status& status) override { watches_.refuse(name_, status); }

 private:
  Watches& watches_;
  const Watches::Name name_;
};

}  // namespace

Watches::Watches(Client& client)
    : client_(client),
      counters_(client.host()),
      create_waiting_(client.host(), [this] { create_waiting(); }),
      start_again_(client.host(), [this] { start_again(); }) {}

Status Watches::begin(WatchedNodes nodes, MonitorOptions options, Op op) {
  const auto watch = std::make_shared<Watch>(client_.host(), counters_, std::move(nodes),
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
  const uint64_t session_number = session_number_;
  for (size_t i = 0; i < watch->nodes.size(); ++i) {
    if (!watch->is_running || session_number != session_number_) {
      return;
    }
    start(*watch, i);
  }
}

void Watches::start(const Watch& watch, size_t item) {
  if (client_.session() != nullptr) {
    client_.run(
        std::make_shared<ItemJob>(*this, Name{watch.number, item}, watch.nodes.target(item)));
  }
}

void Watches::start_all() {
  const auto all = watches_;  // one that fails at once is removed
  for (const auto& [number, watch] : all) {
    start(watch);
  }
}

void Watches::start_again() {
  for (const Name name : std::exchange(again_, {})) {
    if (const auto at = watches_.find(name.watch); at != watches_.end()) {
      const std::shared_ptr<Watch> watch = at->second;
      start(*watch, name.item);
    }
  }
}

void Watches::forget_session() {
  ++session_number_;
  subscriptions_.clear();
  again_.clear();
  for (const auto& [number, watch] : watches_) {
    watch->id = 0;
    for (WatchedItem& item : watch->items()) {
      item.is_first = true;
    }
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

/// Null: the watch is gone.
Watch* Watches::find(uint64_t number) noexcept {
  const auto at = watches_.find(number);
  return at == watches_.end() ? nullptr : at->second.get();
}

void Watches::refuse(Name name, const Status& status) {
  Watch* const watch = find(name.watch);
  if (watch == nullptr || !watch->nodes.is_list()) {
    return refuse_all(name, status);
  }
  if (client_.session() == nullptr ||
      try_again(name, watch->items()[name.item].has_been_made, status)) {
    return;
  }
  const Change change{watch, name.item, only_status(code_of(status))};
  changed({&change, 1});
}

/// Not for what one node of a list is.
void Watches::refuse_all(Name name, const Status& status) {
  Watch* const watch = find(name.watch);
  // Of a session that is gone: the next one starts it again.
  if (client_.session() != nullptr && watch != nullptr &&
      !try_again(name, watch->has_been_made, status)) {
    end(name.watch, status);
  }
}

/// False: it is final.
bool Watches::try_again(Name name, bool was_there, const Status& status) {
  const bool is_full = status.code() == BP_RESOURCE_EXHAUSTED || status.code() == BP_UNAVAILABLE;
  if (status.code() != BP_DEADLINE_EXCEEDED && !(is_full && was_there)) {
    return false;
  }
  if (again_.empty()) {
    client_.host().log().warning("a watch is tried again", {{"error", status.to_string()}});
    static_cast<void>(start_again_.after(kAgainAfter));
  }
  again_.push_back(name);
  return true;
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

void Watches::create(Session& session, Name name, const Target& target) {
  Watch* const watch = find(name.watch);
  if (watch == nullptr) {
    return;
  }
  const auto& events = watch->options.events;
  if (events != nullptr) {
    watch->event_filter = events->filter(session.namespaces());
  }
  const Group group = group_of(*watch);
  Subscription& subscription = subscriptions_[group];
  subscription.items += 1;
  subscription.waiting.push_back({name, NodeId::copy_of(*target.node), target.address.attribute});
  if (subscription.id != 0) {
    static_cast<void>(create_waiting_.post());
  } else if (!std::exchange(subscription.is_asked_for, true)) {
    subscribe(session, group);
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
  if (Session* const session = client_.session()) {
    if (watch->nodes.is_list()) {
      drop(*session, group_of(*watch));
    } else if (watch->id != 0) {
      drop_items(*session, group_of(*watch), 1, watch->id);
    }
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

/// What is given, or asked for, may end the session: the rest is of one that is gone then.
void Watches::changed(std::span<const Change> changes) {
  const uint64_t session_number = session_number_;
  while (!changes.empty() && session_number == session_number_) {
    Watch& watch = *changes.front().watch;
    const auto end = std::find_if(changes.begin(), changes.end(),
                                  [&](const Change& each) { return each.watch != &watch; });
    const auto its = changes.first(static_cast<size_t>(end - changes.begin()));
    changes = changes.subspan(its.size());
    if (watch.is_running) {  // else the server does not know yet
      give(watch, [&] { return publish(watch, its); });
    }
  }
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

/// At most so many as a session gives together. What is wrong with one comes behind those before.
Status Watches::publish(Watch& watch, std::span<const Change> changes) {
  StackArena<1024> arena;
  std::array<bp_message, Session::kMostChanges> messages;
  std::array<MessageDraft::Room, Session::kMostChanges> rooms;
  std::array<size_t, Session::kMostChanges> sources;
  std::exception_ptr wrong;
  size_t n = 0;
  const bool is_behind = !watch.held.empty();
  try {
    for (; !is_behind && n < changes.size(); ++n) {
      MessageDraft message(arena, messages[n], rooms[n]);
      if (!fill(message, changes[n], &client_.type_reader().types())) {
        break;
      }
      sources[n] = changes[n].item;
    }
  } catch (...) {
    wrong = std::current_exception();
  }
  const uint64_t session_number = session_number_;
  if (n > 0) {
    Status status = watch.feed.give(std::span(messages).first(n), std::span(sources).first(n));
    if (status.is_error()) {
      return status;
    }
  }
  if (wrong != nullptr) {
    std::rethrow_exception(wrong);
  }
  if (n < changes.size() && session_number == session_number_) {
    for (const Change& each : changes.subspan(n)) {
      watch.held.push_back({each.item, DataValue::copy_of(each.value)});
    }
    if (!is_behind) {
      ask_for_types(watch.number);
    }
  }
  return Status::ok();
}

/// False: it has a structure that nobody has asked for yet; it comes when that is known.
bool Watches::fill(MessageDraft& message, const Change& change, DataTypes* types) {
  Watch& watch = *change.watch;
  if (watch.options.events) {
    fill_event(message, *watch.options.events, change.value, types);
  } else {
    try {
      fill_message(message, change.value, types, watch.options.is_reversible);
    } catch (const Error& error) {
      if (!watch.nodes.is_list()) {
        throw;
      }
      fill_message(message, only_status(code_of(error.status())), nullptr,
                   watch.options.is_reversible);
    }
  }
  if (types != nullptr && types->has_missing()) {
    return false;
  }
  watch.nodes.name(message, change.item);
  WatchedItem& item = watch.items()[change.item];
  const bool is_initial = item.is_first && !watch.options.events;  // those have no present value
  item.is_first = false;
  message.flags(is_initial ? BP_M_INITIAL : 0u).seq(watch.feed.next_seq());
  return true;
}

/// For what is held. Perhaps answered before it returns, and the session's end.
void Watches::ask_for_types(uint64_t number) {
  if (Session* const session = client_.session()) {
    client_.type_reader().read_missing(*session, [this, number](const Status& status) {
      publish_held(number, status.is_error() ? nullptr : &client_.type_reader().types());
    });
  }
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
      Watch::Held first = std::move(watch.held.front());
      watch.held.pop_front();
      MessageBuilder message;
      if (!fill(message, {&watch, first.item, *first.value}, types)) {
        watch.held.push_front(std::move(first));
        ask_for_types(number);
        return Status::ok();
      }
      status = watch.feed.give({&message.view(), 1}, {&first.item, 1});
    }
    return status;
  });
}

}  // namespace backplane::opcua
