// SPDX-License-Identifier: Apache-2.0
#include "session.hpp"

#include "error_map.hpp"
#include "values.hpp"

namespace backplane::opcua {
namespace {

constexpr UA_UInt32 kMaxNodesPerRead = 11705;
constexpr UA_UInt32 kMaxNodesPerWrite = 11707;
constexpr UA_UInt32 kMaxNodesPerTranslateBrowsePaths = 11712;
constexpr UA_UInt32 kMaxMonitoredItemsPerCall = 11714;
// The library gives each ten minutes. A quiet subscription answers one a keep-alive, the oldest
// first (Watches: at most a minute), so all of them have to come in turn in less.
constexpr UA_UInt16 kLeastPublishRequests = 4;
constexpr UA_UInt16 kMostPublishRequests = 8;
// A server that leaves so many requests unanswered is of no use, and each costs memory.
constexpr size_t kMostLate = 1000;

/// Most often it is a number, whose memory is all that there is.
void free_value(UA_Variant& value) noexcept {
  if (UA_Variant_isScalar(&value) && value.type->pointerFree &&
      value.storageType == UA_VARIANT_DATA && value.arrayDimensions == nullptr) {
    UA_free(value.data);
  } else {
    UA_Variant_clear(&value);
  }
}

/// To what the server takes; 0 is as much as there is.
void lower(size_t& most, const UA_Variant& limit) {
  if (UA_Variant_hasScalarType(&limit, &UA_TYPES[UA_TYPES_UINT32])) {
    if (const auto n = *static_cast<const UA_UInt32*>(limit.data); n != 0) {
      most = std::min<size_t>(most, n);
    }
  }
}

}  // namespace

Session::Session(const Host& host, const Settings& settings, std::vector<std::string> addresses,
                 Security& security, Events events)
    : host_(host),
      settings_(settings),
      addresses_(std::move(addresses)),
      security_(security),
      events_(std::move(events)),
      publish_requests_(kLeastPublishRequests),
      request_timeout_(settings.request_timeout),
      overdue_(host, [this] { give_up_overdue(); }),
      has_found_(host, [this] {
        discovery_.reset();
        if (phase_ == Phase::kDiscovering) {
          boundary([&] { choose_endpoint(); }, [this](const Status& status) { end(status); });
        }
      }) {}

Session::~Session() {
  phase_ = Phase::kDown;
  tell();
}

void Session::connect() {
  discovery_.emplace(
      host_, settings_, addresses_, Discovery::What::kEndpoints,
      [this](const Status& status, const void* response) {
        if (status.is_error()) {
          found_.emplace(status);
        } else {
          found_.emplace(endpoints_of(*static_cast<const UA_GetEndpointsResponse*>(response)));
        }
        static_cast<void>(has_found_.post());  // not inside a call of the library
      });
  discovery_->start();
}

EndpointWanted Session::wanted() const {
  EndpointWanted out;
  out.mode = settings_.security.mode;
  out.policy = settings_.security.policy;
  out.plain_password = settings_.security.plain_password;
  out.is_loopback = settings_.is_loopback();
  out.user = user_.type;
  return out;
}

void Session::choose_endpoint() {
  user_ = security_.user();
  choice_ = choose(found_->value(), wanted()).value();
  found_.reset();
  if (!choice_.needs_certificate()) {
    return open(nullptr);
  }
  Expected expected;
  expected.application_uri = view(choice_.endpoint->server.applicationUri);
  expected.host_name = settings_.security.check_host_name ? settings_.address : std::string();
  expected.peer = settings_.url;
  const Trust& trust = security_.trust();
  const Verdict verdict = trust.check(view(choice_.endpoint->serverCertificate), expected);
  if (!verdict.is_good()) {
    return end(trust.status_of(verdict));
  }
  security_.identity([weak = std::weak_ptr(self_)](const Security::Answer& identity) {
    const auto still = weak.lock();
    if (!still || (*still)->phase_ != Phase::kDiscovering) {
      return;
    }
    boundary([&] { (*still)->open(identity.value().get()); },
             [&](const Status& status) { (*still)->end(status); });
  });
}

void Session::open(const Identity* identity) {
  phase_ = Phase::kConnecting;
  our_certificate_ = identity != nullptr ? identity->source : std::string();
  connection_.emplace(
      host_, settings_, addresses_,
      Connection::Events{this,
                         [this](UA_SecureChannelState channel, UA_SessionState session,
                                UA_StatusCode status) { state_changed(channel, session, status); },
                         [this] { end(Status(BP_UNAVAILABLE, "the server does not answer")); },
                         [this] {
                           tell();
                           events_.received();
                         }},
      [&](UA_ClientConfig& config) {
        config.noNewSession = true;
        config.outStandingPublishRequests = publish_requests_;
        config.subscriptionInactivityCallback = [](UA_Client* client, UA_UInt32, void*) {
          of(client).end(Status(BP_UNAVAILABLE, "the server is silent about a subscription"));
        };
        security_.secure(config, choice_, identity, user_);
      });
  user_ = User();  // the password is not needed any more
  const UA_StatusCode status = connection_->connect();
  if (status != UA_STATUSCODE_GOOD) {
    end(bad_status(status, {}));
  }
}

std::string Session::security_text() const {
  const std::string_view mode = mode_name(choice_.endpoint->securityMode);
  return choice_.channel == nullptr ? "no security" : concat(mode, " ", choice_.channel->name);
}

void Session::close(std::function<void()> done) {
  const bool says_so = (is_up() || phase_ == Phase::kReading) && is_open();
  phase_ = Phase::kClosing;
  if (connection_) {
    connection_->tcp().forbid();
  }
  if (!says_so) {
    phase_ = Phase::kDown;
    return done();
  }
  closed_ = std::move(done);
  UA_Client_disconnectAsync(client());
}

void Session::state_changed(UA_SecureChannelState channel, UA_SessionState session,
                            UA_StatusCode status) {
  has_been_open_ = has_been_open_ || channel == UA_SECURECHANNELSTATE_OPEN;
  switch (phase_) {
    case Phase::kConnecting:
      if (status != UA_STATUSCODE_GOOD) {
        return lost(status);
      }
      if (session == UA_SESSIONSTATE_ACTIVATED) {
        phase_ = Phase::kReading;
        connection_->tcp().forbid();
        read_server();
      }
      return;
    case Phase::kReading:
    case Phase::kUp:
      if (status != UA_STATUSCODE_GOOD || session != UA_SESSIONSTATE_ACTIVATED) {
        lost(status != UA_STATUSCODE_GOOD
                 ? status
                 : static_cast<UA_StatusCode>(UA_STATUSCODE_BADCONNECTIONCLOSED));
      }
      return;
    case Phase::kClosing:
      if (channel == UA_SECURECHANNELSTATE_CLOSED && closed_) {
        phase_ = Phase::kDown;
        const auto done = std::move(closed_);
        done();
      }
      return;
    case Phase::kDiscovering:
    case Phase::kDown:
      return;
  }
}

Status Session::reason(UA_StatusCode status) const {
  Status out = connection_status(connection_->tcp(), status);
  // A server that answers with a fault says why, but the library keeps that for itself (Part 6,
  // 6.7.4).
  const bool is_untold = out.code() == BP_UNAVAILABLE && connection_->tcp().was_established();
  if (phase_ == Phase::kConnecting && choice_.channel != nullptr && !has_been_open_ && is_untold) {
    const pki::Store& store = security_.trust().store();
    // What leads to it comes first: a long text is cut off.
    return Status(
               BP_UNAUTHENTICATED,
               "the server does not open a secured channel; most often it does not trust our "
               "certificate, ",
               our_certificate_ == store.identity_file().string()
                   ? concat("which backplane cert show --pki ", store.folder().string(), " prints")
                   : concat("that of the ", our_certificate_),
               "; its log knows why")
        .with_native(static_cast<int32_t>(status), kDomain);
  }
  return out;
}

/// What is read is needed; that it is answered is the proof.
void Session::read_server() {
  std::array<UA_ReadValueId, 5> nodes{};
  nodes[0].nodeId = UA_NODEID_NUMERIC(0, UA_NS0ID_SERVER_NAMESPACEARRAY);
  nodes[1].nodeId = UA_NODEID_NUMERIC(0, kMaxNodesPerRead);
  nodes[2].nodeId = UA_NODEID_NUMERIC(0, kMaxNodesPerWrite);
  nodes[3].nodeId = UA_NODEID_NUMERIC(0, kMaxMonitoredItemsPerCall);
  nodes[4].nodeId = UA_NODEID_NUMERIC(0, kMaxNodesPerTranslateBrowsePaths);
  for (UA_ReadValueId& node : nodes) {
    node.attributeId = UA_ATTRIBUTEID_VALUE;
  }
  UA_ReadRequest request;
  UA_ReadRequest_init(&request);
  request.nodesToRead = nodes.data();
  request.nodesToReadSize = nodes.size();
  ask<UA_ReadResponse, UA_TYPES_READRESPONSE>(
      request, UA_TYPES_READREQUEST, [this](const UA_ReadResponse& response) {
        if (phase_ != Phase::kReading) {
          return;
        }
        const UA_StatusCode status = response.responseHeader.serviceResult;
        if (status != UA_STATUSCODE_GOOD || response.resultsSize != 5) {
          return end(bad_status(status, "reading the server's namespaces"));
        }
        set_namespaces(response.results[0].value);
        lower(most_reads_, response.results[1].value);
        lower(most_writes_, response.results[2].value);
        lower(most_items_, response.results[3].value);
        lower(most_paths_, response.results[4].value);
        choice_.channel != nullptr ? ask_endpoints_again() : be_up();
      });
}

void Session::ask_endpoints_again() {
  UA_GetEndpointsRequest request;
  UA_GetEndpointsRequest_init(&request);
  request.endpointUrl = borrowed(settings_.url);
  ask<UA_GetEndpointsResponse, UA_TYPES_GETENDPOINTSRESPONSE>(
      request, UA_TYPES_GETENDPOINTSREQUEST, [this](const UA_GetEndpointsResponse& response) {
        if (phase_ != Phase::kReading) {
          return;
        }
        const UA_StatusCode status = response.responseHeader.serviceResult;
        if (status != UA_STATUSCODE_GOOD) {
          return end(bad_status(status, "asking for the endpoints again"));
        }
        EndpointWanted same = wanted();
        same.user = choice_.token->tokenType;
        const auto again = choose(endpoints_of(response), same);
        again && again->is_same_as(choice_)
            ? be_up()
            : end(bad_status(
                  UA_STATUSCODE_BADSECURITYCHECKSFAILED,
                  "the server offers other endpoints on a secured channel than without"));
      });
}

void Session::be_up() {
  phase_ = Phase::kUp;
  // Not before: while a session is being made, the library would ask in its name, and the server
  // would refuse that one.
  UA_Client_getConfig(client())->connectivityCheckInterval = milliseconds(settings_.keepalive);
  events_.up();
}

void Session::send(const void* request, const UA_DataType& request_type,
                   const UA_DataType& response_type, Answered answered) {
  const uint64_t number = first_asked_ + asked_.size();
  const int64_t due = monotonic_after(request_timeout_);
  asked_.emplace_back(Asked{due, std::move(answered)});
  const auto callback = [](UA_Client* client, void* user, UA_UInt32, void* response) {
    of(client).take(reinterpret_cast<uintptr_t>(user), response);
  };
  const UA_StatusCode status =
      is_open() ? __UA_Client_AsyncService(client(), request, &request_type, callback,
                                           &response_type, reinterpret_cast<void*>(number), nullptr)
                : static_cast<UA_StatusCode>(UA_STATUSCODE_BADNOTCONNECTED);
  if (status != UA_STATUSCODE_GOOD) {
    answer(take_asked(number)->answered, nullptr, status);
  } else if (!is_timing_) {
    is_timing_ = overdue_.at(due).is_ok();
  }
}

void Session::notify_now(const Change& change) noexcept {
  tell();
  if (is_up()) {
    boundary([&] { events_.changed({&change, 1}); }, [this](const Status& status) { end(status); });
  }
}

/// Who is told may end the session, but nothing more is notified meanwhile.
void Session::tell() noexcept {
  if (n_changes_ == 0 || std::exchange(is_telling_, true)) {
    return;
  }
  const auto changes = std::span(changes_).first(std::exchange(n_changes_, 0));
  if (is_up()) {
    boundary([&] { events_.changed(changes); }, [this](const Status& status) { end(status); });
  }
  for (Change& each : changes) {
    free_value(each.value.value);
  }
  is_telling_ = false;
}

void Session::take(uint64_t number, void* response) {
  tell();
  const auto asked = take_asked(number);
  if (!asked) {
    --late_;
    return;
  }
  // Every response begins with its header.
  answer(asked->answered, response, static_cast<const UA_ResponseHeader*>(response)->serviceResult);
}

/// Nothing: it was given up before.
std::optional<Session::Asked> Session::take_asked(uint64_t number) noexcept {
  if (number < first_asked_) {
    return std::nullopt;
  }
  auto out = std::exchange(asked_[number - first_asked_], std::nullopt);
  while (!asked_.empty() && !asked_.front()) {
    asked_.pop_front();
    ++first_asked_;
  }
  return out;
}

void Session::answer(const Answered& answered, void* response, UA_StatusCode status) noexcept {
  if (is_up() && is_loss(status)) {
    lost(status);  // whoever is answered finds no session
  }
  boundary([&] { answered(response, status); },
           [&](const Status&) noexcept {
             boundary([&] { answered(nullptr, UA_STATUSCODE_BADOUTOFMEMORY); },
                      [](const Status&) noexcept {});
           });
}

void Session::give_up_overdue() {
  const int64_t now = monotonic_ns();
  while (!asked_.empty() && asked_.front()->due <= now) {
    const auto asked = take_asked(first_asked_);
    ++late_;
    answer(asked->answered, nullptr, UA_STATUSCODE_BADTIMEOUT);
  }
  is_timing_ = !asked_.empty() && overdue_.at(asked_.front()->due).is_ok();
  if (late_ > kMostLate) {
    end(Status(BP_UNAVAILABLE, "the server has left ", late_, " requests unanswered"));
  }
}

void Session::set_namespaces(const UA_Variant& told) {
  if (UA_Variant_hasArrayType(&told, &UA_TYPES[UA_TYPES_STRING])) {
    const auto* first = static_cast<const UA_String*>(told.data);
    namespaces_.clear();
    for (size_t i = 0; i < told.arrayLength; ++i) {
      namespaces_.emplace_back(view(first[i]));
    }
  }
}

void Session::read_attribute(const UA_NodeId& node, UA_UInt32 attribute, AttributeRead answer) {
  UA_ReadValueId item;
  UA_ReadValueId_init(&item);
  item.nodeId = node;
  item.attributeId = attribute;
  UA_ReadRequest request;
  UA_ReadRequest_init(&request);
  request.timestampsToReturn = UA_TIMESTAMPSTORETURN_NEITHER;
  request.nodesToRead = &item;
  request.nodesToReadSize = 1;
  ask<UA_ReadResponse, UA_TYPES_READRESPONSE>(
      request, UA_TYPES_READREQUEST, [answer = std::move(answer)](const UA_ReadResponse& response) {
        const UA_StatusCode service = service_status(response);
        answer(service, is_bad(service) ? UA_DataValue() : response.results[0]);
      });
}

void Session::has_subscriptions(size_t n) noexcept {
  UA_UInt16& used = UA_Client_getConfig(client())->outStandingPublishRequests;
  if (used == publish_requests_) {  // else the server had too many, and the library asks for less
    used = publish_requests_ =
        static_cast<UA_UInt16>(std::clamp<size_t>(n + 1, publish_requests_, kMostPublishRequests));
  }
}

void Session::read_namespaces(std::function<void()> done) {
  read_attribute(ns0(UA_NS0ID_SERVER_NAMESPACEARRAY), UA_ATTRIBUTEID_VALUE,
                 [this, done = std::move(done)](UA_StatusCode service, const UA_DataValue& value) {
                   if (!is_bad(service)) {
                     set_namespaces(value.value);
                   }
                   done();
                 });
}

void Session::end(const Status& status) {
  tell();
  if (phase_ == Phase::kDown || phase_ == Phase::kClosing) {
    return;
  }
  phase_ = Phase::kDown;
  if (connection_) {
    connection_->tcp().forbid();
  }
  events_.down(status);
}

}  // namespace backplane::opcua
