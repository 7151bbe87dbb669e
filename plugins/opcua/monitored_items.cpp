// SPDX-License-Identifier: Apache-2.0
// Watches, the services: subscriptions and monitored items are made and deleted.
#include "client.hpp"
#include "error_map.hpp"

namespace backplane::opcua {
namespace {

constexpr size_t kItemsAtOnce = 500;

void* to_context(uint64_t number) noexcept { return reinterpret_cast<void*>(number); }
uint64_t to_number(void* context) noexcept { return reinterpret_cast<uint64_t>(context); }

}  // namespace

/// Items that are being made.
struct Watches::Creation {
  Watches& watches;
  const uint64_t session_number;
  const std::chrono::nanoseconds publishing;
  const std::vector<uint64_t> numbers;
};

void Watches::subscribe(Session& session, std::chrono::nanoseconds publishing) {
  if (!session.is_open()) {
    return;
  }
  UA_CreateSubscriptionRequest request = UA_CreateSubscriptionRequest_default();
  request.requestedPublishingInterval = static_cast<double>(publishing.count()) / 1e6;
  struct Asked {
    Watches& watches;
    uint64_t session_number;
    std::chrono::nanoseconds publishing;
  };
  const auto lost = [](UA_Client* client, UA_UInt32, void*, UA_StatusChangeNotification* change) {
    static_cast<Session*>(UA_Client_getContext(client))
        ->end(bad_status(change->status, "a subscription ended"));
  };
  const auto answered = [](UA_Client* client, void* user, UA_UInt32, void* raw) {
    const std::unique_ptr<Asked> asked(static_cast<Asked*>(user));
    const auto& response = *static_cast<UA_CreateSubscriptionResponse*>(raw);
    Watches& watches = asked->watches;
    if (asked->session_number != watches.session_number_) {
      return;
    }
    const UA_StatusCode status = response.responseHeader.serviceResult;
    if (status == UA_STATUSCODE_GOOD) {
      watches.subscriptions_[asked->publishing].id = response.subscriptionId;
      static_cast<void>(watches.create_waiting_.post());
    } else {
      static_cast<Session*>(UA_Client_getContext(client))
          ->end(bad_status(status, "making a subscription"));
    }
  };
  auto asked = std::make_unique<Asked>(Asked{*this, session_number_, publishing});
  if (UA_Client_Subscriptions_create_async(session.client(), request, nullptr, lost, nullptr,
                                           answered, asked.get(), nullptr) == UA_STATUSCODE_GOOD) {
    static_cast<void>(asked.release());
  }
}

void Watches::create_waiting() {
  Session* const session = client_.session();
  if (session == nullptr || !session->is_open()) {
    return;
  }
  for (auto& [publishing, subscription] : subscriptions_) {
    while (subscription.id != 0 && !subscription.waiting.empty()) {
      create_some(*session, subscription);
    }
  }
}

void Watches::create_some(Session& session, Subscription& subscription) {
  std::vector<std::pair<uint64_t, NodeId>> some;
  while (!subscription.waiting.empty() && some.size() < kItemsAtOnce) {
    some.push_back(std::move(subscription.waiting.back()));
    subscription.waiting.pop_back();
  }
  std::vector<uint64_t> numbers;
  std::vector<void*> contexts;
  std::vector<UA_MonitoredItemCreateRequest> items;
  std::chrono::nanoseconds publishing{};
  for (const auto& [number, node] : some) {
    const auto at = watches_.find(number);
    if (at == watches_.end()) {
      subscription.items -= 1;
      continue;
    }
    const MonitorOptions& options = at->second->options;
    publishing = options.publishing;
    UA_MonitoredItemCreateRequest item = UA_MonitoredItemCreateRequest_default(*node);
    item.itemToMonitor.attributeId = at->second->target->address.attribute;
    item.requestedParameters.samplingInterval = options.sampling_ms;
    item.requestedParameters.queueSize = options.queue;
    item.requestedParameters.discardOldest = options.discard_oldest;
    if (options.has_filter) {
      UA_ExtensionObject_setValueNoDelete(&item.requestedParameters.filter,
                                          const_cast<UA_DataChangeFilter*>(&options.filter),
                                          &UA_TYPES[UA_TYPES_DATACHANGEFILTER]);
    }
    items.push_back(item);
    contexts.push_back(to_context(number));
    numbers.push_back(number);
  }
  if (items.empty()) {
    return;
  }
  UA_CreateMonitoredItemsRequest request;
  UA_CreateMonitoredItemsRequest_init(&request);
  request.subscriptionId = subscription.id;
  request.timestampsToReturn = UA_TIMESTAMPSTORETURN_BOTH;
  request.itemsToCreate = items.data();
  request.itemsToCreateSize = items.size();
  const UA_Client_DataChangeNotificationCallback notified =
      [](UA_Client* client, UA_UInt32, void*, UA_UInt32, void* context, UA_DataValue* value) {
        static_cast<Session*>(UA_Client_getContext(client))->notify(to_number(context), *value);
      };
  std::vector<UA_Client_DataChangeNotificationCallback> callbacks(items.size(), notified);
  std::vector<UA_Client_DeleteMonitoredItemCallback> deletes(items.size(), nullptr);
  const auto answered = [](UA_Client*, void* user, UA_UInt32, void* raw) {
    const std::unique_ptr<Creation> creation(static_cast<Creation*>(user));
    boundary(
        [&] {
          creation->watches.created(*creation, *static_cast<UA_CreateMonitoredItemsResponse*>(raw));
        },
        [](const Status&) noexcept {});
  };
  auto creation = std::make_unique<Creation>(Creation{*this, session_number_, publishing, numbers});
  if (UA_Client_MonitoredItems_createDataChanges_async(
          session.client(), request, contexts.data(), callbacks.data(), deletes.data(), answered,
          creation.get(), nullptr) == UA_STATUSCODE_GOOD) {
    static_cast<void>(creation.release());
  }
}

void Watches::created(const Creation& creation, const UA_CreateMonitoredItemsResponse& response) {
  Session* const session = client_.session();
  if (creation.session_number != session_number_ || session == nullptr) {
    return;
  }
  for (size_t i = 0; i < creation.numbers.size(); ++i) {
    UA_StatusCode status = response.responseHeader.serviceResult;
    UA_UInt32 item = 0;
    if (status == UA_STATUSCODE_GOOD) {
      status = i < response.resultsSize
                   ? response.results[i].statusCode
                   : static_cast<UA_StatusCode>(UA_STATUSCODE_BADUNKNOWNRESPONSE);
      item = i < response.resultsSize ? response.results[i].monitoredItemId : 0;
    }
    const auto at = watches_.find(creation.numbers[i]);
    if (is_bad(status)) {
      drop_item(*session, creation.publishing, 0);
      if (at != watches_.end()) {
        refuse(creation.numbers[i],
               bad_status(status, concat("watching '", at->second->target->text, "'")));
      }
    } else if (at == watches_.end()) {
      drop_item(*session, creation.publishing, item);
    } else {
      at->second->item = item;
    }
  }
}

void Watches::drop_item(Session& session, std::chrono::nanoseconds publishing, UA_UInt32 item) {
  const auto at = subscriptions_.find(publishing);
  if (at == subscriptions_.end() || !session.is_open()) {
    return;
  }
  UA_UInt32 subscription = at->second.id;
  at->second.items -= 1;
  const auto nothing = [](UA_Client*, void*, UA_UInt32, void*) {};
  if (at->second.items == 0) {
    subscriptions_.erase(at);
    UA_DeleteSubscriptionsRequest request;
    UA_DeleteSubscriptionsRequest_init(&request);
    request.subscriptionIds = &subscription;
    request.subscriptionIdsSize = 1;
    UA_Client_Subscriptions_delete_async(session.client(), request, nothing, nullptr, nullptr);
  } else if (item != 0) {
    UA_DeleteMonitoredItemsRequest request;
    UA_DeleteMonitoredItemsRequest_init(&request);
    request.subscriptionId = subscription;
    request.monitoredItemIds = &item;
    request.monitoredItemIdsSize = 1;
    UA_Client_MonitoredItems_delete_async(session.client(), request, nothing, nullptr, nullptr);
  }
}

}  // namespace backplane::opcua
