// SPDX-License-Identifier: Apache-2.0
#include "read.hpp"

#include "error_map.hpp"
#include "values.hpp"

namespace backplane::opcua {
namespace {

std::string context_of(const ReadJob& job) { return concat("reading '", job.target().text, "'"); }

void answer(Requests& requests, TypeReader& reader, Session& session,
            const std::shared_ptr<ReadJob>& job, const UA_DataValue& value) {
  try {
    MessageBuilder out;
    fill_message(out, value, &reader.types(), job->is_reversible());
    if (!reader.types().has_missing()) {
      const bool has_failed = value.hasStatus && is_bad(value.status);
      return requests.reply(job->key(), MessageView(out),
                            has_failed ? bad_status(value.status, context_of(*job)) : Status::ok());
    }
  } catch (...) {
    return job->fail(current_exception_status());
  }
  // A structure that nobody has asked for yet: once more when it is known.
  reader.read_missing(session, [&requests, &reader, &session, job,
                                kept = std::make_shared<DataValue>(DataValue::copy_of(value))](
                                   const Status& status) {
    if (status.is_error()) {
      return job->fail(Status(status).with_context(context_of(*job)));
    }
    answer(requests, reader, session, job, **kept);
  });
}

void send(Requests& requests, TypeReader& reader, Session& session,
          std::vector<std::shared_ptr<ReadJob>> jobs) {
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
      [&requests, &reader, &session, jobs = std::move(jobs)](const UA_ReadResponse& response) {
        UA_StatusCode status = response.responseHeader.serviceResult;
        if (status == UA_STATUSCODE_GOOD && response.resultsSize != jobs.size()) {
          status = UA_STATUSCODE_BADUNKNOWNRESPONSE;
        }
        for (size_t i = 0; i < jobs.size(); ++i) {
          if (status == UA_STATUSCODE_GOOD) {
            answer(requests, reader, session, jobs[i], response.results[i]);
          } else {
            jobs[i]->fail(bad_status(status, context_of(*jobs[i])));
          }
        }
      });
}

}  // namespace

void send_reads(Requests& requests, TypeReader& reader, Session& session,
                std::vector<std::shared_ptr<ReadJob>> jobs) {
  for (size_t i = 0; i < jobs.size(); i += session.most_reads()) {
    const size_t end = std::min(jobs.size(), i + session.most_reads());
    send(requests, reader, session,
         {jobs.begin() + static_cast<ptrdiff_t>(i), jobs.begin() + static_cast<ptrdiff_t>(end)});
  }
}

}  // namespace backplane::opcua
