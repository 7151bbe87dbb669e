// SPDX-License-Identifier: Apache-2.0
#include "read.hpp"

#include "error_map.hpp"
#include "values.hpp"

#include <iterator>

namespace backplane::opcua {
namespace {

constexpr size_t kMostKept = 256;  // reads, for which a request keeps room

std::string context_of(const Read& read) { return concat("reading '", read.target->text, "'"); }

}  // namespace

/// One that is used by no request.
Reads::Together& Reads::together() {
  if (free_.empty()) {
    all_.push_back(std::make_unique<Together>());
    free_.reserve(all_.size());
    return *all_.back();
  }
  Together& out = *free_.back();
  free_.pop_back();
  return out;
}

void Reads::send(Session& session) {
  const size_t most = session.most_reads();
  while (!added_.empty()) {
    Together& some = together();
    some.session = &session;
    if (added_.size() <= most) {
      some.reads.swap(added_);
    } else {
      const auto end = added_.begin() + static_cast<ptrdiff_t>(most);
      some.reads.assign(std::make_move_iterator(added_.begin()), std::make_move_iterator(end));
      added_.erase(added_.begin(), end);
    }
    send(some);
  }
}

void Reads::send(Together& some) {
  nodes_.clear();
  for (const Read& read : some.reads) {
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
  some.session->ask<UA_ReadResponse, UA_TYPES_READRESPONSE>(
      request, UA_TYPES_READREQUEST,
      [this, &some](const UA_ReadResponse& response) { answered(some, response); });
}

void Reads::answered(Together& some, const UA_ReadResponse& response) {
  UA_StatusCode status = response.responseHeader.serviceResult;
  if (status == UA_STATUSCODE_GOOD && response.resultsSize != some.reads.size()) {
    status = UA_STATUSCODE_BADUNKNOWNRESPONSE;
  }
  for (size_t i = 0; i < some.reads.size(); ++i) {
    const Read& read = some.reads[i];
    if (status == UA_STATUSCODE_GOOD) {
      answer(*some.session, read, response.results[i]);
    } else {
      requests_.fail(read.key, bad_status(status, context_of(read)));
    }
  }
  some.reads.clear();
  if (some.reads.capacity() > kMostKept) {
    some.reads.shrink_to_fit();
  }
  free_.push_back(&some);  // has room
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
