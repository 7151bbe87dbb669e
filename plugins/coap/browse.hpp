// SPDX-License-Identifier: Apache-2.0
// BROWSE: links as messages, each operation with a hub of its own, which keeps to its credit.
#pragma once

#include "link_format.hpp"
#include <backplane/sdk/hub.hpp>

#include <algorithm>

namespace backplane::coap {

/// As many entries as a list may have.
inline constexpr size_t kMostLinks = 4096;

/// Publishes each link at or below `path` ("/" for all) and ends the hub.
inline void publish_links(Hub& hub, const std::vector<Link>& links, std::string_view path) {
  for (const Link& link : links) {
    const std::string_view own = link.path;
    const bool is_below =
        path == "/" || own == path ||
        (own.size() > path.size() && own.substr(0, path.size()) == path && own[path.size()] == '/');
    if (!is_below) {
      continue;
    }
    const uint32_t verbs = BP_VERB_BIT(BP_V_READ) | BP_VERB_BIT(BP_V_WRITE) |
                           BP_VERB_BIT(BP_V_CALL) |
                           (link.observable ? BP_VERB_BIT(BP_V_WATCH) : 0u);
    MessageBuilder message;
    message.header(BP_H_PATH, link.path).header(BP_H_VERBS, verbs);
    if (!link.title.empty()) {
      message.header(BP_H_TITLE, link.title);
    }
    if (!link.rt.empty()) {
      message.header(BP_H_TYPE, link.rt);
    }
    if (!link.interface.empty()) {
      message.header("if", link.interface);
    }
    if (!link.ct.empty()) {
      message.header("ct", link.ct);
    }
    if (link.sz) {
      message.header("sz", uint64_t{*link.sz});
    }
    static_cast<void>(hub.publish(message));
  }
  hub.end(Status::ok());
}

/// The browses of one endpoint. Any thread.
class Browses {
 public:
  /// Takes the operation; publish into `out` later, and end it. PENDING, or an error.
  Status begin(const Host& host, Op op, std::optional<Hub>& out) {
    HubOptions options;
    options.queue_messages = kMostLinks;
    Hub hub(host, std::move(options));
    {
      auto hubs = hubs_.lock();
      std::erase_if(*hubs, [](const Hub& old) { return old.watchers() == 0; });
      hubs->push_back(hub);
    }
    out = hub;
    return hub.watch(op);
  }
  void cancel(Op op) noexcept {
    for (Hub& hub : copy()) {
      hub.cancel(op);
    }
  }
  void credit(Op op, uint32_t n) noexcept {
    for (Hub& hub : copy()) {
      hub.credit(op, n);
    }
  }

 private:
  std::vector<Hub> copy() { return hubs_.copy(); }
  Guarded<std::vector<Hub>> hubs_;
};

}  // namespace backplane::coap
