// SPDX-License-Identifier: Apache-2.0
#include "write.hpp"

#include "error_map.hpp"

namespace backplane::opcua {

WriteJob::WriteJob(std::shared_ptr<Target> target, Requests& requests, uint64_t key, MessageView in)
    : Job(std::move(target)),
      requests_(requests),
      key_(key),
      range_(in.header<std::string>(BP_H_INDEX_RANGE).value_or("")),
      value_(to_data_value(in)) {}

void WriteJob::run(Session& session) {
  UA_WriteValue item;
  UA_WriteValue_init(&item);
  item.nodeId = *target().node;
  item.attributeId = target().address.attribute;
  item.indexRange = range_.empty() ? UA_STRING_NULL : borrowed(range_);
  item.value = *value_;
  UA_WriteRequest request;
  UA_WriteRequest_init(&request);
  request.nodesToWrite = &item;
  request.nodesToWriteSize = 1;
  session.ask<UA_WriteResponse, UA_TYPES_WRITERESPONSE>(
      request, UA_TYPES_WRITEREQUEST,
      [&requests = requests_, key = key_,
       context = concat("writing '", target().text, "'")](const UA_WriteResponse& response) {
        const UA_StatusCode service = response.responseHeader.serviceResult;
        const UA_StatusCode status = service == UA_STATUSCODE_GOOD && response.resultsSize == 1
                                         ? response.results[0]
                                         : service;
        requests.answer(key, [&](MessageBuilder&) {
          return is_bad(status) ? bad_status(status, context) : Status::ok();
        });
      });
}

}  // namespace backplane::opcua
