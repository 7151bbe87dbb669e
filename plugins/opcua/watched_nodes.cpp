// SPDX-License-Identifier: Apache-2.0
#include "watched_nodes.hpp"

namespace backplane::opcua {

WatchedNodes::WatchedNodes(MessageView in) : in_(in), list_(nodes_of(in_, "watch")) {
  for_each_node(list_, [](const ListedNode& node) {
    if (node.target->address.attribute == UA_ATTRIBUTEID_EVENTNOTIFIER) {
      throw Error(BP_INVALID_ARGUMENT, "'", node.target->text,
                  "': events are watched at their object, not in a list");
    }
  });
}

std::shared_ptr<Target> WatchedNodes::target(size_t i) const {
  return is_list() ? ListedNode(list_.at(i)).target : target_;
}

std::string_view WatchedNodes::address(size_t i) const noexcept {
  if (!is_list()) {
    return target_->text;
  }
  const ValueView element = list_.at(i);
  const ValueView node = element.find("node").value_or(element);
  return *node.get<std::string_view>();
}

std::string_view WatchedNodes::range(size_t i) const noexcept {
  if (!is_list()) {
    return range_;
  }
  const auto range = list_.at(i).find("range");
  return range ? *range->get<std::string_view>() : std::string_view();
}

void WatchedNodes::name(MessageDraft& message, size_t i) const {
  if (!is_list()) {
    return;
  }
  const ValueView element(list_.as.list[i]);
  if (element.tag == BP_T_STRING) {
    message.header(BP_H_PATH, element);
    return;
  }
  message.header(BP_H_PATH, *element.find("node"));
  if (const auto range = element.find("range")) {
    message.header(BP_H_INDEX_RANGE, *range);
  }
}

}  // namespace backplane::opcua
