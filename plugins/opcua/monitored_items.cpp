// SPDX-License-Identifier: Apache-2.0
// Watches, the services: subscriptions and monitored items are made and deleted.
#include "client.hpp"
#include "error_map.hpp"

#include <algorithm>

namespace backplane::opcua {
namespace {

// A quiet subscription says that it is there as often as the server is asked, and often enough for
// the library, which gives each request to publish ten minutes.
constexpr std::chrono::nanoseconds kLongestKeepAlive = std::chrono::seconds(30);
constexpr UA_UInt32 kLifetime = 3;  // in keep-alives, the least that there is

/// What the library knows of an item: of a list its subscription has the watch, and the item its
/// place; else the item has the watch.
struct Item {
  Item(void* of_subscription, void* of_item) noexcept
      : watch(*static_cast<Watch*>(of_subscription != nullptr ? of_subscription : of_item)),
        place(of_subscription != nullptr ? reinterpret_cast<uintptr_t>(of_item) : 0) {}
  Watch& watch;
  size_t place;
};

void* context_of(Watch& watch, size_t place) noexcept {
  return watch.nodes.is_list() ? reinterpret_cast<void*>(uintptr_t{place}) : &watch;
}

/// Of events the server may say which field it does not know.
Status refusal(const Watch& watch, size_t item, UA_StatusCode status,
               const UA_ExtensionObject* filter_result) {
  const std::string context = concat("watching '", watch.nodes.address(item), "'");
  const auto& events = watch.options.events;
  const bool has_result =
      events && filter_result != nullptr && filter_result->encoding >= UA_EXTENSIONOBJECT_DECODED &&
      filter_result->content.decoded.type == &UA_TYPES[UA_TYPES_EVENTFILTERRESULT];
  if (has_result) {
    const auto& result =
        *static_cast<const UA_EventFilterResult*>(filter_result->content.decoded.data);
    const size_t n = std::min(result.selectClauseResultsSize, events->select.size());
    for (size_t i = 0; i < n; ++i) {
      if (is_bad(result.selectClauseResults[i])) {
        return Status(BP_INVALID_ARGUMENT, context, ": the server knows no field '",
                      events->select[i].name, "' of an event")
            .with_native(static_cast<int32_t>(result.selectClauseResults[i]), kDomain);
      }
    }
  }
  return bad_status(status, context);
}

}  // namespace

/// Items that are being made.
struct Watches::Creation {
  Watches& watches;
  const uint64_t session_number;
  const Group group;
  const UA_UInt32 subscription;
  Waiting items;
};

/// True: there is no session any more, or none is left.
bool Watches::ends_session(UA_StatusCode status) {
  Session* const session = client_.session();
  if (session != nullptr && (is_loss(status) || status == UA_STATUSCODE_BADTIMEOUT ||
                             status == UA_STATUSCODE_BADSUBSCRIPTIONIDINVALID)) {
    session->lost(status);
  }
  return client_.session() == nullptr;
}

/// The publishing intervals after which a server says that nothing has changed.
UA_UInt32 Watches::keep_alive_count(Publishing publishing) const {
  const auto keepalive = std::min(client_.settings().keepalive, kLongestKeepAlive);
  return static_cast<UA_UInt32>(
      std::clamp<int64_t>(keepalive / std::max(publishing, Publishing(1)), 1, 1'000'000));
}

/// A server with longer intervals than were asked for would be silent for so many of those.
void Watches::fit_keep_alive(const UA_CreateSubscriptionResponse& granted) {
  Session* const session = client_.session();
  if (granted.responseHeader.serviceResult != UA_STATUSCODE_GOOD || session == nullptr) {
    return;
  }
  UA_ModifySubscriptionRequest request;
  UA_ModifySubscriptionRequest_init(&request);
  request.subscriptionId = granted.subscriptionId;
  request.requestedPublishingInterval = granted.revisedPublishingInterval;
  request.requestedMaxKeepAliveCount =
      keep_alive_count(Publishing(interval_of(granted.revisedPublishingInterval)));
  request.requestedLifetimeCount =
      std::max(granted.revisedLifetimeCount, kLifetime * request.requestedMaxKeepAliveCount);
  if (request.requestedMaxKeepAliveCount < granted.revisedMaxKeepAliveCount) {
    // Not by the library's function, which takes a refusal for an interval of zero.
    session->ask<UA_ModifySubscriptionResponse, UA_TYPES_MODIFYSUBSCRIPTIONRESPONSE>(
        request, UA_TYPES_MODIFYSUBSCRIPTIONREQUEST, [](const UA_ModifySubscriptionResponse&) {});
  }
}

void Watches::subscribe(Session& session, const Group& group) {
  if (!session.is_open()) {
    return;
  }
  UA_CreateSubscriptionRequest request = UA_CreateSubscriptionRequest_default();
  request.requestedPublishingInterval = static_cast<double>(group.publishing.count()) / 1e6;
  request.requestedMaxKeepAliveCount = keep_alive_count(group.publishing);
  request.requestedLifetimeCount =
      std::max(request.requestedLifetimeCount, kLifetime * request.requestedMaxKeepAliveCount);
  struct Asked {
    Watches& watches;
    uint64_t session_number;
    Group group;
    std::shared_ptr<Watch> list;
  };
  const auto lost = [](UA_Client* client, UA_UInt32, void*, UA_StatusChangeNotification* change) {
    Session::of(client).end(bad_status(change->status, "a subscription ended"));
  };
  const auto gone = [](UA_Client* client, UA_UInt32, void* list) {
    if (list != nullptr) {
      Session::of(client).tell();  // perhaps of its items
      static_cast<Watch*>(list)->give_back();
    }
  };
  const auto answered = [](UA_Client*, void* user, UA_UInt32, void* raw) {
    const std::unique_ptr<Asked> asked(static_cast<Asked*>(user));
    boundary(
        [&] {
          const auto& response = *static_cast<UA_CreateSubscriptionResponse*>(raw);
          const UA_StatusCode status = response.responseHeader.serviceResult;
          if (status == UA_STATUSCODE_GOOD && asked->list != nullptr) {
            asked->list->lend(asked->list);
          }
          if (asked->session_number == asked->watches.session_number_) {
            asked->watches.subscribed(asked->group, status, response.subscriptionId);
            asked->watches.fit_keep_alive(response);
          }
        },
        [](const Status&) noexcept {});
  };
  auto asked = std::make_unique<Asked>(
      Asked{*this, session_number_, group, group.list != 0 ? watches_.at(group.list) : nullptr});
  const UA_StatusCode status = UA_Client_Subscriptions_create_async(
      session.client(), request, asked->list.get(), lost, gone, answered, asked.get(), nullptr);
  if (status == UA_STATUSCODE_GOOD) {
    static_cast<void>(asked.release());
  } else if (asked->session_number == session_number_) {
    subscribed(group, status, 0);
  }
}

void Watches::subscribed(const Group& group, UA_StatusCode status, UA_UInt32 id) {
  if (ends_session(status)) {
    return;
  }
  if (status == UA_STATUSCODE_GOOD) {
    subscriptions_[group].id = id;
    client_.session()->has_subscriptions(subscriptions_.size());
    static_cast<void>(create_waiting_.post());
    return;
  }
  const Waiting refused = std::move(subscriptions_[group].waiting);
  subscriptions_.erase(group);
  for (const NewItem& item : refused) {
    refuse_all(item.name, bad_status(status, "making a subscription"));
  }
}

void Watches::create_waiting() {
  std::vector<Group> all;
  for (const auto& [group, subscription] : subscriptions_) {
    all.push_back(group);
  }
  for (const Group& group : all) {
    while (create_some(group)) {
    }
  }
}

/// False: nothing more is to be made, or can be.
bool Watches::create_some(const Group& group) {
  Session* const session = client_.session();
  const auto at = subscriptions_.find(group);
  if (session == nullptr || !session->is_open() || at == subscriptions_.end() ||
      at->second.id == 0 || at->second.waiting.empty()) {
    return false;
  }
  Subscription& subscription = at->second;
  std::vector<void*> contexts;
  std::vector<UA_MonitoredItemCreateRequest> items;
  std::optional<bool> are_events;  // all, or none
  auto creation =
      std::make_unique<Creation>(Creation{*this, session_number_, group, subscription.id, {}});
  size_t cancelled = 0;
  while (!subscription.waiting.empty() && items.size() < session->most_items()) {
    Watch* const watch = find(subscription.waiting.back().name.watch);
    if (watch == nullptr) {
      subscription.waiting.pop_back();
      ++cancelled;
      continue;
    }
    const MonitorOptions& options = watch->options;
    const bool is_event = options.events != nullptr;
    if (are_events.value_or(is_event) != is_event) {
      break;  // in the next request
    }
    are_events = is_event;
    NewItem wanted = std::move(subscription.waiting.back());
    subscription.waiting.pop_back();
    const std::string_view range = watch->nodes.range(wanted.name.item);
    UA_MonitoredItemCreateRequest item = UA_MonitoredItemCreateRequest_default(*wanted.node);
    item.itemToMonitor.attributeId = wanted.attribute;
    item.itemToMonitor.indexRange = range.empty() ? UA_STRING_NULL : borrowed(range);
    item.requestedParameters.samplingInterval = options.sampling_ms;
    item.requestedParameters.queueSize = options.queue;
    item.requestedParameters.discardOldest = options.discard_oldest;
    if (options.events) {
      UA_ExtensionObject_setValueNoDelete(&item.requestedParameters.filter,
                                          watch->event_filter.get(),
                                          &UA_TYPES[UA_TYPES_EVENTFILTER]);
    } else if (options.has_filter) {
      UA_ExtensionObject_setValueNoDelete(&item.requestedParameters.filter,
                                          const_cast<UA_DataChangeFilter*>(&options.filter),
                                          &UA_TYPES[UA_TYPES_DATACHANGEFILTER]);
    }
    items.push_back(item);
    contexts.push_back(context_of(*watch, wanted.name.item));
    creation->items.push_back(std::move(wanted));
  }
  if (subscription.waiting.empty()) {
    Waiting().swap(subscription.waiting);  // room for thousands
  }
  // Calls the library only when none is left, and then there is no subscription any more.
  drop_items(*session, group, cancelled);
  if (items.empty()) {
    return false;
  }
  UA_CreateMonitoredItemsRequest request;
  UA_CreateMonitoredItemsRequest_init(&request);
  request.subscriptionId = subscription.id;
  request.timestampsToReturn = UA_TIMESTAMPSTORETURN_BOTH;
  request.itemsToCreate = items.data();
  request.itemsToCreateSize = items.size();
  const UA_Client_DataChangeNotificationCallback notified = [](UA_Client* client, UA_UInt32,
                                                               void* of_subscription, UA_UInt32,
                                                               void* of_item, UA_DataValue* value) {
    const Item item(of_subscription, of_item);
    item.watch.nodes.prefetch(item.place);
    Session::of(client).notify(item.watch, item.place, *value);
  };
  const UA_Client_EventNotificationCallback told = [](UA_Client* client, UA_UInt32,
                                                      void* of_subscription, UA_UInt32,
                                                      void* of_item, size_t n, UA_Variant* fields) {
    const Item item(of_subscription, of_item);
    UA_DataValue event;
    UA_DataValue_init(&event);
    event.hasValue = true;
    UA_Variant_setArray(&event.value, fields, n, &UA_TYPES[UA_TYPES_VARIANT]);
    Session::of(client).notify_now({&item.watch, item.place, event});
  };
  std::vector<UA_Client_DataChangeNotificationCallback> callbacks(items.size(), notified);
  std::vector<UA_Client_EventNotificationCallback> happened(items.size(), told);
  // Of each item that is asked for, also when there will be none. A list's go with their
  // subscription.
  const UA_Client_DeleteMonitoredItemCallback gone = [](UA_Client* client, UA_UInt32, void*,
                                                        UA_UInt32, void* of_item) {
    Session::of(client).tell();  // perhaps of this one
    static_cast<Watch*>(of_item)->give_back();
  };
  const bool are_lent = group.list == 0;
  std::vector<UA_Client_DeleteMonitoredItemCallback> deletes(items.size(),
                                                             are_lent ? gone : nullptr);
  const auto answered = [](UA_Client*, void* user, UA_UInt32, void* raw) {
    const std::unique_ptr<Creation> made(static_cast<Creation*>(user));
    boundary(
        [&] { made->watches.created(*made, *static_cast<UA_CreateMonitoredItemsResponse*>(raw)); },
        [](const Status&) noexcept {});
  };
  if (are_lent) {
    for (const NewItem& item : creation->items) {
      const std::shared_ptr<Watch>& watch = watches_.at(item.name.watch);
      watch->lend(watch);
    }
  }
  const UA_StatusCode status =
      are_events.value_or(false)
          ? UA_Client_MonitoredItems_createEvents_async(session->client(), request, contexts.data(),
                                                        happened.data(), deletes.data(), answered,
                                                        creation.get(), nullptr)
          : UA_Client_MonitoredItems_createDataChanges_async(
                session->client(), request, contexts.data(), callbacks.data(), deletes.data(),
                answered, creation.get(), nullptr);
  if (status == UA_STATUSCODE_GOOD) {
    static_cast<void>(creation.release());
    return true;
  }
  if (are_lent) {
    for (void* const context : contexts) {
      static_cast<Watch*>(context)->give_back();
    }
  }
  UA_CreateMonitoredItemsResponse failed;
  UA_CreateMonitoredItemsResponse_init(&failed);
  failed.responseHeader.serviceResult = status;
  created(*creation, failed);
  return true;
}

void Watches::created(Creation& creation, const UA_CreateMonitoredItemsResponse& response) {
  const auto at = subscriptions_.find(creation.group);
  if (creation.session_number != session_number_ || at == subscriptions_.end() ||
      at->second.id != creation.subscription) {
    return;  // deleted with its subscription
  }
  UA_StatusCode service = response.responseHeader.serviceResult;
  if (service == UA_STATUSCODE_GOOD && response.resultsSize != creation.items.size()) {
    service = UA_STATUSCODE_BADUNKNOWNRESPONSE;
  }
  if (ends_session(service)) {
    return;
  }
  Session& session = *client_.session();
  if (service == UA_STATUSCODE_BADTOOMANYOPERATIONS && creation.items.size() > 1) {
    session.refused_items(creation.items.size());
    Waiting& waiting = at->second.waiting;
    std::move(creation.items.begin(), creation.items.end(), std::back_inserter(waiting));
    static_cast<void>(create_waiting_.post());
    return;
  }
  for (size_t i = 0; i < creation.items.size() && !ends_session(UA_STATUSCODE_GOOD); ++i) {
    const bool is_answered = service == UA_STATUSCODE_GOOD;
    const UA_StatusCode status = is_answered ? response.results[i].statusCode : service;
    const UA_UInt32 id = is_answered ? response.results[i].monitoredItemId : 0;
    const Name name = creation.items[i].name;
    Watch* const watch = find(name.watch);
    if (watch != nullptr && status == UA_STATUSCODE_GOOD) {
      watch->items()[name.item].has_been_made = watch->has_been_made = true;
      watch->id = watch->nodes.is_list() ? 0 : id;
      continue;
    }
    const Status why = watch == nullptr
                           ? Status()
                           : refusal(*watch, name.item, status,
                                     is_answered ? &response.results[i].filterResult : nullptr);
    drop_items(session, creation.group, 1, id);
    is_answered ? refuse(name, why) : refuse_all(name, why);
  }
}

/// So many less, of which the server has `id`; 0: none.
void Watches::drop_items(Session& session, const Group& group, size_t n, UA_UInt32 id) {
  const auto at = subscriptions_.find(group);
  if (at == subscriptions_.end() || !session.is_open() || n == 0) {
    return;
  }
  at->second.items -= n;
  if (at->second.items == 0) {
    drop(session, group);
  } else if (id != 0) {
    delete_item(session, at->second.id, id);
  }
}

/// With all that is in it. One whose number is not known yet is dropped by create_some(), which
/// finds only items of watches that are gone.
void Watches::drop(Session& session, const Group& group) {
  const auto at = subscriptions_.find(group);
  if (at == subscriptions_.end() || at->second.id == 0 || !session.is_open()) {
    return;
  }
  UA_UInt32 subscription = at->second.id;
  subscriptions_.erase(at);
  UA_DeleteSubscriptionsRequest request;
  UA_DeleteSubscriptionsRequest_init(&request);
  request.requestHeader.timeoutHint = Session::kNoTimeout;
  request.subscriptionIds = &subscription;
  request.subscriptionIdsSize = 1;
  UA_Client_Subscriptions_delete_async(
      session.client(), request, [](UA_Client*, void*, UA_UInt32, void*) {}, nullptr, nullptr);
}

void Watches::delete_item(Session& session, UA_UInt32 subscription, UA_UInt32 id) {
  UA_DeleteMonitoredItemsRequest request;
  UA_DeleteMonitoredItemsRequest_init(&request);
  request.requestHeader.timeoutHint = Session::kNoTimeout;
  request.subscriptionId = subscription;
  request.monitoredItemIds = &id;
  request.monitoredItemIdsSize = 1;
  UA_Client_MonitoredItems_delete_async(
      session.client(), request, [](UA_Client*, void*, UA_UInt32, void*) {}, nullptr, nullptr);
}

}  // namespace backplane::opcua
