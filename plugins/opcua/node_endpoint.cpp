// SPDX-License-Identifier: Apache-2.0
#include "node_endpoint.hpp"

#include "browse.hpp"
#include "call.hpp"
#include "history.hpp"
#include "node_management.hpp"
#include <backplane/sdk/options.hpp>

namespace backplane::opcua {

NodeEndpoint::NodeEndpoint(Client& client, Address address, std::string_view text)
    : client_(client), target_(std::make_shared<Target>(std::move(address), text)) {}

uint32_t NodeEndpoint::verbs_of_address(const Address& address) noexcept {
  constexpr uint32_t kValue =
      BP_VERB_BIT(BP_V_READ) | BP_VERB_BIT(BP_V_WRITE) | BP_VERB_BIT(BP_V_WATCH);
  constexpr uint32_t kNode = BP_VERB_BIT(BP_V_CALL) | BP_VERB_BIT(BP_V_BROWSE);
  if (address.is_inquiry()) {
    return BP_VERB_BIT(BP_V_READ);
  }
  if (address.has_attribute) {
    return kValue;
  }
  return address.is_objects()
             ? BP_VERB_BIT(BP_V_READ) | BP_VERB_BIT(BP_V_WATCH) | BP_VERB_BIT(BP_V_BROWSE)
             : kValue | kNode;
}

/// `start(key)` hands the request over, or throws.
template <class Start>
Status NodeEndpoint::begin(Op op, Start start) {
  Requests& requests = client_.requests();
  uint64_t key = 0;
  Status status = requests.add(op, key);
  if (status.is_pending()) {
    try {
      start(key);
    } catch (...) {
      if (requests.take_back(key)) {
        throw;
      }
    }
  }
  return status;
}

template <class T>
Status NodeEndpoint::submit(Op op) {
  return begin(op, [&](uint64_t key) {
    Requests& requests = client_.requests();
    if constexpr (std::is_same_v<T, Read>) {
      client_.submit(Read(target_, key, op.in()));
    } else if constexpr (std::is_same_v<T, CallJob>) {
      client_.submit(std::make_shared<T>(target_, requests, client_.type_reader(), key, op.in()));
    } else {
      client_.submit(std::make_shared<T>(target_, requests, key, op.in()));
    }
  });
}

Status NodeEndpoint::read_list(Op op) {
  auto list = last_list_.of(ListRead::nodes_of(op.in()));
  return begin(op, [&](uint64_t key) {
    client_.submit(
        std::make_shared<ListRead>(client_, target_, std::move(list), key, is_reversible(op.in())));
  });
}

Status NodeEndpoint::read(Op op) {
  const Address& address = target_->address;
  if (address.is_objects() && !address.is_inquiry()) {
    return read_list(op);
  }
  options_of(op.in());
  return address.is_inquiry() ? inquire(op) : submit<Read>(op);
}
Status NodeEndpoint::inquire(Op op) {
  return begin(op, [&](uint64_t key) {
    post(client_.host(), [&client = client_, key, attribute = target_->address.attribute] {
      client.inquiries().begin(key, attribute);
    }).or_throw();
  });
}
Status NodeEndpoint::write(Op op) {
  options_of(op.in());
  return submit<WriteJob>(op);
}
Status NodeEndpoint::call(Op op) {
  return NodeManagement::is_wanted(op.in()) ? submit<NodeManagement>(op) : submit<CallJob>(op);
}

Status NodeEndpoint::browse(Op op) {
  return client_.paged().begin(std::make_shared<Browse>(client_, target_, op));
}

Status NodeEndpoint::watch(Op op) {
  const Address& address = target_->address;
  if (!address.is_objects()) {
    if (auto past = HistoryOptions::of(op.in())) {
      if (address.attribute != UA_ATTRIBUTEID_VALUE) {
        return Status(BP_INVALID_ARGUMENT, "'", target_->text, "': only values have a past");
      }
      return client_.paged().begin(
          std::make_shared<HistoryRead>(client_, target_, op, *std::move(past)));
    }
  }
  return client_.watches().begin(
      address.is_objects()
          ? WatchedNodes(op.in())
          : WatchedNodes(target_, op.in().header<std::string>(BP_H_INDEX_RANGE).value_or("")),
      MonitorOptions(op.in(), address, client_.settings().publishing), op);
}

void NodeEndpoint::cancel(Op op) noexcept {
  switch (op.verb()) {
    case BP_V_WATCH:
    case BP_V_BROWSE:
      return Feed::number_of(op) != 0 ? client_.watches().cancel(op) : client_.paged().cancel(op);
    default:
      return cancel_request(op);
  }
}

void NodeEndpoint::cancel_request(Op op) noexcept {
  Client& client = client_;  // the completion may close this
  const bool was_inquiry = target_->address.is_inquiry();
  const auto key = client.requests().cancel(op);
  if (key && was_inquiry) {
    boundary(
        [&] {
          static_cast<void>(
              post(client.host(), [&client, key = *key] { client.inquiries().cancel(key); }));
        },
        [](const Status&) noexcept {});
  }
}

void NodeEndpoint::credit(Op op, uint32_t) noexcept {
  Feed::number_of(op) != 0 ? client_.watches().credit(op) : client_.paged().credit(op);
}

}  // namespace backplane::opcua
