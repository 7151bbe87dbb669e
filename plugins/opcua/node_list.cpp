// SPDX-License-Identifier: Apache-2.0
#include "node_list.hpp"

namespace backplane::opcua {

ListedNode::ListedNode(const ValueView& element) {
  std::optional<ValueView> node;
  if (element.tag == BP_T_MAP) {
    for (const auto& [key, field] : element.entries()) {
      if (key == ValueView("node") && !node) {
        node = field;
      } else if (key == ValueView("range") && field.tag == BP_T_STRING && range.empty()) {
        range = *field.get<std::string>();
      } else {
        throw Error(BP_INVALID_ARGUMENT, key.to_text(64), ": ", field.to_text(64),
                    ": expected 'node', an address, and 'range', such as \"1:3\", each once");
      }
    }
  }
  const auto text = node.value_or(element).get<std::string_view>();
  if (!text) {
    throw Error(BP_INVALID_ARGUMENT, "expected an address, or a map of 'node' and 'range', got ",
                element.to_text(64));
  }
  auto address = parse_address(*text);
  address.or_throw();
  if (address->is_inquiry()) {
    throw Error(BP_INVALID_ARGUMENT, "'", *text, "' is no node");
  }
  target = std::make_shared<Target>(*std::move(address), *text);
}

ValueView nodes_of(MessageView in, std::string_view verb) {
  if (in.header(BP_H_INDEX_RANGE)) {
    throw Error(BP_INVALID_ARGUMENT, "the nodes of a list have their ranges in the list");
  }
  const auto nodes = in.header(BP_H_OPTIONS).value_or(ValueView()).find("nodes");
  if (!nodes) {
    throw Error(BP_INVALID_ARGUMENT,
                "the folder Objects has no value: the option 'nodes' says what to ", verb);
  }
  return *nodes;
}

void for_each_node(const ValueView& nodes, const std::function<void(ListedNode)>& body) {
  if (nodes.tag != BP_T_LIST) {
    throw Error(BP_INVALID_ARGUMENT, "option 'nodes': expected a list of addresses, got ",
                nodes.to_text(64));
  }
  size_t i = 0;
  for (const ValueView& each : nodes.items()) {
    try {
      body(ListedNode(each));
    } catch (const Error& error) {
      throw Error(Status(error.status()).with_context("option 'nodes', element ", i));
    }
    ++i;
  }
}

NodeList::NodeList(ValueView nodes) : nodes_(nodes) {
  items_.reserve(nodes.size());
  for_each_node(nodes_.body(), [&](ListedNode node) { items_.push_back(std::move(node)); });
}

/// Looked at for each read: text is compared here and now.
bool NodeList::is(const ValueView& nodes) const noexcept {
  const ValueView mine = nodes_.body();
  if (nodes.tag != BP_T_LIST || nodes.len != mine.len) {
    return false;
  }
  for (size_t i = 0; i < mine.len; ++i) {
    const bp_value& a = mine.as.list[i];
    const bp_value& b = nodes.as.list[i];
    const bool is_same = a.tag == BP_T_STRING ? b.tag == BP_T_STRING && a.len == b.len &&
                                                    std::memcmp(a.as.s, b.as.s, a.len) == 0
                                              : ValueView(a) == ValueView(b);
    if (!is_same) {
      return false;
    }
  }
  return true;
}

std::shared_ptr<NodeList> LastList::of(const ValueView& nodes) {
  std::shared_ptr<NodeList> out = last_.copy();
  if (out == nullptr || !out->is(nodes)) {
    out = std::make_shared<NodeList>(nodes);
    auto before = out;  // goes when the lock is free
    auto last = last_.lock();
    std::swap(*last, before);
    last.unlock();
  }
  return out;
}

}  // namespace backplane::opcua
