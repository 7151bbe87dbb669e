// SPDX-License-Identifier: Apache-2.0
#include "local_node.hpp"

#include "history_service.hpp"
#include "reference.hpp"
#include <backplane/sdk/options.hpp>
#include <backplane/sdk/run_on_loop.hpp>

namespace backplane::opcua {
namespace {

constexpr uint64_t kPast = 1;

/// A watch is the hub's, unless it is one of the past.
bool is_stream(Op op) noexcept {
  return op.verb() == BP_V_BROWSE || (op.verb() == BP_V_WATCH && op->impl[2] == kPast);
}

/// What a watch of the present asks for and does not get: a hub gives all the same messages.
Status refusal(MessageView in, std::string_view text) {
  if (const auto range = in.header<std::string_view>(BP_H_INDEX_RANGE); range && !range->empty()) {
    return Status(BP_UNIMPLEMENTED, "watching '", text, "' of an own server: there is no index ",
                  "range, '", *range, "'; each message has the whole value");
  }
  if (const auto type = in.header<std::string_view>(BP_H_CONTENT_TYPE); type && !type->empty()) {
    return Status(BP_UNIMPLEMENTED, "watching '", text, "' of an own server: there is no content ",
                  "type, '", *type, "'; a client's watch and a read have it");
  }
  const auto options = in.header(BP_H_OPTIONS);
  if (options && options->tag == BP_T_MAP && options->size() > 0) {
    const auto [key, value] = *options->entries().begin();
    return Status(BP_INVALID_ARGUMENT, "watching '", text, "' of an own server: there is no ",
                  "option '", key.get<std::string_view>().value_or(""),
                  "'; each change is told, and a variable has start, end, max");
  }
  return Status::ok();
}

}  // namespace

LocalNode::LocalNode(Server& server, const AddressSpace::Node* node, Address address,
                     std::string_view text)
    : server_(server), node_(node), address_(std::move(address)), text_(text) {}

uint32_t LocalNode::verbs() const noexcept {
  constexpr uint32_t kRead = BP_VERB_BIT(BP_V_READ);
  constexpr uint32_t kBrowse = BP_VERB_BIT(BP_V_BROWSE);
  constexpr uint32_t kWatch = BP_VERB_BIT(BP_V_WATCH) | BP_CAN_ACK;
  if (address_.attribute == UA_ATTRIBUTEID_EVENTNOTIFIER) {
    return kRead | BP_VERB_BIT(BP_V_WRITE);
  }
  if (address_.attribute != UA_ATTRIBUTEID_VALUE) {
    return kRead;
  }
  if (node_ == nullptr) {
    return kRead | kBrowse;
  }
  return kBrowse |
         (node_->variable != nullptr ? kRead | BP_VERB_BIT(BP_V_WRITE) | kWatch
          : node_->method != nullptr ? BP_VERB_BIT(BP_V_CALL) | BP_VERB_BIT(BP_V_SERVE) | kWatch
                                     : 0u);
}

Hub* LocalNode::hub() const {
  return node_ == nullptr             ? nullptr
         : node_->variable != nullptr ? &node_->variable->hub()
         : node_->method != nullptr   ? &node_->method->hub()
                                      : nullptr;
}

Status LocalNode::read(Op op) {
  options_of(op.in());
  return run_on_loop(server_.host(), op, [this, op] { return server_.read(address_, text_, op); });
}

Status LocalNode::write(Op op) {
  options_of(op.in());
  return run_on_loop(server_.host(), op, [this, op] {
    if (address_.attribute == UA_ATTRIBUTEID_EVENTNOTIFIER) {
      server_.raise(address_, text_, op.in());
      return Status::ok();
    }
    return server_.write(*node_, text_, op);
  });
}

Status LocalNode::watch(Op op) {
  const auto past =
      node_->variable != nullptr ? HistoryOptions::of(op.in()) : std::optional<HistoryOptions>();
  if (past && op.wants_ack()) {
    return Status(BP_UNIMPLEMENTED, "a watch of the past is not acknowledged");
  }
  op->impl[2] = past ? kPast : 0;
  if (!past) {
    const Status refused = refusal(op.in(), text_);
    return refused.is_error() ? refused : hub()->watch(op);
  }
  return server_.streams().begin(op, [&variable = *node_->variable, past = *past] {
    const auto found = std::make_shared<std::vector<DataValue>>(read_history(variable, past));
    return LocalStreams::Messages{
        found->size(), [found, is_reversible = past.is_reversible](size_t i, MessageBuilder& to) {
          fill_message(to, *(*found)[i], nullptr, is_reversible);
        }};
  });
}

Status LocalNode::call(Op op) {
  options_of(op.in());  // a method is that of its object
  const uint64_t operation = server_.new_operation();
  op->impl[2] = operation;
  return run_on_loop(server_.host(), op,
                     [this, op, operation] { return server_.call(*node_->method, op, operation); });
}

Status LocalNode::serve(Op op) {
  const uint64_t operation = server_.new_operation();
  op->impl[2] = operation;
  return run_on_loop(server_.host(), op, [this, op, operation] {
    return server_.calls().serve(op, operation, *node_->method);
  });
}

Status LocalNode::browse(Op op) {
  return server_.streams().begin(op, [&server = server_, address = address_, text = text_] {
    const auto found = std::make_shared<Native<UA_BrowseResult, UA_TYPES_BROWSERESULT>>(
        server.browse(address, text));
    return LocalStreams::Messages{(*found)->referencesSize, [found](size_t i, MessageBuilder& to) {
                                    fill_entry(to, (*found)->references[i]);
                                  }};
  });
}

void LocalNode::cancel(Op op) noexcept {
  const auto on_the_loop = [this](auto body) {
    boundary([&] { static_cast<void>(post(server_.host(), body)); }, [](const Status&) noexcept {});
  };
  switch (op.verb()) {
    case BP_V_WATCH:
    case BP_V_BROWSE:
      return is_stream(op) ? server_.streams().cancel(op) : hub()->cancel(op);
    case BP_V_WRITE:
      return boundary([&] { server_.cancel_write(op); }, [](const Status&) noexcept {});
    case BP_V_CALL:
      return on_the_loop(
          [&server = server_, operation = op->impl[2]] { server.cancel_call(operation); });
    case BP_V_SERVE:
      return on_the_loop(
          [&server = server_, operation = op->impl[2]] { server.calls().withdraw(operation); });
    default:  // on their way to the loop, where they end at once
      return;
  }
}

void LocalNode::credit(Op op, uint32_t n) noexcept {
  is_stream(op) ? server_.streams().credit(op) : hub()->credit(op, n);
}

void LocalNode::ack(Op op, uint64_t seq, bp_status status) noexcept { hub()->ack(op, seq, status); }

}  // namespace backplane::opcua
