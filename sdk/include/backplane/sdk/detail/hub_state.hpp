// SPDX-License-Identifier: Apache-2.0
// What a hub remembers: joins, watchers, and the state that its lock guards. See hub.hpp.
#pragma once

#include "../guarded.hpp"
#include "../hub.hpp"

#include <list>
#include <map>

namespace backplane::detail {

/// The acknowledgements of one message.
class HubJoin {
 public:
  explicit HubJoin(Hub::Settled settled) : settled_(std::move(settled)) {}
  /// One part more; only while another part is unsettled.
  void add() noexcept { parts_.lock()->left += 1; }
  void settle(const Status& status) noexcept {
    auto parts = parts_.lock();
    if (status.is_error() && parts->outcome.is_ok()) {
      parts->outcome = status;
    }
    if (--parts->left > 0) {
      return;
    }
    const Status outcome = std::move(parts->outcome);
    parts.unlock();
    boundary([&] { settled_(outcome); }, [](const Status&) noexcept {});
  }

 private:
  struct Parts {
    unsigned left = 1;
    Status outcome;
  };
  Guarded<Parts> parts_;
  Hub::Settled settled_;
};

struct HubEntry {
  OwnedMessage message;
  std::shared_ptr<HubJoin> join;
  size_t size = 0;
};

struct HubWatcher {
  bp_op* op = nullptr;
  uint32_t policy = BP_OVERFLOW_BLOCK;
  uint32_t credit = 0;
  bool wants_ack = false;
  bool is_new = false;          // gets what is present first
  bool busy = false;            // a thread delivers to it: only that one may end it
  std::optional<Status> final;  // end as soon as nobody is busy
  size_t index = 0;             // in HubState::watchers
  HubWatcher* next = nullptr;   // in the chain of those that the present thread made busy
  bool direct = false;          // of that thread: gets the published message as it is
  size_t bytes = 0;             // of `queue`
  std::list<HubEntry> queue;    // an empty deque has half a KiB, and most are empty
  std::map<uint64_t, HubEntry> unsettled;  // delivered, not acknowledged
  std::list<HubEntry> again;               // refused, waits for the timer
};

struct HubState {
  std::vector<std::unique_ptr<HubWatcher>> watchers;
  uint64_t seq = 0;
  std::optional<OwnedMessage> last;
  std::optional<Status> ended;
  bool paused = false;
  bool redelivery_armed = false;
  bool has_new = false;  // perhaps: watchers that are new
  std::function<void()> stopped;
};

inline size_t hub_entry_size(MessageView message) {
  return sizeof(HubEntry) + tree_size(message.raw()).bytes;
}

/// What is to be called when the lock is free.
struct HubOutbox {
  std::vector<std::pair<std::shared_ptr<HubJoin>, Status>> settled;
  std::vector<std::pair<bp_op*, Status>> completed;
  std::function<void()> stopped;
  bool ready = false;
  bool wake = false;
  bool arm = false;
  bool is_empty() const noexcept {
    return settled.empty() && completed.empty() && !stopped && !ready && !wake && !arm;
  }
  void settle(std::shared_ptr<HubJoin> join, Status status) {
    if (join) settled.emplace_back(std::move(join), std::move(status));
  }
};

/// Keeps a borrowed message when first asked, for all who ask.
class HubKeeper {
 public:
  explicit HubKeeper(const bp_message& message) noexcept : message_(message) {}
  const OwnedMessage& keep() {
    if (!kept_) kept_.emplace(MessageView(message_));
    return *kept_;
  }
  size_t size() {
    if (size_ == 0) size_ = hub_entry_size(message_);
    return size_;
  }

 private:
  const bp_message& message_;
  std::optional<OwnedMessage> kept_;
  size_t size_ = 0;
};

}  // namespace backplane::detail
