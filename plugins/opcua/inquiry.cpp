// SPDX-License-Identifier: Apache-2.0
#include "inquiry.hpp"

#include "error_map.hpp"

namespace backplane::opcua {
namespace {

constexpr size_t kMostAtOnce = 4;  // each is a connection

std::string_view user_name(const UA_UserTokenType& type) noexcept {
  switch (number_of(type)) {
    case UA_USERTOKENTYPE_ANONYMOUS:
      return "anonymous";
    case UA_USERTOKENTYPE_USERNAME:
      return "user";
    case UA_USERTOKENTYPE_CERTIFICATE:
      return "certificate";
    default:
      return "issued";
  }
}

std::string_view server_type(const UA_ApplicationType& type) noexcept {
  switch (number_of(type)) {
    case UA_APPLICATIONTYPE_CLIENT:
      return "client";
    case UA_APPLICATIONTYPE_CLIENTANDSERVER:
      return "client_and_server";
    case UA_APPLICATIONTYPE_DISCOVERYSERVER:
      return "discovery_server";
    default:
      return "server";
  }
}

/// "Basic256Sha256", or the URI of one that is not known.
std::string_view policy_name(std::string_view uri) noexcept {
  const Policy* const known = policy_with_uri(uri);
  return known != nullptr ? known->name : uri == kNoPolicy ? std::string_view("None") : uri;
}

ValueView endpoint_value(Arena& arena, const UA_EndpointDescription& endpoint) {
  ListBuilder users(arena);
  for (size_t i = 0; i < endpoint.userIdentityTokensSize; ++i) {
    users.add(user_name(endpoint.userIdentityTokens[i].tokenType));
  }
  return arena.map({{"url", view(endpoint.endpointUrl)},
                    {"security_mode", mode_name(endpoint.securityMode)},
                    {"security_policy", policy_name(view(endpoint.securityPolicyUri))},
                    {"security_level", endpoint.securityLevel},
                    {"users", users.view()},
                    {"application_uri", view(endpoint.server.applicationUri)},
                    {"certificate", ValueView::bytes(endpoint.serverCertificate.data,
                                                     endpoint.serverCertificate.length)}});
}

ValueView server_value(Arena& arena, const UA_ApplicationDescription& server) {
  ListBuilder urls(arena);
  for (size_t i = 0; i < server.discoveryUrlsSize; ++i) {
    urls.add(view(server.discoveryUrls[i]));
  }
  return arena.map({{"application_uri", view(server.applicationUri)},
                    {"name", view(server.applicationName.text)},
                    {"type", server_type(server.applicationType)},
                    {"urls", urls.view()}});
}

void fill(MessageBuilder& out, Discovery::What what, const void* response) {
  ListBuilder all(out.arena());
  if (what == Discovery::What::kEndpoints) {
    const auto& found = *static_cast<const UA_GetEndpointsResponse*>(response);
    for (size_t i = 0; i < found.endpointsSize; ++i) {
      all.add(endpoint_value(out.arena(), found.endpoints[i]));
    }
  } else {
    const auto& found = *static_cast<const UA_FindServersResponse*>(response);
    for (size_t i = 0; i < found.serversSize; ++i) {
      all.add(server_value(out.arena(), found.servers[i]));
    }
  }
  out.body(all.view());
}

}  // namespace

Inquiries::Inquiries(const Host& host, const Settings& settings, Requests& requests)
    : host_(host),
      settings_(settings),
      requests_(requests),
      retire_(host, [this] { std::exchange(retired_, {}).clear(); }) {}

Inquiries::~Inquiries() = default;

void Inquiries::begin(uint64_t key, UA_UInt32 attribute) {
  if (is_stopped_) {
    return;  // it has been answered
  }
  if (all_.size() >= kMostAtOnce) {
    return requests_.fail(key, Status(BP_RESOURCE_EXHAUSTED, "there are ", kMostAtOnce,
                                      " inquiries under way already"));
  }
  auto inquiry = std::make_unique<Inquiry>();
  inquiry->what =
      attribute == kServerEndpoints ? Discovery::What::kEndpoints : Discovery::What::kServers;
  inquiry->timeout.emplace(host_, [this, key] {
    end(key, Status(BP_UNAVAILABLE, "no answer within connect_timeout_s"), nullptr);
  });
  static_cast<void>(inquiry->timeout->after(settings_.connect_timeout));
  all_.emplace(key, std::move(inquiry));
  if (addresses_) {
    ask(key);
  }
}

void Inquiries::addresses_are(const Result<std::vector<std::string>>& found) {
  addresses_.emplace(found);
  std::vector<uint64_t> waiting;
  for (const auto& [key, inquiry] : all_) {
    if (!inquiry->discovery) {
      waiting.push_back(key);
    }
  }
  for (const uint64_t key : waiting) {
    ask(key);
  }
}

void Inquiries::ask(uint64_t key) {
  if (!*addresses_) {
    return end(key, addresses_->status(), nullptr);
  }
  Inquiry& inquiry = *all_.at(key);
  boundary(
      [&] {
        inquiry.discovery.emplace(host_, settings_, **addresses_, inquiry.what,
                                  [this, key](const Status& status, const void* response) {
                                    end(key, status, response);
                                  });
        inquiry.discovery->start();
      },
      [&](const Status& status) { end(key, status, nullptr); });
}

void Inquiries::end(uint64_t key, const Status& status, const void* response) {
  auto ended = all_.extract(key);
  if (ended.empty()) {
    return;
  }
  if (response == nullptr) {
    requests_.fail(key, Status(status).with_context(settings_.url));
  } else {
    requests_.answer(key, [&](MessageBuilder& out) {
      fill(out, ended.mapped()->what, response);
      return Status::ok();
    });
  }
  retired_.push_back(std::move(ended.mapped()));  // it may be in the middle of a call
  static_cast<void>(retire_.post());
}

void Inquiries::stop() {
  is_stopped_ = true;
  all_.clear();
  retired_.clear();
}

}  // namespace backplane::opcua
