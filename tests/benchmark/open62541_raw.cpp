// SPDX-License-Identifier: Apache-2.0
// open62541's client as a good engineer would drive it: asynchronous requests, its own event loop
// (epoll) on one thread, decoded values used where they are.
#include "opcua_side.hpp"
#include "support/scratch_folder.hpp"

#include <chrono>
#include <fstream>
#include <open62541/client.h>
#include <open62541/client_config_default.h>
#include <open62541/client_highlevel_async.h>
#include <open62541/client_subscriptions.h>
#include <open62541/plugin/pki_default.h>
#include <sstream>
#include <stdexcept>
#include <vector>

namespace backplane::benchmark {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kItemsOfARequest = 500;

void require(UA_StatusCode status, const char* what) {
  if (status != UA_STATUSCODE_GOOD)
    throw std::runtime_error(std::string("open62541: ") + what + ": " + UA_StatusCode_name(status));
}

UA_ByteString file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  const std::string bytes = text.str();
  UA_ByteString out;
  UA_ByteString_allocBuffer(&out, bytes.size());
  bytes.copy(reinterpret_cast<char*>(out.data), bytes.size());
  return out;
}

class Raw final : public OpcuaSide {
 public:
  explicit Raw(const OpcuaOptions& options) : options_(options) {
    names_ = names(options.nodes);
    reads_.resize(options.nodes);
    for (unsigned i = 0; i < options.nodes; ++i) {
      UA_ReadValueId_init(&reads_[i]);
      reads_[i].nodeId = id(names_[i]);
      reads_[i].attributeId = UA_ATTRIBUTEID_VALUE;
    }
    writes_.resize(options.writes_nodes ? options.nodes : 1);
    for (unsigned i = 0; i < writes_.size(); ++i) {
      UA_WriteValue_init(&writes_[i]);
      writes_[i].nodeId = options.writes_nodes ? id(names_[i]) : UA_NODEID_STRING(1, go_);
      writes_[i].attributeId = UA_ATTRIBUTEID_VALUE;
      writes_[i].value.hasValue = true;
      UA_Variant_setScalar(&writes_[i].value.value, &value_, &UA_TYPES[UA_TYPES_DOUBLE]);
    }
    connect();
  }
  ~Raw() override { UA_Client_delete(client_); }

  void run(OpcuaWork& work) override {
    work_ = &work;
    work.begin();
    turn_until([&] { return work.is_over(); });
    work_ = nullptr;
  }

  void read() override {
    UA_ReadRequest request;
    UA_ReadRequest_init(&request);
    request.timestampsToReturn = UA_TIMESTAMPSTORETURN_BOTH;
    request.nodesToRead = reads_.data();
    request.nodesToReadSize = reads_.size();
    send(&request, UA_TYPES[UA_TYPES_READREQUEST], UA_TYPES[UA_TYPES_READRESPONSE],
         [](UA_Client*, void* self, UA_UInt32, void* response) {
           const auto& answer = *static_cast<UA_ReadResponse*>(response);
           for (std::size_t i = 0; i < answer.resultsSize; ++i)
             static_cast<Raw*>(self)->look_at(answer.results[i]);
           static_cast<Raw*>(self)->take(answer.responseHeader.serviceResult, answer.resultsSize);
         });
  }

  void write() override {
    value_ += 1;
    UA_WriteRequest request;
    UA_WriteRequest_init(&request);
    request.nodesToWrite = writes_.data();
    request.nodesToWriteSize = writes_.size();
    send(&request, UA_TYPES[UA_TYPES_WRITEREQUEST], UA_TYPES[UA_TYPES_WRITERESPONSE],
         [](UA_Client*, void* self, UA_UInt32, void* response) {
           const auto& answer = *static_cast<UA_WriteResponse*>(response);
           static_cast<Raw*>(self)->take(answer.responseHeader.serviceResult, answer.resultsSize);
         });
  }

  void watch() override {
    UA_CreateSubscriptionRequest request = UA_CreateSubscriptionRequest_default();
    request.requestedPublishingInterval = options_.publishing_ms;
    const UA_CreateSubscriptionResponse made =
        UA_Client_Subscriptions_create(client_, request, this, nullptr, nullptr);
    require(made.responseHeader.serviceResult, "subscription");
    subscription_ = made.subscriptionId;
    heard_ = 0;
    watched_ = names(options_.items);
    for (unsigned first = 0; first < options_.items; first += kItemsOfARequest) {
      const unsigned end =
          std::min(options_.items, first + static_cast<unsigned>(kItemsOfARequest));
      create_items(first, end);
    }
    turn_until([this] { return heard_ >= options_.items; });
  }

  void leave() override {
    require(UA_Client_Subscriptions_deleteSingle(client_, subscription_), "delete");
    std::vector<std::string>().swap(watched_);
  }

  std::uint64_t idle(double seconds) override {
    const std::uint64_t before = heard_;
    const auto end = Clock::now() + std::chrono::duration<double>(seconds);
    while (Clock::now() < end) require(UA_Client_run_iterate(client_, 100), "run");
    return heard_ - before;
  }

 private:
  static std::vector<std::string> names(unsigned n) {
    std::vector<std::string> out;
    out.reserve(n);
    for (unsigned i = 0; i < n; ++i) out.push_back("N" + std::to_string(i));
    return out;
  }
  static UA_NodeId id(std::string& name) { return UA_NODEID_STRING(1, name.data()); }

