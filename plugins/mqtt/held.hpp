// SPDX-License-Identifier: Apache-2.0
// Messages that have been handed over and are not acknowledged to the broker yet.
//
// Design notes. A message is settled when all its parts are: one part a listener that got it, one a
// filter that had no listener. A part whose listener has ended without an acknowledgement is
// offered again, to whoever comes to listen to that filter afterwards: who was there before has the
// message already. One whose listener is still there, but could not take it, is its own. The broker
// sends again, on a new connection of the same session, exactly those whose acknowledgement has not
// left us, with the packet identifiers that they had: these are found here and not handed over
// twice. As soon as acknowledgements may have left, they are forgotten here: rather twice than
// never.
#pragma once

#include "properties.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace backplane::mqtt {

class HeldMessages {
 public:
  using Id = uint64_t;
  enum class State { kOut, kSettled, kUnclaimed };
  struct Part {
    std::string filter;  // empty: of a subscription that this run does not have
    State state = State::kOut;
    int64_t since_ns = 0;           // unclaimed since
    int64_t listener_since_ns = 0;  // when the listener came that has it, or had
  };
  struct Message {
    std::shared_ptr<const Inbound> inbound;
    std::vector<Part> parts;
    bool is_here = true;  // received on the present connection
    bool is_new = true;   // not handed over yet
  };

  /// A received message of QoS 1. False: it is one that is held already.
  bool add(Inbound message);
  /// The messages that nobody has handed over yet, in their order.
  std::vector<Id> take_new();
  /// Null: settled long ago, or forgotten.
  Message* find(Id id) noexcept;
  /// Says to whom a new message goes: one part each. Throws std::bad_alloc.
  void set_parts(Id id, std::vector<Part> parts);
  /// A part is acknowledged (or dropped), or was not and may be offered again.
  void settle(Id id, size_t part, bool accepted, int64_t now_ns);
  struct Claimed {
    Id id;
    size_t part;
    std::shared_ptr<const Inbound> inbound;
  };
  /// Takes the unclaimed parts of this filter out again that a listener may have who came at that
  /// time: one of each message at most.
  std::vector<Claimed> claim(const std::string& filter, int64_t listener_since_ns);
  /// The parts unclaimed since before a time, which are settled now: they are dropped.
  size_t give_up(int64_t before_ns);

  /// Nothing that this connection has received waits for an acknowledgement: output may go.
  bool is_free() const noexcept { return unsettled_here_ == 0; }
  /// Nothing waits at all.
  bool is_settled() const noexcept { return unsettled_ == 0; }
  /// Since when output is held; 0: it is not.
  int64_t held_since_ns() const noexcept { return held_since_ns_; }
  void set_held_since(int64_t now_ns) noexcept {
    held_since_ns_ = is_free() ? 0 : held_since_ns_ == 0 ? now_ns : held_since_ns_;
  }

  /// The acknowledgements of what was received here are on their way.
  void released();
  /// The connection is gone, the broker keeps its session.
  void connection_lost() noexcept;
  /// The broker has forgotten all.
  void clear() noexcept;
  size_t size() const noexcept { return messages_.size(); }

 private:
  static bool is_settled(const Message& message) noexcept;
  void count(const Message& message, int change) noexcept;

  std::map<Id, Message> messages_;
  Id next_ = 1;
  size_t unsettled_ = 0;
  size_t unsettled_here_ = 0;
  int64_t held_since_ns_ = 0;
};

}  // namespace backplane::mqtt
