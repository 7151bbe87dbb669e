// SPDX-License-Identifier: Apache-2.0
#include "server.hpp"

#include "arguments.hpp"
#include "error_map.hpp"
#include "history_service.hpp"
#include "library_log.hpp"
#include "reference.hpp"
#include "reversible.hpp"
#include "secure_server.hpp"
#include "server_config.hpp"

#include <algorithm>

namespace backplane::opcua {
namespace {

constexpr uintptr_t kLocal = uintptr_t{1} << 63;  // callers that are operations, not connections

/// What the library's calls take, for as long as `variants` lives.
std::vector<UA_Variant> borrowed(const std::vector<Variant>& variants) {
  std::vector<UA_Variant> out;
  out.reserve(variants.size());
  for (const Variant& each : variants) {
    out.push_back(*each);
  }
  return out;
}

}  // namespace

Server::Server(const Host& host, const Config& config)
    : host_(host),
      settings_(config, host.instance()),
      logger_(logger_to(host)),
      nodes_(host, settings_,
             [this](Variable& variable, MessageView message) {
               wanted_.emplace_back(Change{&variable, OwnedMessage(message)});
             }),
      calls_(host, settings_.max_calls, settings_.call_timeout),
      streams_(host),
      loop_(host, &logger_),
      listener_(host, loop_, settings_.max_connections,
                {[this] { renew(); }, [this] { turn_over(); },
                 [this](uintptr_t connection) {
                   access_.forget(connection);
                   calls_.abandon_caller(connection);
                 }}),
      security_(std::in_place, host, settings_.security, settings_.namespaces[1],
                [this] { return peer_address(); }),
      access_(
          host, settings_, [this] { return listener_.current(); },
          [this] { return peer_address(); }),
      events_(settings_.events),
      writes_(host) {
  calls_.changed = [this] { check_idle(); };
}

Server::~Server() { close(); }

void Server::start() {
  if (settings_.security.mode != UA_MESSAGESECURITYMODE_NONE || !settings_.users.empty()) {
    identity_ = security_->identity_now();
  }
  name_namespace(identity_.get());
  listener_.bind(settings_.address, settings_.port);
  ServerConfig config(settings_, listener_.port(), loop_.native(), &logger_);
  config->context = this;
  config->asyncOperationNotifyCallback = [](UA_Server* server) {
    boundary([&] { self(server).take_calls(); }, [](const Status&) noexcept {});
  };
  secure_server(*config.get(), settings_.security, security_->trust(), identity_.get());
  access_.put_into(*config.get());
  serve_history(*config.get(), nodes_);
  server_.reset(UA_Server_newWithConfig(config.get()));
  if (!server_) {
    throw std::bad_alloc();
  }
  answers_timer_ = loop_.last_timer();  // the only one so far
  nodes_.add_to(server_.get(), &Server::on_call);
  events_.add_to(server_.get());
  if (const UA_StatusCode status = UA_Server_run_startup(server_.get());
      status != UA_STATUSCODE_GOOD) {
    server_.reset();
    bad_status(status, concat("listening on ", url())).or_throw();
  }
}

/// Of who speaks now; without its port, which is another one each time.
std::string Server::peer_address() const {
  const std::string peer = listener_.peer(listener_.current());
  return peer.substr(0, peer.rfind(':'));
}

/// Namespace 1 is the application's, which the certificate names (Part 6, 6.2.2).
void Server::name_namespace(const Identity* identity) {
  std::string& uri = settings_.namespaces[1];
  if (identity != nullptr && !uri.empty() && uri != identity->application_uri) {
    throw Error(BP_INVALID_ARGUMENT, "configuration: application_uri is '", uri,
                "', but the certificate is for '", identity->application_uri,
                "': say that, or give it another certificate");
  }
  if (uri.empty()) {
    uri = identity != nullptr ? identity->application_uri : default_application_uri(host_.system());
  }
}

/// A client has come: what it is shown is what is there now, or else what was there before.
void Server::renew() {
  if (!identity_) {
    return;
  }
  security_->identity([this](const Security::Answer& found) {
    Status status = found.status();
    if (found && (*found)->thumbprint != identity_->thumbprint) {
      boundary([&] { take_identity(*found); }, [&](const Status& failed) { status = failed; });
    }
    const std::string problem = status.is_error() ? status.to_string() : std::string();
    if (!problem.empty() && problem != renewal_problem_) {
      host_.log().warning("the certificate is not renewed; the one before is used on",
                          {{"error", problem}, {"thumbprint", identity_->thumbprint}});
    }
    renewal_problem_ = problem;
  });
}

void Server::take_identity(const std::shared_ptr<const Identity>& renewed) {
  if (renewed->application_uri != identity_->application_uri) {
    throw Error(BP_FAILED_PRECONDITION, "the renewed certificate is for '",
                renewed->application_uri, "', the server is '", identity_->application_uri,
                "' as long as it runs");
  }
  renew_server(*server_, *renewed);
  identity_ = renewed;
  host_.log().info("a renewed certificate is used", {{"thumbprint", identity_->thumbprint}});
}

// ---- what clients want ----

/// Inside the library.
void Server::take_calls() {
  UA_AsyncOperationType type{};
  const UA_AsyncOperationRequest* request = nullptr;
  void* context = nullptr;
  while (
      UA_Server_getAsyncOperationNonBlocking(server_.get(), &type, &request, &context, nullptr)) {
    contexts_[context] = ++last_call_;
    wanted_.emplace_back(
        ClientCall{context, last_call_, listener_.current(),
                   Native<UA_CallMethodRequest, UA_TYPES_CALLMETHODREQUEST>::copy_of(
                       request->callMethodRequest)});
  }
}

/// The library is done with what a client has sent.
void Server::turn_over() {
  while (!wanted_.empty()) {
    const auto wanted = std::move(wanted_.front());
    wanted_.pop_front();
    if (const auto* const change = std::get_if<Change>(&wanted)) {
      change->variable->tell(change->message);
    } else {
      begin(std::get<ClientCall>(wanted));
    }
  }
}

/// Those of one variable, before their turn.
void Server::tell_changes(Variable& of) {
  while (of.has_untold()) {
    const auto at = std::find_if(wanted_.begin(), wanted_.end(), [&of](const auto& wanted) {
      const auto* const change = std::get_if<Change>(&wanted);
      return change != nullptr && change->variable == &of;
    });
    const OwnedMessage message = std::move(std::get<Change>(*at).message);
    wanted_.erase(at);
    of.tell(message);
  }
}

/// Inside the library, in begin().
UA_StatusCode Server::on_call(UA_Server* server, const UA_NodeId*, void*, const UA_NodeId* method,
                              void*, const UA_NodeId*, void*, size_t n_inputs,
                              const UA_Variant* inputs, size_t, UA_Variant*) {
  UA_StatusCode status = UA_STATUSCODE_BADOUTOFMEMORY;
  boundary(
      [&] {
        MessageBuilder message;
        const std::string path = to_text(*method);
        message.header(BP_H_PATH, path).time_now();
        message.body(to_body(message.arena(), {inputs, n_inputs}));
        self(server).inputs_ = OwnedMessage(message.view());
        self(server).has_inputs_ = true;
        status = UA_STATUSCODE_GOOD;
      },
      [](const Status&) noexcept {});
  return status;
}

void Server::begin(const ClientCall& call) {
  has_inputs_ = false;
  const Native<UA_CallMethodResult, UA_TYPES_CALLMETHODRESULT> looked(
      UA_Server_call(server_.get(), call.request.get()));
  const AddressSpace::Node* const node = nodes_.find(call.request->methodId);
  if (looked->statusCode != UA_STATUSCODE_GOOD || !has_inputs_ || node == nullptr) {
    return answer(call.context, call.number, *looked);
  }
  if (!access_.may_call(call.connection, *node->method)) {
    UA_CallMethodResult denied;
    UA_CallMethodResult_init(&denied);
    denied.statusCode = UA_STATUSCODE_BADUSERACCESSDENIED;
    return answer(call.context, call.number, denied);
  }
  MessageBuilder message(inputs_.body());
  const std::string peer = listener_.peer(call.connection);
  message.headers(inputs_.view().headers()).header(BP_H_PEER_ADDRESS, peer);
  if (const std::string& user = access_.user_of(call.connection)->credential; !user.empty()) {
    message.header(BP_H_PEER_USER, user);
  }
  message.time(*inputs_.view().time());
  calls_.begin(*node->method, OwnedMessage(message.view()), call.connection,
               [this, context = call.context, number = call.number](const Status& status,
                                                                    std::vector<Variant> outputs) {
                 std::vector<UA_Variant> raw = borrowed(outputs);
                 UA_CallMethodResult result;
                 UA_CallMethodResult_init(&result);
                 result.statusCode = code_of(status);
                 result.outputArguments = raw.data();
                 result.outputArgumentsSize = raw.size();
                 answer(context, number, result);
               });
}

void Server::answer(void* context, uint64_t number, const UA_CallMethodResult& result) {
  const auto at = contexts_.find(context);
  if (at == contexts_.end() || at->second != number) {
    return;  // its client has cancelled it
  }
  contexts_.erase(at);
  UA_AsyncOperationResponse response;
  response.callMethodResult = result;
  UA_Server_setAsyncOperationResult(server_.get(), &response, context);
  loop_.run_timer(answers_timer_);
}

// ---- what endpoints want ----

UA_Server* Server::running() const {
  if (!server_) {
    throw Error(BP_UNAVAILABLE, "the server does not run");
  }
  return server_.get();
}

NodeId Server::resolve(const Address& address, std::string_view text) const {
  if (const AddressSpace::Node* const node = nodes_.find(address)) {
    return NodeId::copy_of(*node->id);
  }
  if (!address.is_path()) {
    auto id = node_id_of(address, settings_.namespaces);
    id.or_throw();
    return *std::move(id);
  }
  std::vector<UA_RelativePathElement> elements(address.path.size());
  for (size_t i = 0; i < elements.size(); ++i) {
    elements[i].referenceTypeId = UA_NODEID_NUMERIC(0, UA_NS0ID_HIERARCHICALREFERENCES);
    elements[i].includeSubtypes = true;
    const auto number = namespace_of(address.path[i], settings_.namespaces);
    number.or_throw();
    elements[i].targetName = {*number, borrowed(address.path[i].name)};
  }
  UA_BrowsePath path;
  UA_BrowsePath_init(&path);
  path.startingNode = UA_NODEID_NUMERIC(0, UA_NS0ID_OBJECTSFOLDER);
  path.relativePath = {elements.size(), elements.data()};
  if (elements.empty()) {
    return NodeId::copy_of(path.startingNode);
  }
  const Native<UA_BrowsePathResult, UA_TYPES_BROWSEPATHRESULT> found(
      UA_Server_translateBrowsePathToNodeIds(running(), &path));
  if (found->statusCode != UA_STATUSCODE_GOOD || found->targetsSize == 0) {
    throw Error(bad_status(found->statusCode, concat("browse path '", text, "'")));
  }
  return NodeId::copy_of(found->targets[0].targetId.nodeId);
}

void Server::require(const Address& address, std::string_view text) const {
  if (address.is_inquiry()) {
    throw Error(BP_NOT_FOUND, "'", text, "' is for clients: an own server is as it was configured");
  }
  const NodeId id = resolve(address, text);
  UA_NodeClass node_class{};
  if (const UA_StatusCode status = UA_Server_readNodeClass(running(), *id, &node_class);
      status != UA_STATUSCODE_GOOD) {
    throw Error(bad_status(status, concat("'", text, "'")));
  }
}

Status Server::read(const Address& address, std::string_view text, Op op) {
  const NodeId id = resolve(address, text);
  const auto range = op.in().header<std::string>(BP_H_INDEX_RANGE).value_or("");
  UA_ReadValueId item;
  UA_ReadValueId_init(&item);
  item.nodeId = *id;
  item.attributeId = address.attribute;
  item.indexRange = range.empty() ? UA_STRING_NULL : borrowed(range);
  const DataValue value(UA_Server_read(running(), &item, UA_TIMESTAMPSTORETURN_BOTH));
  MessageBuilder out;
  fill_message(out, *value, nullptr, is_reversible(op.in()));
  op.reply(MessageView(out)).or_throw();
  return value->hasStatus && is_bad(value->status)
             ? bad_status(value->status, concat("reading '", text, "'"))
             : Status::ok();
}

Status Server::write(const AddressSpace::Node& node, std::string_view text, Op op) {
  Variable& variable = *node.variable;
  const DataValue value = variable.converted(op.in());
  const auto range = op.in().header<std::string>(BP_H_INDEX_RANGE).value_or("");
  UA_WriteValue item;
  UA_WriteValue_init(&item);
  item.nodeId = *node.id;
  item.attributeId = UA_ATTRIBUTEID_VALUE;
  item.indexRange = range.empty() ? UA_STRING_NULL : borrowed(range);
  item.value = *value;
  tell_changes(variable);  // clients' came before, if this is by who is just being told
  const UA_StatusCode status = variable.write(running(), item);
  if (is_bad(status)) {
    return bad_status(status, concat("writing '", text, "', a ", variable.declared().shape.text()));
  }
  if (variable.watchers() == 0) {
    return Status::ok();
  }
  const uint64_t write = ++last_write_;
  Status pending = writes_.add(write, op);
  if (pending.is_pending()) {
    ++unsettled_;
    variable.publish([this, write](const Status& result) { settled(write, result); });
  }
  return pending;
}

void Server::raise(const Address& address, std::string_view text, MessageView event) {
  const NodeId id = resolve(address, text);
  UA_Byte notifier = 0;
  const UA_StatusCode status = UA_Server_readEventNotifier(running(), *id, &notifier);
  if (status != UA_STATUSCODE_GOOD || (notifier & UA_EVENTNOTIFIER_SUBSCRIBE_TO_EVENT) == 0) {
    throw Error(BP_FAILED_PRECONDITION, "'", text, "' reports no events; objects do");
  }
  events_.raise(running(), *id, event);
}

/// On any thread, once for each publication; perhaps inside publish().
void Server::settled(uint64_t write, const Status& status) {
  if (on_loop(host_)) {
    settle(write, status);
  } else {
    static_cast<void>(post(host_, [this, write, status] { settle(write, status); }));
  }
}

void Server::settle(uint64_t write, const Status& status) {
  --unsettled_;
  if (const auto request = writes_.take(write)) {
    // UNAVAILABLE: nobody watches any more, which is no reason to refuse a value.
    host_.complete(request->op,
                   status.code() == BP_UNAVAILABLE ? Status::ok()
                   : status.code() == BP_CANCELLED
                       ? Status(BP_UNAVAILABLE, "a watcher ended before it acknowledged the value")
                       : status);
  }
  check_idle();
}

Status Server::call(Method& method, Op op, uint64_t operation) {
  const std::vector<Variant> inputs = method.inputs(op.in().body());
  const std::vector<UA_Variant> raw = borrowed(inputs);
  MessageBuilder message;
  message.header(BP_H_PATH, method.declared().id).time_now();
  message.body(to_body(message.arena(), raw));
  calls_.begin(method, OwnedMessage(message.view()), kLocal | operation,
               [this, op](const Status& status, std::vector<Variant> outputs) {
                 if (status.is_error()) {
                   return host_.complete(op, status);
                 }
                 std::vector<UA_Variant> values;
                 values.reserve(outputs.size());
                 for (const Variant& each : outputs) {
                   values.push_back(*each);
                 }
                 MessageBuilder out;
                 out.body(to_body(out.arena(), values));
                 host_.complete_with(op, MessageView(out));
               });
  return Status::pending();
}

void Server::cancel_call(uint64_t operation) { calls_.abandon_caller(kLocal | operation); }

Native<UA_BrowseResult, UA_TYPES_BROWSERESULT> Server::browse(const Address& address,
                                                              std::string_view text) {
  const NodeId id = resolve(address, text);
  const UA_BrowseDescription node = forward_references(*id);
  Native<UA_BrowseResult, UA_TYPES_BROWSERESULT> out(UA_Server_browse(running(), 0, &node));
  if (is_bad(out->statusCode)) {
    throw Error(bad_status(out->statusCode, concat("browsing '", text, "'")));
  }
  return out;
}

// ---- the end ----

void Server::drain(std::function<void()> drained) {
  calls_.drain();
  drained_ = std::move(drained);
  check_idle();
}

void Server::end_drain() {
  if (drained_) {
    std::exchange(drained_, nullptr)();
  }
}

void Server::stop(std::function<void()> stopped) {
  stopped_ = std::move(stopped);
  hubs_left_ = nodes_.variables().size() + nodes_.methods().size() + 1;  // and this function
  const Status ending(BP_UNAVAILABLE, "the server is ending");
  calls_.stop(ending);
  calls_.withdraw_all();
  streams_.stop(ending);
  const auto stop_hub = [this, &ending](Hub& hub) {
    // Its callback may come on any thread; a task on the loop puts it behind what runs there.
    hub.stop(ending, [this] {
      static_cast<void>(post(host_, [this] {
        --hubs_left_;
        check_idle();
      }));
    });
  };
  for (const auto& variable : nodes_.variables()) {
    stop_hub(variable->hub());  // also of one that nobody has watched yet: it refuses who comes now
  }
  for (const auto& method : nodes_.methods()) {
    stop_hub(method->hub());
  }
  --hubs_left_;
  check_idle();
}

void Server::check_idle() {
  if (calls_.unanswered() == 0 && unsettled_ == 0) {
    end_drain();
  }
  if (stopped_ && hubs_left_ == 0 && unsettled_ == 0 && calls_.is_empty()) {
    // What called this may be the library, which must not be closed from inside.
    static_cast<void>(post(host_, [this, stopped = std::exchange(stopped_, nullptr)] {
      close();
      stopped();
    }));
  }
}

void Server::close() noexcept {
  listener_.close_all();
  if (server_) {
    UA_Server_run_shutdown(server_.get());
    server_.reset();
  }
  security_.reset();  // its timers
}

}  // namespace backplane::opcua
