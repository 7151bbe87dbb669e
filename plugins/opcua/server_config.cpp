// SPDX-License-Identifier: Apache-2.0
#include "server_config.hpp"

#include "native.hpp"

#include <open62541/server_config_default.h>

namespace backplane::opcua {
namespace {

constexpr UA_UInt32 kLeastChunk = 8192;  // part 6, 7.1.2.3
constexpr UA_Double kFastestMs = 10;
constexpr UA_Double kHourMs = 3600.0 * 1000;
constexpr auto kAnswerGrace = std::chrono::seconds(5);

}  // namespace

ServerConfig::ServerConfig(const ServerSettings& settings, uint16_t port, UA_EventLoop* loop,
                           const UA_Logger* logger) {
  UA_ServerConfig& to = config_;
  to.eventLoop = loop;
  to.logging = const_cast<UA_Logger*>(logger);
  if (UA_ServerConfig_setBasics_withPort(&to, port) != UA_STATUSCODE_GOOD) {
    UA_ServerConfig_clean(&to);
    throw std::bad_alloc();
  }
  replace(to.serverUrls[0], settings.url(port));
  UA_ApplicationDescription& who = to.applicationDescription;
  replace(who.applicationUri, settings.namespaces[1]);
  replace(who.productUri, "urn:backplane:opcua");
  UA_LocalizedText_clear(&who.applicationName);
  who.applicationName.text = allocated(settings.name);
  replace(to.buildInfo.productUri, "urn:backplane:opcua");
  replace(to.buildInfo.manufacturerName, "Backplane");
  replace(to.buildInfo.productName, "Backplane OPC UA server");
  replace(to.buildInfo.softwareVersion, "0.1.0");
  replace(to.buildInfo.buildNumber, "");

  to.tcpMaxMsgSize = settings.max_message;
  to.tcpMaxChunks = settings.max_message / kLeastChunk + 1;
  to.maxSecureChannels = static_cast<UA_UInt16>(settings.max_connections);
  to.maxSessions = settings.max_sessions;
  to.maxSessionTimeout = kHourMs;
  to.maxNodesPerRead = to.maxNodesPerWrite = to.maxNodesPerBrowse = 10'000;
  to.maxNodesPerRegisterNodes = to.maxNodesPerTranslateBrowsePathsToNodeIds = 10'000;
  to.maxMonitoredItemsPerCall = 10'000;
  to.maxNodesPerMethodCall = 100;
  to.maxNodesPerNodeManagement = 1;  // of which none is allowed
  to.maxReferencesPerNode = 1000;    // then the rest is asked for
  to.maxSubscriptions = settings.max_subscriptions;
  to.maxMonitoredItems = settings.max_monitored_items;
  to.maxPublishReqPerSession = 32;
  to.maxRetransmissionQueueSize = 64;
  to.publishingIntervalLimits = {kFastestMs, kHourMs};
  to.samplingIntervalLimits = {kFastestMs, 24 * kHourMs};  // 0 is exempt: each change
  to.allowEmptyVariables = UA_RULEHANDLING_ACCEPT;         // those without an initial value
  // Answers are timed by calls.hpp; this one is for what it should have forgotten.
  to.asyncOperationTimeout =
      std::chrono::duration<double, std::milli>(settings.call_timeout + kAnswerGrace).count();
}

ServerConfig::~ServerConfig() { UA_ServerConfig_clean(&config_); }

}  // namespace backplane::opcua
