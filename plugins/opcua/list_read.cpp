// SPDX-License-Identifier: Apache-2.0
#include "list_read.hpp"

#include "client.hpp"
#include "error_map.hpp"
#include "reversible.hpp"

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

/// An element of a list of nodes: an address, or a map of it and a range.
NodeList::Item item_of(const ValueView& value) {
  ValueView node = value;
  NodeList::Item out;
  if (value.tag == BP_T_MAP) {
    for (const auto& [key, field] : value.entries()) {
      if (key == ValueView("node")) {
        node = field;
      } else if (key == ValueView("range") && field.tag == BP_T_STRING) {
        out.range = *field.get<std::string>();
      } else {
        throw Error(BP_INVALID_ARGUMENT, key.to_text(64), ": ", field.to_text(64),
                    ": expected 'node', an address, and 'range', such as \"1:3\"");
      }
    }
  }
  const auto text = node.get<std::string_view>();
  if (!text) {
    throw Error(BP_INVALID_ARGUMENT, "expected an address, or a map of 'node' and 'range', got ",
                value.to_text(64));
  }
  auto address = parse_address(*text);
  address.or_throw();
  if (address->is_inquiry()) {
    throw Error(BP_INVALID_ARGUMENT, "'", *text, "' is no node");
  }
  out.target = std::make_shared<Target>(*std::move(address), *text);
  return out;
}

}  // namespace

NodeList::NodeList(ValueView nodes) : nodes_(nodes) {
  if (nodes.tag != BP_T_LIST) {
    throw Error(BP_INVALID_ARGUMENT, "option 'nodes': expected a list of addresses, got ",
                nodes.to_text(64));
  }
  items_.reserve(nodes.size());
  for (const ValueView& each : nodes_.body().items()) {
    try {
      items_.push_back(item_of(each));
    } catch (const Error& error) {
      throw Error(Status(error.status()).with_context("option 'nodes', element ", items_.size()));
    }
  }
}

/// Looked at for each read: text is compared here and now.
bool NodeList::is(const ValueView& nodes) const noexcept {
  const ValueView mine = nodes_.body();
  if (nodes.tag != BP_T_LIST || nodes.len != mine.len) {
    return false;
  }
  for (size_t i = 0; i < mine.len; ++i) {
    const bp_value& a = mine.as.list[i];
    const bp_value& b = nodes.as.list[i];
    const bool is_same = a.tag == BP_T_STRING ? b.tag == BP_T_STRING && a.len == b.len &&
                                                    std::memcmp(a.as.s, b.as.s, a.len) == 0
                                              : ValueView(a) == ValueView(b);
    if (!is_same) {
      return false;
    }
  }
  return true;
}

std::shared_ptr<NodeList> LastList::of(const ValueView& nodes) {
  std::shared_ptr<NodeList> out = last_.copy();
  if (out == nullptr || !out->is(nodes)) {
    out = std::make_shared<NodeList>(nodes);
    auto before = out;  // goes when the lock is free
    auto last = last_.lock();
    std::swap(*last, before);
    last.unlock();
  }
  return out;
}

ValueView ListRead::nodes_of(MessageView in) {
  const ValueView options = in.header(BP_H_OPTIONS).value_or(ValueView());
  for (const auto& [key, value] : options.entries()) {
    if (!(key == ValueView("nodes"))) {
      throw Error(BP_INVALID_ARGUMENT, "unknown option ", key.to_text(64),
                  "; there is: 'nodes', a list of addresses");
    }
  }
  if (in.header(BP_H_INDEX_RANGE)) {
    throw Error(BP_INVALID_ARGUMENT, "the nodes of a list have their ranges in the list");
  }
  const auto nodes = options.find("nodes");
  if (!nodes) {
    throw Error(BP_INVALID_ARGUMENT,
                "the folder Objects has no value: the option 'nodes' says what to read");
  }
  return *nodes;
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
    UA_DataValue& value = out.emplace_back();
    if (status != UA_STATUSCODE_GOOD) {
      UA_DataValue_init(&value);
      value.hasStatus = true;
      value.status = status;
      continue;
    }
    if (i == (*part)->resultsSize) {
      ++part;
      i = 0;
    }
    value = (*part)->results[i++];
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
