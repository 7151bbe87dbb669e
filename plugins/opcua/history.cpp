// SPDX-License-Identifier: Apache-2.0
#include "history.hpp"

#include "client.hpp"
#include "error_map.hpp"

namespace backplane::opcua {
namespace {
constexpr UA_UInt32 kPage = 1000;
}

void HistoryRead::ask(Session& session, const UA_ByteString& point, What what) {
  UA_ReadRawModifiedDetails details = options_.details(kPage);
  UA_HistoryReadValueId node;
  UA_HistoryReadValueId_init(&node);
  node.nodeId = *target().node;
  node.indexRange = options_.range.empty() ? UA_STRING_NULL : borrowed(options_.range);
  node.continuationPoint = point;
  UA_HistoryReadRequest request;
  UA_HistoryReadRequest_init(&request);
  UA_ExtensionObject_setValueNoDelete(&request.historyReadDetails, &details,
                                      &UA_TYPES[UA_TYPES_READRAWMODIFIEDDETAILS]);
  request.timestampsToReturn = timestamps_;
  request.releaseContinuationPoints = what == What::kRelease;
  request.nodesToRead = &node;
  request.nodesToReadSize = 1;
  session.ask<UA_HistoryReadResponse, UA_TYPES_HISTORYREADRESPONSE>(
      request, UA_TYPES_HISTORYREADREQUEST,
      [self = std::static_pointer_cast<HistoryRead>(shared_from_this()),
       what](const UA_HistoryReadResponse& response) {
        if (what == What::kPage) {
          self->answered(response);
        }
      });
}

void HistoryRead::answered(const UA_HistoryReadResponse& response) {
  if (const UA_StatusCode status = service_status(response); is_bad(status)) {
    return take(status, UA_BYTESTRING_NULL);
  }
  const UA_HistoryReadResult& result = response.results[0];
  const bool is_first = before_ == 0 && page_->dataValuesSize == 0;
  if (is_first && result.statusCode == UA_STATUSCODE_BADTIMESTAMPNOTSUPPORTED &&
      timestamps_ != UA_TIMESTAMPSTORETURN_SERVER) {
    // It has kept only one of them, and says so with the first page.
    timestamps_ = timestamps_ == UA_TIMESTAMPSTORETURN_BOTH ? UA_TIMESTAMPSTORETURN_SOURCE
                                                            : UA_TIMESTAMPSTORETURN_SERVER;
    Session* const session = client().session();
    return session != nullptr ? run(*session)
                              : take(UA_STATUSCODE_BADSESSIONCLOSED, UA_BYTESTRING_NULL);
  }
  const UA_ExtensionObject& data = result.historyData;
  before_ += page_->dataValuesSize;
  page_ = {};
  if (data.encoding >= UA_EXTENSIONOBJECT_DECODED &&
      data.content.decoded.type == &UA_TYPES[UA_TYPES_HISTORYDATA]) {
    page_ = Native<UA_HistoryData, UA_TYPES_HISTORYDATA>::copy_of(
        *static_cast<const UA_HistoryData*>(data.content.decoded.data));
  } else if (!is_bad(result.statusCode) && data.encoding != UA_EXTENSIONOBJECT_ENCODED_NOBODY) {
    return take(UA_STATUSCODE_BADUNKNOWNRESPONSE, UA_BYTESTRING_NULL);
  }
  take(result.statusCode, result.continuationPoint);
}

size_t HistoryRead::size() const {
  const size_t wanted = options_.most == 0 ? SIZE_MAX : options_.most - before_;
  return std::min(wanted, page_->dataValuesSize);
}

bool HistoryRead::fill(size_t i, MessageBuilder& message) {
  TypeReader& reader = client().type_reader();
  fill_message(message, page_->dataValues[i], &reader.types(), options_.is_reversible);
  Session* const session = client().session();
  if (session == nullptr || !reader.types().has_missing()) {
    return true;
  }
  // A structure that nobody has asked for yet: once more when it is known, or known to be unknown.
  reader.read_missing(*session, [self = std::static_pointer_cast<HistoryRead>(shared_from_this())](
                                    const Status& status) {
    status.is_error() ? self->end(status) : self->deliver();
  });
  return false;
}

}  // namespace backplane::opcua
