// SPDX-License-Identifier: Apache-2.0
// The topics that an instance has met, newest first to stay.
#pragma once

#include <backplane/sdk/guarded.hpp>
#include <backplane/sdk/host.hpp>

#include <list>
#include <string>
#include <unordered_map>
#include <vector>

namespace backplane::mqtt {

/// Bounded; any thread.
class TopicsSeen {
 public:
  TopicsSeen(const Host& host, size_t most)
      : most_(most), forgotten_(host.counter("topics_forgotten_total")) {}

  void add(std::string_view topic) {
    auto state = state_.lock();
    const auto at = state->index.find(topic);
    if (at != state->index.end()) {
      state->order.splice(state->order.begin(), state->order, at->second);
      return;
    }
    state->order.emplace_front(topic);
    state->index.emplace(state->order.front(), state->order.begin());
    if (state->order.size() > most_) {
      state->index.erase(state->order.back());
      state->order.pop_back();
      forgotten_.add();
    }
  }

  std::vector<std::string> all() {
    auto state = state_.lock();
    return {state->order.begin(), state->order.end()};
  }

 private:
  struct State {
    std::list<std::string> order;
    std::unordered_map<std::string_view, std::list<std::string>::iterator> index;
  };

  const size_t most_;
  Counter forgotten_;
  Guarded<State> state_;
};

}  // namespace backplane::mqtt
