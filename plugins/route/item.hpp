// SPDX-License-Identifier: Apache-2.0
// Item: one message of the source while any destination has it; and the pool they come from.
#pragma once

#include <backplane/sdk/message.hpp>

#include <boost/intrusive/list.hpp>

#include <algorithm>
#include <functional>
#include <memory>

namespace backplane::route {

/// Used inside the route's turn only.
struct Item {
  OwnedMessage message;
  uint64_t watch = 0;       // which watch of the source it came from
  uint64_t hops = 0;        // routes that it has passed, this one excluded
  size_t bytes = 0;         // what it keeps in memory
  size_t path_hash = 0;     // of BP_H_PATH
  int64_t arrived_ns = 0;   // monotonic; 0 unless somebody needs it
  int64_t expiry_ns = 0;    // how long its source finds it worth delivering; 0: for ever
  size_t destinations = 0;  // that have not done with it
  bool is_accepted = true;  // no destination has left it undone
  boost::intrusive::list_member_hook<> hook;

  std::string_view path() const {
    return message.view().header<std::string_view>(BP_H_PATH).value_or(std::string_view());
  }
};

/// Memory of items, used again; and a list of those that are out.
class ItemPool {
 public:
  ItemPool() = default;
  ItemPool(const ItemPool&) = delete;
  ItemPool& operator=(const ItemPool&) = delete;
  ~ItemPool() {
    out_.clear_and_dispose([](Item* item) { delete item; });
    free_.clear_and_dispose([](Item* item) { delete item; });
  }

  Item& take(MessageView message) {
    auto made = free_.empty() ? std::make_unique<Item>() : nullptr;
    Item& item = made ? *made : free_.front();
    item.message = OwnedMessage(message);  // may throw: then the item is still where it was
    if (made) {
      static_cast<void>(made.release());  // it is in a list from here on
    } else {
      free_.pop_front();
    }
    const bp_buffer* owner = item.message.view().raw().owner;
    item.bytes = sizeof(Item) + (owner != nullptr ? owner->cap : 0);
    item.hops = message.header<uint64_t>(BP_H_HOPS).value_or(0);
    item.path_hash = std::hash<std::string_view>()(item.path());
    item.arrived_ns = 0;
    item.expiry_ns = std::max<int64_t>(0, message.header<int64_t>(BP_H_EXPIRY_NS).value_or(0));
    item.is_accepted = true;
    out_.push_back(item);
    return item;
  }
  void give_back(Item& item) noexcept {
    item.message = OwnedMessage();
    out_.erase(out_.iterator_to(item));
    free_.push_front(item);
  }

  /// Whether a message of this watch with this number is out.
  bool has(uint64_t watch, uint64_t seq) const noexcept {
    for (const Item& item : out_) {
      if (item.watch == watch && item.message.view().seq() == seq) {
        return true;
      }
    }
    return false;
  }

 private:
  using List = boost::intrusive::list<
      Item, boost::intrusive::member_hook<Item, boost::intrusive::list_member_hook<>, &Item::hook>>;
  List out_;
  List free_;
};

}  // namespace backplane::route
