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

WatchedItem& item_of(void* context) noexcept { return *static_cast<WatchedItem*>(context); }

/// Of events the server may say which field it does not know.
Status refusal(const WatchedItem& item, UA_StatusCode status,
               const UA_ExtensionObject* filter_result) {
  const Watch& watch = *item.watch;
  const std::string context = concat("watching '", watch.nodes.address(watch.index_of(item)), "'");
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
  const Publishing publishing;
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

void Watches::subscribe(Session& session, Publishing publishing) {
  if (!session.is_open()) {
    return;
  }
  UA_CreateSubscriptionRequest request = UA_CreateSubscriptionRequest_default();
  request.requestedPublishingInterval = static_cast<double>(publishing.count()) / 1e6;
  request.requestedMaxKeepAliveCount = keep_alive_count(publishing);
  request.requestedLifetimeCount =
      std::max(request.requestedLifetimeCount, kLifetime * request.requestedMaxKeepAliveCount);
  struct Asked {
    Watches& watches;
    uint64_t session_number;
    Publishing publishing;
  };
  const auto lost = [](UA_Client* client, UA_UInt32, void*, UA_StatusChangeNotification* change) {
    Session::of(client).end(bad_status(change->status, "a subscription ended"));
  };
  const auto answered = [](UA_Client*, void* user, UA_UInt32, void* raw) {
    const std::unique_ptr<Asked> asked(static_cast<Asked*>(user));
    boundary(
        [&] {
          const auto& response = *static_cast<UA_CreateSubscriptionResponse*>(raw);
          if (asked->session_number == asked->watches.session_number_) {
            asked->watches.subscribed(asked->publishing, response.responseHeader.serviceResult,
                                      response.subscriptionId);
            asked->watches.fit_keep_alive(response);
          }
        },
        [](const Status&) noexcept {});
  };
  auto asked = std::make_unique<Asked>(Asked{*this, session_number_, publishing});
  const UA_StatusCode status = UA_Client_Subscriptions_create_async(
      session.client(), request, nullptr, lost, nullptr, answered, asked.get(), nullptr);
  if (status == UA_STATUSCODE_GOOD) {
    static_cast<void>(asked.release());
  } else if (asked->session_number == session_number_) {
    subscribed(publishing, status, 0);
  }
}

void Watches::subscribed(Publishing publishing, UA_StatusCode status, UA_UInt32 id) {
  if (ends_session(status)) {
    return;
  }
  if (status == UA_STATUSCODE_GOOD) {
    subscriptions_[publishing].id = id;
    static_cast<void>(create_waiting_.post());
    return;
  }
  const Waiting refused = std::move(subscriptions_[publishing].waiting);
  subscriptions_.erase(publishing);
  for (const NewItem& item : refused) {
    refuse_all(item.name, bad_status(status, "making a subscription"));
  }
}

void Watches::create_waiting() {
  std::vector<Publishing> all;
  for (const auto& [publishing, subscription] : subscriptions_) {
    all.push_back(publishing);
  }
  for (const Publishing publishing : all) {
    while (create_some(publishing)) {
    }
  }
}

/// False: nothing more is to be made, or can be.
bool Watches::create_some(Publishing publishing) {
  Session* const session = client_.session();
  const auto at = subscriptions_.find(publishing);
  if (session == nullptr || !session->is_open() || at == subscriptions_.end() ||
      at->second.id == 0) {
    return false;
  }
  Subscription& subscription = at->second;
  std::vector<void*> contexts;
  std::vector<UA_MonitoredItemCreateRequest> items;
  std::optional<bool> are_events;  // all, or none
  auto creation = std::make_unique<Creation>(Creation{*this, session_number_, publishing, {}});
  size_t cancelled = 0;
  while (!subscription.waiting.empty() && items.size() < session->most_items()) {
    WatchedItem* const found = find(subscription.waiting.back().name);
    if (found == nullptr) {
      subscription.waiting.pop_back();
      ++cancelled;
      continue;
    }
    Watch& watch = *found->watch;
    const MonitorOptions& options = watch.options;
    const bool is_event = options.events != nullptr;
    if (are_events.value_or(is_event) != is_event) {
      break;  // in the next request
    }
    are_events = is_event;
    NewItem wanted = std::move(subscription.waiting.back());
    subscription.waiting.pop_back();
    const std::string_view range = watch.nodes.range(wanted.name.item);
    UA_MonitoredItemCreateRequest item = UA_MonitoredItemCreateRequest_default(*wanted.node);
    item.itemToMonitor.attributeId = wanted.attribute;
    item.itemToMonitor.indexRange = range.empty() ? UA_STRING_NULL : borrowed(range);
    item.requestedParameters.samplingInterval = options.sampling_ms;
    item.requestedParameters.queueSize = options.queue;
    item.requestedParameters.discardOldest = options.discard_oldest;
    if (options.events) {
      UA_ExtensionObject_setValueNoDelete(&item.requestedParameters.filter,
                                          watch.event_filter.get(),
                                          &UA_TYPES[UA_TYPES_EVENTFILTER]);
    } else if (options.has_filter) {
      UA_ExtensionObject_setValueNoDelete(&item.requestedParameters.filter,
                                          const_cast<UA_DataChangeFilter*>(&options.filter),
                                          &UA_TYPES[UA_TYPES_DATACHANGEFILTER]);
    }
    items.push_back(item);
    creation->items.push_back(std::move(wanted));
    contexts.push_back(found);
  }
  if (subscription.waiting.empty()) {
    Waiting().swap(subscription.waiting);  // room for thousands
  }
  // Calls the library only when none is left, and then there is no subscription any more.
  drop_items(*session, publishing, std::vector<UA_UInt32>(cancelled, 0));
  if (items.empty()) {
    return false;
  }
  UA_CreateMonitoredItemsRequest request;
  UA_CreateMonitoredItemsRequest_init(&request);
  request.subscriptionId = subscription.id;
  request.timestampsToReturn = UA_TIMESTAMPSTORETURN_BOTH;
  request.itemsToCreate = items.data();
  request.itemsToCreateSize = items.size();
  const UA_Client_DataChangeNotificationCallback notified =
      [](UA_Client* client, UA_UInt32, void*, UA_UInt32, void* context, UA_DataValue* value) {
        Session::of(client).notify(item_of(context), *value);
      };
  const UA_Client_EventNotificationCallback told = [](UA_Client* client, UA_UInt32, void*,
                                                      UA_UInt32, void* context, size_t n,
                                                      UA_Variant* fields) {
    UA_DataValue event;
    UA_DataValue_init(&event);
    event.hasValue = true;
    UA_Variant_setArray(&event.value, fields, n, &UA_TYPES[UA_TYPES_VARIANT]);
    Session::of(client).notify_now({&item_of(context), event});
  };
  std::vector<UA_Client_DataChangeNotificationCallback> callbacks(items.size(), notified);
  std::vector<UA_Client_EventNotificationCallback> happened(items.size(), told);
  // Of each item that is asked for, also when there will be none.
  const UA_Client_DeleteMonitoredItemCallback gone = [](UA_Client* client, UA_UInt32, void*,
                                                        UA_UInt32, void* context) {
    Session::of(client).tell();  // perhaps of this one
    item_of(context).watch->give_back();
  };
  std::vector<UA_Client_DeleteMonitoredItemCallback> deletes(items.size(), gone);
  const auto answered = [](UA_Client*, void* user, UA_UInt32, void* raw) {
    const std::unique_ptr<Creation> made(static_cast<Creation*>(user));
    boundary(
        [&] { made->watches.created(*made, *static_cast<UA_CreateMonitoredItemsResponse*>(raw)); },
        [](const Status&) noexcept {});
  };
  for (void* const context : contexts) {
    Watch& watch = *item_of(context).watch;
    watch.lend(watches_.at(watch.number));
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
  for (void* const context : contexts) {
    item_of(context).watch->give_back();
  }
  UA_CreateMonitoredItemsResponse failed;
  UA_CreateMonitoredItemsResponse_init(&failed);
  failed.responseHeader.serviceResult = status;
  created(*creation, failed);
  return true;
}

void Watches::created(Creation& creation, const UA_CreateMonitoredItemsResponse& response) {
  UA_StatusCode service = response.responseHeader.serviceResult;
  if (service == UA_STATUSCODE_GOOD && response.resultsSize != creation.items.size()) {
    service = UA_STATUSCODE_BADUNKNOWNRESPONSE;
  }
  if (creation.session_number != session_number_ || ends_session(service)) {
    return;
  }
  Session& session = *client_.session();
  if (service == UA_STATUSCODE_BADTOOMANYOPERATIONS && creation.items.size() > 1) {
    session.refused_items(creation.items.size());
    auto& waiting = subscriptions_[creation.publishing].waiting;
    std::move(creation.items.begin(), creation.items.end(), std::back_inserter(waiting));
    static_cast<void>(create_waiting_.post());
    return;
  }
  for (size_t i = 0; i < creation.items.size() && !ends_session(UA_STATUSCODE_GOOD); ++i) {
    const bool is_answered = service == UA_STATUSCODE_GOOD;
    const UA_StatusCode status = is_answered ? response.results[i].statusCode : service;
    const UA_UInt32 id = is_answered ? response.results[i].monitoredItemId : 0;
    const Name name = creation.items[i].name;
    WatchedItem* const item = find(name);
    if (item != nullptr && status == UA_STATUSCODE_GOOD) {
      item->id = id;
      item->has_had_id = true;
      continue;
    }
    const Status why =
        item == nullptr
            ? Status()
            : refusal(*item, status, is_answered ? &response.results[i].filterResult : nullptr);
    drop_items(session, creation.publishing, {id});
    is_answered ? refuse(name, why) : refuse_all(name, why);
  }
}

/// Those that are 0 are none that the server has.
void Watches::drop_items(Session& session, Publishing publishing, std::vector<UA_UInt32> items) {
  const auto at = subscriptions_.find(publishing);
  if (at == subscriptions_.end() || !session.is_open() || items.empty()) {
    return;
  }
  UA_UInt32 subscription = at->second.id;
  at->second.items -= items.size();
  if (at->second.items > 0) {
    std::erase(items, 0U);
    return delete_items(subscription, items);
  }
  subscriptions_.erase(at);
  UA_DeleteSubscriptionsRequest request;
  UA_DeleteSubscriptionsRequest_init(&request);
  request.requestHeader.timeoutHint = Session::kNoTimeout;
  request.subscriptionIds = &subscription;
  request.subscriptionIdsSize = 1;
  UA_Client_Subscriptions_delete_async(
      session.client(), request, [](UA_Client*, void*, UA_UInt32, void*) {}, nullptr, nullptr);
}

/// Items that are deleted in one request.
struct Watches::Deletion {
  Watches& watches;
  const uint64_t session_number;
  const UA_UInt32 subscription;
  std::vector<UA_UInt32> items;
};

/// In as many requests as the server wants; what it does not say, it has to refuse.
void Watches::delete_items(UA_UInt32 subscription, std::span<UA_UInt32> items) {
  const auto answered = [](UA_Client*, void* user, UA_UInt32, void* raw) {
    const std::unique_ptr<Deletion> deletion(static_cast<Deletion*>(user));
    const UA_StatusCode status =
        static_cast<UA_DeleteMonitoredItemsResponse*>(raw)->responseHeader.serviceResult;
    Watches& watches = deletion->watches;
    if (status != UA_STATUSCODE_BADTOOMANYOPERATIONS || deletion->items.size() == 1 ||
        deletion->session_number != watches.session_number_ ||
        watches.client_.session() == nullptr) {
      return;
    }
    watches.client_.session()->refused_items(deletion->items.size());
    boundary([&] { watches.delete_items(deletion->subscription, deletion->items); },
             [](const Status&) noexcept {});
  };
  Session* const session = client_.session();
  while (!items.empty() && session != nullptr && session->is_open()) {
    const auto some = items.first(std::min(items.size(), session->most_items()));
    items = items.subspan(some.size());
    UA_DeleteMonitoredItemsRequest request;
    UA_DeleteMonitoredItemsRequest_init(&request);
    request.requestHeader.timeoutHint = Session::kNoTimeout;
    request.subscriptionId = subscription;
    request.monitoredItemIds = some.data();
    request.monitoredItemIdsSize = some.size();
    auto deletion = std::make_unique<Deletion>(
        Deletion{*this, session_number_, subscription, {some.begin(), some.end()}});
    const UA_StatusCode status = UA_Client_MonitoredItems_delete_async(
        session->client(), request, answered, deletion.get(), nullptr);
    if (status == UA_STATUSCODE_GOOD) {
      static_cast<void>(deletion.release());
    }
  }
}

}  // namespace backplane::opcua
