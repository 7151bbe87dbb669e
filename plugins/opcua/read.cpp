// SPDX-License-Identifier: Apache-2.0
#include "read.hpp"

#include "error_map.hpp"
#include "values.hpp"

namespace backplane::opcua {
namespace {

void answer(Requests& requests, const ReadJob& job, const UA_DataValue& value) {
  requests.answer(job.key(), [&](MessageBuilder& out) {
    fill_message(out, value);
    return value.hasStatus && is_bad(value.status)
               ? bad_status(value.status, concat("reading '", job.target().text, "'"))
               : Status::ok();
  });
}

void send(Requests& requests, Session& session, std::vector<std::shared_ptr<ReadJob>> jobs) {
  std::vector<UA_ReadValueId> nodes(jobs.size());
  for (size_t i = 0; i < jobs.size(); ++i) {
    UA_ReadValueId_init(&nodes[i]);
    nodes[i].nodeId = *jobs[i]->target().node;
    nodes[i].attributeId = jobs[i]->target().address.attribute;
    nodes[i].indexRange = jobs[i]->range().empty() ? UA_STRING_NULL : borrowed(jobs[i]->range());
  }
  UA_ReadRequest request;
  UA_ReadRequest_init(&request);
  request.timestampsToReturn = UA_TIMESTAMPSTORETURN_BOTH;
  request.nodesToRead = nodes.data();
  request.nodesToReadSize = nodes.size();
  session.ask<UA_ReadResponse, UA_TYPES_READRESPONSE>(
      request, UA_TYPES_READREQUEST,
      [&requests, jobs = std::move(jobs)](const UA_ReadResponse& response) {
        UA_StatusCode status = response.responseHeader.serviceResult;
        if (status == UA_STATUSCODE_GOOD && response.resultsSize != jobs.size()) {
          status = UA_STATUSCODE_BADUNKNOWNRESPONSE;
        }
        for (size_t i = 0; i < jobs.size(); ++i) {
          if (status == UA_STATUSCODE_GOOD) {
            answer(requests, *jobs[i], response.results[i]);
          } else {
            jobs[i]->fail(bad_status(status, concat("reading '", jobs[i]->target().text, "'")));
          }
        }
      });
}

}  // namespace

void send_reads(Requests& requests, Session& session, std::vector<std::shared_ptr<ReadJob>> jobs) {
  for (size_t i = 0; i < jobs.size(); i += session.most_reads()) {
    const size_t end = std::min(jobs.size(), i + session.most_reads());
    send(requests, session,
         {jobs.begin() + static_cast<ptrdiff_t>(i), jobs.begin() + static_cast<ptrdiff_t>(end)});
  }
}

}  // namespace backplane::opcua
