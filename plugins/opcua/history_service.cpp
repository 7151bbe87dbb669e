// SPDX-License-Identifier: Apache-2.0
#include "history_service.hpp"

#include "error_map.hpp"

namespace backplane::opcua {
namespace {

constexpr uint32_t kPage = 1000;

class Range {
 public:
  explicit Range(const UA_String& text) {
    if (text.length != 0 && UA_NumericRange_parse(&range_, text) != UA_STATUSCODE_GOOD) {
      throw Error(bad_status(UA_STATUSCODE_BADINDEXRANGEINVALID, {}));
    }
  }
  ~Range() { UA_free(range_.dimensions); }
  Range(const Range&) = delete;
  Range& operator=(const Range&) = delete;
  const UA_NumericRange* get() const noexcept {
    return range_.dimensionsSize == 0 ? nullptr : &range_;
  }

 private:
  UA_NumericRange range_{};
};

/// What is asked of all nodes.
struct Asked {
  UA_Server* server;
  const UA_NodeId* session;
  void* user;
  const UA_ReadRawModifiedDetails& details;
  UA_TimestampsToReturn timestamps;
  bool is_released;
  VariableHistory::Room& room;
};

void require(bool condition, UA_StatusCode otherwise) {
  if (!condition) {
    throw Error(bad_status(otherwise, {}));
  }
}

void read(const AddressSpace& nodes, const Asked& asked, const UA_HistoryReadValueId& wanted,
          UA_HistoryReadResult& result, UA_HistoryData& values) {
  const AddressSpace::Node* const node = nodes.find(wanted.nodeId);
  Variable* const variable = node == nullptr ? nullptr : node->variable;
  UA_NodeClass node_class{};
  require(node != nullptr || UA_Server_readNodeClass(asked.server, wanted.nodeId, &node_class) ==
                                 UA_STATUSCODE_GOOD,
          UA_STATUSCODE_BADNODEIDUNKNOWN);
  require(variable != nullptr && variable->history() != nullptr,
          UA_STATUSCODE_BADHISTORYOPERATIONUNSUPPORTED);
  UA_AccessControl& access = UA_Server_getConfig(asked.server)->accessControl;
  const unsigned level = access.getUserAccessLevel(asked.server, &access, asked.session, asked.user,
                                                   node->id.get(), variable);
  require(variable->declared().is_readable, UA_STATUSCODE_BADNOTREADABLE);
  require((level & UA_ACCESSLEVELMASK_HISTORYREAD) != 0, UA_STATUSCODE_BADUSERACCESSDENIED);
  if (asked.is_released) {
    return;  // nothing is kept
  }
  require(!asked.room.is_empty(), UA_STATUSCODE_BADTOOMANYOPERATIONS);
  const Range range(wanted.indexRange);
  VariableHistory::Page page = variable->history()->read(
      {asked.details, asked.timestamps, range.get(), view(wanted.continuationPoint), asked.room});
  values = page.values.release();
  result.statusCode = values.dataValuesSize == 0
                          ? static_cast<UA_StatusCode>(UA_STATUSCODE_GOODNODATA)
                          : UA_STATUSCODE_GOOD;
  if (!page.next.empty()) {
    result.continuationPoint = allocated(page.next);
  }
}

void read_raw(UA_Server* server, void* context, const UA_NodeId* session, void* user,
              const UA_RequestHeader*, const UA_ReadRawModifiedDetails* details,
              UA_TimestampsToReturn timestamps, UA_Boolean is_released, size_t n,
              const UA_HistoryReadValueId* wanted, UA_HistoryReadResponse* response,
              UA_HistoryData* const* values) {
  if (number_of(timestamps) > UA_TIMESTAMPSTORETURN_BOTH) {
    response->responseHeader.serviceResult = UA_STATUSCODE_BADTIMESTAMPSTORETURNINVALID;
    return;
  }
  VariableHistory::Room room;
  const Asked asked{server, session, user, *details, timestamps, is_released, room};
  for (size_t i = 0; i < n; ++i) {
    boundary(
        [&] {
          read(*static_cast<const AddressSpace*>(context), asked, wanted[i], response->results[i],
               *values[i]);
        },
        [&](const Status& status) { response->results[i].statusCode = code_of(status); });
  }
}

}  // namespace

std::vector<DataValue> read_history(const Variable& variable, const HistoryOptions& options) {
  const VariableHistory* const history = variable.history();
  if (history == nullptr) {
    throw Error(bad_status(UA_STATUSCODE_BADHISTORYOPERATIONUNSUPPORTED,
                           concat("variable '", variable.declared().id, "' has no 'history'")));
  }
  const Range range(borrowed(options.range));
  const UA_ReadRawModifiedDetails details = options.details(kPage);
  std::vector<DataValue> out;
  std::string point;
  do {
    VariableHistory::Room room;
    VariableHistory::Page page =
        history->read({details, UA_TIMESTAMPSTORETURN_BOTH, range.get(), point, room});
    for (size_t i = 0; i < page.values->dataValuesSize; ++i) {
      if (options.most != 0 && out.size() == options.most) {
        return out;
      }
      UA_DataValue& value = page.values->dataValues[i];
      out.emplace_back(value);
      UA_DataValue_init(&value);
    }
    point = std::move(page.next);
  } while (!point.empty());
  return out;
}

void serve_history(UA_ServerConfig& config, const AddressSpace& nodes) {
  config.historyDatabase = {};
  config.historyDatabase.context = const_cast<AddressSpace*>(&nodes);
  config.historyDatabase.readRaw = &read_raw;
}

}  // namespace backplane::opcua