  void connect() {
    static UA_Logger silent{[](void*, UA_LogLevel, UA_LogCategory, const char*, va_list) {},
                            nullptr, nullptr};
    UA_ClientConfig made{};
    made.logging = &silent;
    UA_ClientConfig* const config = &made;
    if (options_.security.is_secured()) {
      const UA_ByteString certificate = file(options_.security.certificate);
      const UA_ByteString key = file(options_.security.key);
      require(
          UA_ClientConfig_setDefaultEncryption(config, certificate, key, nullptr, 0, nullptr, 0),
          "security");
      UA_CertificateVerification_AcceptAll(&config->certificateVerification);
      config->securityMode = UA_MESSAGESECURITYMODE_SIGNANDENCRYPT;
      config->securityPolicyUri =
          UA_STRING_ALLOC("http://opcfoundation.org/UA/SecurityPolicy#Basic256Sha256");
      UA_String_clear(&config->clientDescription.applicationUri);
      config->clientDescription.applicationUri = UA_STRING_ALLOC("urn:bench:client");
    } else {
      require(UA_ClientConfig_setDefault(config), "configuration");
    }
    config->timeout = kOpcuaPatienceSeconds * 1000;
    config->outStandingPublishRequests = 4;  // as the plugin
    client_ = UA_Client_newWithConfig(config);
    require(client_ == nullptr ? UA_STATUSCODE_BADOUTOFMEMORY : UA_STATUSCODE_GOOD, "client");
    require(UA_Client_connect(client_,
                              ("opc.tcp://127.0.0.1:" + std::to_string(options_.port)).c_str()),
            "connect");
  }

  void send(const void* request, const UA_DataType& type, const UA_DataType& response,
            UA_ClientAsyncServiceCallback callback) {
    require(__UA_Client_AsyncService(client_, request, &type, callback, &response, this, nullptr),
            "request");
  }
  void take(UA_StatusCode status, std::size_t n) {
    if (status != UA_STATUSCODE_GOOD || n == 0) failed_ = true;
    if (work_ != nullptr) work_->answered();
  }

  void create_items(unsigned first, unsigned end) {
    std::vector<UA_MonitoredItemCreateRequest> items;
    for (unsigned i = first; i < end; ++i) {
      UA_MonitoredItemCreateRequest item = UA_MonitoredItemCreateRequest_default(id(watched_[i]));
      item.requestedParameters.samplingInterval = options_.sampling_ms;
      item.requestedParameters.queueSize = options_.queue;
      item.requestedParameters.discardOldest = true;
      items.push_back(item);
    }
    UA_CreateMonitoredItemsRequest request;
    UA_CreateMonitoredItemsRequest_init(&request);
    request.subscriptionId = subscription_;
    request.timestampsToReturn = UA_TIMESTAMPSTORETURN_BOTH;
    request.itemsToCreate = items.data();
    request.itemsToCreateSize = items.size();
    std::vector<void*> contexts(items.size(), this);
    const UA_Client_DataChangeNotificationCallback changed =
        [](UA_Client*, UA_UInt32, void*, UA_UInt32, void* self, UA_DataValue* value) {
          static_cast<Raw*>(self)->hear(*value);
        };
    std::vector<UA_Client_DataChangeNotificationCallback> callbacks(items.size(), changed);
    std::vector<UA_Client_DeleteMonitoredItemCallback> deleted(items.size(), nullptr);
    UA_CreateMonitoredItemsResponse made = UA_Client_MonitoredItems_createDataChanges(
        client_, request, contexts.data(), callbacks.data(), deleted.data());
    const UA_StatusCode status = made.responseHeader.serviceResult;
    UA_CreateMonitoredItemsResponse_clear(&made);
    require(status, "items");
  }
  void hear(const UA_DataValue& value) {
    ++heard_;
    look_at(value);
    if (work_ != nullptr) work_->notified();
  }
  void look_at(const UA_DataValue& value) {
    const bool is_good = !value.hasStatus || value.status == UA_STATUSCODE_GOOD;
    if (is_good && value.hasValue &&
        UA_Variant_hasScalarType(&value.value, &UA_TYPES[UA_TYPES_DOUBLE]))
      last_ = *static_cast<UA_Double*>(value.value.data);
    else
      failed_ = true;
  }

  template <typename Condition>
  void turn_until(Condition is_met) {
    const auto end = Clock::now() + std::chrono::seconds(kOpcuaPatienceSeconds);
    while (!is_met()) {
      require(UA_Client_run_iterate(client_, 1000), "run");
      if (failed_ || Clock::now() > end)
        throw std::runtime_error("open62541: the work does not end");
    }
  }

  const OpcuaOptions options_;
  std::vector<std::string> names_;
  // Kept as long as its items, which it would make again by it when a session is lost.
  std::vector<std::string> watched_;
  char go_[3] = "Go";
  std::vector<UA_ReadValueId> reads_;
  std::vector<UA_WriteValue> writes_;
  UA_Double value_ = 0;
  UA_Client* client_ = nullptr;
  OpcuaWork* work_ = nullptr;
  UA_UInt32 subscription_ = 0;
  std::uint64_t heard_ = 0;
  UA_Double last_ = 0;
  bool failed_ = false;
};

}  // namespace

std::unique_ptr<OpcuaSide> open62541_raw(const OpcuaOptions& options) {
  return std::make_unique<Raw>(options);
}

}  // namespace backplane::benchmark
