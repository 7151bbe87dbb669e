// SPDX-License-Identifier: Apache-2.0
// What a watch is of: a node, or a list of nodes.
//
// Design notes. A list stays as it was given, and shared with who gave it: what its elements say is
// parsed again in each session, since thousands of them parsed are megabytes.
#pragma once

#include "node_list.hpp"

namespace backplane::opcua {

/// The nodes of a watch: an endpoint's, or those of a list.
class WatchedNodes {
 public:
  WatchedNodes(std::shared_ptr<Target> target, std::string range)
      : target_(std::move(target)), range_(std::move(range)) {}
  /// The list that a message asks for. Throws Error (INVALID_ARGUMENT).
  explicit WatchedNodes(MessageView in);

  bool is_list() const noexcept { return target_ == nullptr; }
  size_t size() const noexcept { return is_list() ? list_.size() : 1; }
  std::shared_ptr<Target> target(size_t i) const;
  std::string_view address(size_t i) const noexcept;
  std::string_view range(size_t i) const noexcept;
  /// Of a list: says whose message it is.
  void name(MessageDraft& message, size_t i) const;
  /// name(i) comes soon: has the processor fetch its element, which has left the cache since it was
  /// looked at last.
  void prefetch(size_t i) const noexcept {
    if (is_list()) {
      __builtin_prefetch(&list_.as.list[i]);
    }
  }

 private:
  std::shared_ptr<Target> target_;
  std::string range_;
  OwnedMessage in_;  // shares with its sender what is shared
  ValueView list_;   // in it
};

}  // namespace backplane::opcua
