// SPDX-License-Identifier: Apache-2.0
#include "list_read.hpp"

#include "client.hpp"
#include "error_map.hpp"
#include "reversible.hpp"
#include <backplane/sdk/options.hpp>

namespace backplane::opcua {
namespace {

OwnedMessage to_message(std::span<const UA_DataValue> values, DataTypes& types,
                        bool is_reversible) {
  if (!is_reversible) {
    return to_records(values, &types);
  }
  MessageBuilder out;
  ListBuilder list(out.arena());
  for (const UA_DataValue& value : values) {
    list.add(to_reversible(out.arena(), value, &types));
  }
  out.body(list.view()).header(BP_H_CONTENT_TYPE, kReversible);
  return OwnedMessage(out.view());
}

}  // namespace

ValueView ListRead::nodes_of(MessageView in) {
  options_of(in, {"nodes"});
  return opcua::nodes_of(in, "read");
}

/// Finds one node of a list.
class ListRead::Search final : public Job {
 public:
  Search(std::shared_ptr<ListRead> read, size_t item)
      : Job(read->list_->items()[item].target), read_(std::move(read)), item_(item) {}
  void run(Session&) override { read_->is_found(item_, UA_STATUSCODE_GOOD); }
  void fail(const Status& status) override { read_->is_found(item_, code_of(status)); }

 private:
  const std::shared_ptr<ListRead> read_;
  const size_t item_;
};

void ListRead::fail(const Status& status) { client_.requests().fail(key_, status); }

void ListRead::run(Session& session) {
  generation_ = client_.generation();
  if (list_->found != nullptr && list_->generation == generation_) {
    found_ = list_->found;
    return ask(session);
  }
  const auto& items = list_->items();
  statuses_.assign(items.size(), UA_STATUSCODE_GOOD);
  left_ = items.size() + 1;  // and this function
  for (size_t i = 0; i < items.size(); ++i) {
    client_.run(std::make_shared<Search>(shared_from_this(), i));
  }
  found_all();
}

void ListRead::is_found(size_t item, UA_StatusCode status) {
  statuses_[item] = status;
  found_all();
}

/// One less is to be found.
void ListRead::found_all() {
  if (--left_ > 0) {
    return;
  }
  Session* const session = client_.session();
  if (session == nullptr || client_.generation() != generation_) {
    return fail(bad_status(UA_STATUSCODE_BADCONNECTIONCLOSED, context()));
  }
  const auto& items = list_->items();
  auto found = std::make_shared<NodeList::Found>();
  found->ids.reserve(items.size());  // they stay where they are
  for (size_t i = 0; i < items.size(); ++i) {
    if (statuses_[i] != UA_STATUSCODE_GOOD) {
      continue;
    }
    found->ids.push_back(NodeId::copy_of(*items[i].target->node));
    UA_ReadValueId& asked = found->asked.emplace_back();
    UA_ReadValueId_init(&asked);
    asked.nodeId = *found->ids.back();
    asked.attributeId = items[i].target->address.attribute;
    asked.indexRange = items[i].range.empty() ? UA_STRING_NULL : borrowed(items[i].range);
  }
  if (found->asked.size() == items.size()) {
    list_->found = found;
    list_->generation = generation_;
  }
  found->statuses = std::move(statuses_);
  found_ = std::move(found);
  ask(*session);
}

void ListRead::ask(Session& session) {
  const size_t n = found_->asked.size();
  if (n == 0) {
    return answer();
  }
  const size_t most = session.most_reads();
  left_ = (n + most - 1) / most;
  parts_.resize(left_);
  for (size_t part = 0, first = 0; first < n; ++part, first += most) {
    UA_ReadRequest request;
    UA_ReadRequest_init(&request);
    request.timestampsToReturn = UA_TIMESTAMPSTORETURN_BOTH;
    request.nodesToRead = const_cast<UA_ReadValueId*>(&found_->asked[first]);
    request.nodesToReadSize = std::min(most, n - first);
    session.ask<UA_ReadResponse, UA_TYPES_READRESPONSE>(
        request, UA_TYPES_READREQUEST,
        [self = shared_from_this(), part, size = request.nodesToReadSize](
            UA_ReadResponse& response) { self->take(part, size, response); });
  }
}

void ListRead::take(size_t part, size_t n, UA_ReadResponse& response) {
  UA_StatusCode status = response.responseHeader.serviceResult;
  if (status == UA_STATUSCODE_GOOD && response.resultsSize != n) {
    status = UA_STATUSCODE_BADUNKNOWNRESPONSE;
  }
  if (status != UA_STATUSCODE_GOOD) {
    failure_ = status;
  } else {
    std::swap(*parts_[part], response);
  }
  if (--left_ == 0) {
    answer();
  }
}

/// Of each node, in their order.
std::vector<UA_DataValue> ListRead::values() const {
  std::vector<UA_DataValue> out;
  out.reserve(found_->statuses.size());
  auto part = parts_.begin();
  size_t i = 0;
  for (const UA_StatusCode status : found_->statuses) {
    if (status != UA_STATUSCODE_GOOD) {
      out.push_back(only_status(status));
      continue;
    }
    if (i == (*part)->resultsSize) {
      ++part;
      i = 0;
    }
    out.push_back((*part)->results[i++]);
  }
  return out;
}

std::string ListRead::context() const {
  return concat("reading a list of ", list_->items().size(), " nodes");
}

void ListRead::answer() {
  const size_t n = list_->items().size();
  if (failure_ != UA_STATUSCODE_GOOD) {
    return fail(bad_status(failure_, context()));
  }
  DataTypes& types = client_.type_reader().types();
  try {
    const bool is_whole = parts_.size() == 1 && found_->asked.size() == n;
    const std::vector<UA_DataValue> joined = is_whole ? std::vector<UA_DataValue>() : values();
    const std::span<const UA_DataValue> all =
        is_whole ? std::span<const UA_DataValue>(parts_[0]->results, n) : joined;
    const OwnedMessage message = to_message(all, types, is_reversible_);
    if (!types.has_missing()) {
      return client_.requests().reply(key_, message, Status::ok());
    }
  } catch (...) {
    return fail(current_exception_status());
  }
  // A structure that nobody has asked for yet: once more when it is known.
  Session* const session = client_.session();
  if (session == nullptr) {
    return fail(bad_status(UA_STATUSCODE_BADCONNECTIONCLOSED, context()));
  }
  client_.type_reader().read_missing(*session, [self = shared_from_this()](const Status& status) {
    status.is_error() ? self->fail(Status(status).with_context(self->context())) : self->answer();
  });
}

}  // namespace backplane::opcua
