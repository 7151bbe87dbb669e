// SPDX-License-Identifier: Apache-2.0
#include "topic_endpoint.hpp"

#include "topic.hpp"

namespace backplane::mqtt {
namespace {
constexpr uint32_t kBrowse = BP_VERB_BIT(BP_V_BROWSE);
constexpr uint32_t kStreams = BP_VERB_BIT(BP_V_WATCH) | BP_CAN_ACK | BP_VERB_BIT(BP_V_SERVE);
constexpr uint32_t kSingle =
    BP_VERB_BIT(BP_V_READ) | BP_VERB_BIT(BP_V_WRITE) | BP_VERB_BIT(BP_V_CALL);
}  // namespace

TopicEndpoint::TopicEndpoint(Instance& instance, std::string path)
    : instance_(instance),
      path_(std::move(path)),
      watching_(instance.host, instance.settings, instance.client, instance.inbox, path_) {}

Result<uint32_t> TopicEndpoint::verbs_of_path(std::string_view path) {
  if (path.empty()) {
    return kBrowse;
  }
  if (const Status status = check_topic_filter(path); !status.is_ok()) {
    return status;
  }
  if (is_shared(path)) {
    return kStreams;
  }
  return has_wildcard(path) ? kStreams | kBrowse : kStreams | kBrowse | kSingle;
}

Status TopicEndpoint::browse(Op op) {
  return instance_.browser.browse(op, path_.empty()         ? "#"
                                      : has_wildcard(path_) ? path_
                                                            : path_ + "/#");
}

void TopicEndpoint::cancel(Op op) noexcept {
  switch (op.verb()) {
    case BP_V_READ:
      return instance_.reader.cancel(op);
    case BP_V_WATCH:
      return watching_.cancel(op);
    case BP_V_SERVE:
      return instance_.responders.cancel(op);
    case BP_V_BROWSE:
      return instance_.browser.cancel(op);
    default:
      return instance_.client.cancel(op);
  }
}

void TopicEndpoint::credit(Op op, uint32_t n) noexcept {
  op.verb() == BP_V_BROWSE ? instance_.browser.credit(op, n) : watching_.credit(op, n);
}

}  // namespace backplane::mqtt
