// SPDX-License-Identifier: Apache-2.0
#include "read.hpp"

#include "error_map.hpp"
#include "values.hpp"

#include <iterator>

namespace backplane::opcua {
namespace {

std::string context_of(const Read& read) { return concat("reading '", read.target->text, "'"); }

}  // namespace

void Reads::add(std::vector<Read> reads) {
  if (added_.empty()) {
    added_ = std::move(reads);
  } else {
    std::move(reads.begin(), reads.end(), std::back_inserter(added_));
  }
}

void Reads::send(Session& session) {
  if (added_.empty()) {
    return;
  }
  auto reads = std::exchange(added_, {});
  while (reads.size() > session.most_reads()) {
    const auto end = reads.begin() + static_cast<ptrdiff_t>(session.most_reads());
    send_some(session, {std::make_move_iterator(reads.begin()), std::make_move_iterator(end)});
    reads.erase(reads.begin(), end);
  }
  if (!reads.empty()) {
    send_some(session, std::move(reads));
  }
}

void Reads::send_some(Session& session, std::vector<Read> reads) {
  nodes_.clear();
  for (const Read& read : reads) {
    UA_ReadValueId& node = nodes_.emplace_back();
    UA_ReadValueId_init(&node);
    node.nodeId = *read.target->node;
    node.attributeId = read.target->address.attribute;
    node.indexRange = read.range.empty() ? UA_STRING_NULL : borrowed(read.range);
  }
  UA_ReadRequest request;
  UA_ReadRequest_init(&request);
  request.timestampsToReturn = UA_TIMESTAMPSTORETURN_BOTH;
  request.nodesToRead = nodes_.data();
  request.nodesToReadSize = nodes_.size();
  session.ask<UA_ReadResponse, UA_TYPES_READRESPONSE>(
      request, UA_TYPES_READREQUEST,
      [this, &session, reads = std::move(reads)](const UA_ReadResponse& response) {
        UA_StatusCode status = response.responseHeader.serviceResult;
        if (status == UA_STATUSCODE_GOOD && response.resultsSize != reads.size()) {
          status = UA_STATUSCODE_BADUNKNOWNRESPONSE;
        }
        for (size_t i = 0; i < reads.size(); ++i) {
          if (status == UA_STATUSCODE_GOOD) {
            answer(session, reads[i], response.results[i]);
          } else {
            requests_.fail(reads[i].key, bad_status(status, context_of(reads[i])));
          }
        }
      });
}

void Reads::answer(Session& session, const Read& read, const UA_DataValue& value) {
  try {
    MessageBuilder out;
    fill_message(out, value, &reader_.types(), read.is_reversible);
    if (!reader_.types().has_missing()) {
      const bool has_failed = value.hasStatus && is_bad(value.status);
      return requests_.reply(
          read.key, MessageView(out),
          has_failed ? bad_status(value.status, context_of(read)) : Status::ok());
    }
  } catch (...) {
    return requests_.fail(read.key, current_exception_status());
  }
  // A structure that nobody has asked for yet: once more when it is known.
  reader_.read_missing(session, [this, &session, read,
                                 kept = std::make_shared<DataValue>(DataValue::copy_of(value))](
                                    const Status& status) {
    if (status.is_error()) {
      return requests_.fail(read.key, Status(status).with_context(context_of(read)));
    }
    answer(session, read, **kept);
  });
}

void Reads::fail_all(const Status& status) {
  for (const Read& read : std::exchange(added_, {})) {
    requests_.fail(read.key, status);
  }
}

}  // namespace backplane::opcua
