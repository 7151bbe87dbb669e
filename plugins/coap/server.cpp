// SPDX-License-Identifier: Apache-2.0
#include "server.hpp"

#include "error_map.hpp"
#include "instance.hpp"
#include "socket.hpp"

namespace backplane::coap {
namespace {

constexpr std::string_view kWellKnown = ".well-known/core";
constexpr coap_request_t kMethods[] = {COAP_REQUEST_GET,    COAP_REQUEST_POST,  COAP_REQUEST_PUT,
                                       COAP_REQUEST_DELETE, COAP_REQUEST_FETCH, COAP_REQUEST_PATCH,
                                       COAP_REQUEST_IPATCH};

/// Runs the body of a callback of the library: what it throws becomes 5.00.
template <class Body>
void answer_safely(coap_pdu_t* response, Body&& body) noexcept {
  boundary(body, [response](const Status&) noexcept {
    coap_pdu_set_code(response, COAP_RESPONSE_CODE_INTERNAL_ERROR);
  });
}

void declared_handler(coap_resource_t* resource, coap_session_t* session, const coap_pdu_t* request,
                      const coap_string_t*, coap_pdu_t* response) {
  auto& own = *static_cast<Resource*>(coap_resource_get_userdata(resource));
  answer_safely(response, [&] {
    Instance::of(session).server->on_declared(own, session, request, response);
  });
}

void other_handler(coap_resource_t*, coap_session_t* session, const coap_pdu_t* request,
                   const coap_string_t*, coap_pdu_t* response) {
  answer_safely(response,
                [&] { Instance::of(session).server->on_other(session, request, response); });
}

void links_handler(coap_resource_t*, coap_session_t* session, const coap_pdu_t* request,
                   const coap_string_t* query, coap_pdu_t* response) {
  const std::string_view text =
      query == nullptr ? std::string_view()
                       : std::string_view(reinterpret_cast<const char*>(query->s), query->length);
  answer_safely(response, [&] { Instance::of(session).server->on_links(request, text, response); });
}

/// If-Match and If-None-Match (RFC 7252, 5.10.8).
bool precondition_holds(const Resource& resource, const coap_pdu_t* request) noexcept {
  bool asked = false;
  bool matched = false;
  coap_opt_iterator_t iterator;
  coap_option_iterator_init(request, &iterator, COAP_OPT_ALL);
  while (const coap_opt_t* option = coap_option_next(&iterator)) {
    if (iterator.number == COAP_OPTION_IF_NONE_MATCH) {
      return false;  // a declared resource exists
    }
    if (iterator.number == COAP_OPTION_IF_MATCH) {
      const Bytes wanted(coap_opt_value(option), coap_opt_length(option));
      const Bytes etag = resource.etag();
      asked = true;
      matched = matched || wanted.empty() ||
                std::equal(wanted.begin(), wanted.end(), etag.begin(), etag.end());
    }
    if (iterator.number > COAP_OPTION_IF_NONE_MATCH) {
      break;
    }
  }
  return !asked || matched;
}

/// A registration of the library; owns its path.
coap_resource_t* make_resource(std::string_view path, int flags) {
  coap_str_const_t* const name =
      coap_new_str_const(reinterpret_cast<const uint8_t*>(path.data()), path.size());
  coap_resource_t* const made =
      name != nullptr ? coap_resource_init(name, flags | COAP_RESOURCE_FLAGS_RELEASE_URI) : nullptr;
  if (made == nullptr) {
    coap_delete_str_const(name);
    throw std::bad_alloc();
  }
  return made;
}

ResourceOptions options_of(const Config& config) {
  ResourceOptions options;
  options.target = parse_target(config.string("path"));
  if (!options.target.queries.empty()) {
    throw Error(BP_INVALID_ARGUMENT, "resource '", options.target.text,
                "': a declared path has no query");
  }
  options.title = config.find<std::string>("title").value_or("");
  options.rt = config.find<std::string>("rt").value_or("");
  options.interface = config.find<std::string>("if").value_or("");
  options.type = value_type_of(config.string("type")).value_or(ValueType::kAny);
  const std::string type = config.string("content_type");
  const auto format = format_of(type);
  if (!format) {
    throw Error(BP_INVALID_ARGUMENT, "resource '", options.target.text, "': content type '", type,
                "' has no CoAP Content-Format; give a registered one, or coap/NUMBER");
  }
  options.format = *format;
  options.observable = config.boolean("observable");
  options.writable = config.boolean("writable");
  return options;
}

}  // namespace

Server::Server(Stack& stack, const Options& options, const Config& config)
    : stack_(stack),
      host_(stack.host()),
      options_(options),
      authority_(parse_authority(config.string("listen"), "listen")),
      shown_(authority_.text),
      observers_(options.max_observers),
      inbox_(options.max_body, options.max_requests),
      answers_(options.max_requests),
      held_(stack, options,
            [this](uint64_t id) {
              served_.abandon(id);
              Answer late;
              late.code = COAP_RESPONSE_CODE_SERVICE_UNAVAILABLE;
              late.body = "not acknowledged in time";
              answer_held(id, std::move(late));
            }),
      served_(host_, [this](uint64_t id, Answer answer) { answer_held(id, std::move(answer)); }),
      requests_(host_.counter("coap_requests_total")),
      copies_(host_.counter("coap_copies_total")),
      refused_(host_.counter("coap_refused_total")),
      evicted_(host_.counter("coap_bodies_evicted_total")),
      peers_gauge_(host_.gauge("coap_peers")),
      observers_gauge_(host_.gauge("coap_observers")) {
  if (!is_numeric(authority_.host)) {
    throw Error(BP_INVALID_ARGUMENT, "configuration: 'listen' is '", authority_.text,
                "'; expected an IP address of this machine, such as coap://127.0.0.1:5683 or "
                "coap://[::]:5683");
  }
  for (const Config& item : config.tables("resources")) {
    auto resource = add(options_of(item));
    if (item.has("initial")) {
      resource->write(MessageBuilder(item.value("initial")).time_now().view()).or_throw();
    }
  }
}

Server::~Server() = default;

std::shared_ptr<Resource> Server::add(ResourceOptions options) {
  const std::string path = options.target.path;
  auto resource = std::make_shared<Resource>(host_, std::move(options));
  auto resources = resources_.lock();
  if (path == kWellKnown || !resources->emplace(path, resource).second) {
    throw Error(BP_INVALID_ARGUMENT, "resource '/", path, "' is there already");
  }
  return resource;
}

void Server::start() {
  coap_context_t* const context = stack_.context();
  coap_address_t address = resolve(authority_).front();
  require_free_port(address, authority_.text);
  const Stack::Entry entry(stack_);
  if (coap_new_endpoint(context, &address, COAP_PROTO_UDP) == nullptr) {
    throw Error(BP_UNAVAILABLE, "'", authority_.text, "' cannot be bound");
  }
  shown_ = concat("coap://", to_text(address));
  stack_.count_drops(find_socket(coap_context_get_coap_fd(context), &address, nullptr));
  coap_context_set_max_idle_sessions(context, options_.max_peers);
  for (const auto& [path, resource] : *resources_.lock()) {
    register_resource(*resource);
  }
  coap_resource_t* const links = make_resource(kWellKnown, 0);
  coap_register_request_handler(links, COAP_REQUEST_GET, links_handler);
  coap_add_resource(context, links);
  coap_resource_t* const others = coap_resource_unknown_init(other_handler);
  for (const coap_request_t method : kMethods) {
    coap_register_request_handler(others, method, other_handler);
  }
  coap_add_resource(context, others);
}

void Server::register_resource(Resource& resource) {
  const ResourceOptions& options = resource.options();
  coap_resource_t* const made = make_resource(
      options.target.path, options_.notify_confirmable ? COAP_RESOURCE_FLAGS_NOTIFY_CON
                                                       : COAP_RESOURCE_FLAGS_NOTIFY_NON);
  coap_resource_set_userdata(made, &resource);
  coap_resource_set_get_observable(made, options.observable ? 1 : 0);
  coap_register_request_handler(made, COAP_REQUEST_GET, declared_handler);
  if (options.writable) {
    coap_register_request_handler(made, COAP_REQUEST_PUT, declared_handler);
  }
  coap_add_resource(stack_.context(), made);
  resource.handle = made;
}

std::shared_ptr<Resource> Server::resource(const Target& target, bool create) {
  {
    auto resources = resources_.lock();
    if (const auto found = resources->find(target.path); found != resources->end()) {
      return found->second;
    }
  }
  if (!create) {
    return nullptr;
  }
  ResourceOptions options;
  options.target = target;
  auto made = add(std::move(options));
  if (on_loop(host_)) {
    register_resource(*made);
  } else {
    post(host_, [this, made] {
      if (stack_.is_open()) {
        register_resource(*made);
      }
    }).or_throw();
  }
  return made;
}

Status Server::write(Resource& resource, MessageView message) {
  if (const auto payload = message.body().payload();
      payload && payload->size() > options_.max_body) {
    return Status(BP_RESOURCE_EXHAUSTED, "a body of ", payload->size(), " bytes; 'max_body' is ",
                  options_.max_body);
  }
  Status status = resource.write(message);
  if (resource.handle != nullptr && stack_.is_open()) {
    const Stack::Entry entry(stack_);
    coap_resource_notify_observers(resource.handle, nullptr);
  }
  return status;
}

std::vector<Link> Server::links() {
  std::vector<Link> links = served_.links();
  for (const auto& [path, resource] : *resources_.lock()) {
    links.push_back(resource->link());
  }
  return links;
}

// ---- requests ----

Peer& Server::peer_of(coap_session_t* session) {
  auto* const peer = static_cast<Peer*>(coap_session_get_app_data(session));
  if (peer == nullptr) {
    throw std::bad_alloc();  // on_session had no memory for it
  }
  return *peer;
}

void Server::on_session(coap_session_t* session, bool is_new) {
  if (is_new) {
    auto peer = std::make_unique<Peer>();
    coap_session_set_app_data(session, peer.get());
    options_.apply(session);
    peers_[session] = std::move(peer);
  } else if (const auto found = peers_.find(session); found != peers_.end()) {
    observers_.forget(*found->second);
    observers_gauge_.set(static_cast<int64_t>(observers_.count()));
    peers_.erase(found);
    inbox_.forget(session);
    answers_.erase_if([session](const std::string& key) { return belongs_to(key, session); });
  }
  peers_gauge_.set(static_cast<int64_t>(peers_.size()));
}

void Server::refuse(coap_pdu_t* response, coap_pdu_code_t code, std::string_view why) noexcept {
  refused_.add();
  coap_pdu_set_code(response, code);
  coap_add_data(response, why.size(), reinterpret_cast<const uint8_t*>(why.data()));
}

void Server::on_declared(Resource& resource, coap_session_t* session, const coap_pdu_t* request,
                         coap_pdu_t* response) {
  requests_.add();
  if (coap_pdu_get_code(request) == COAP_REQUEST_CODE_GET) {
    get(resource, session, request, response);
  } else if (Taken* const taken = begin(session, request, response)) {
    put(resource, session, *taken, request, response);
    taken->code = coap_pdu_get_code(response);  // still empty: it is held
  }
}

/// The entry of a request that is new; none when the response is a copy's, or a refusal.
Taken* Server::begin(coap_session_t* session, const coap_pdu_t* request, coap_pdu_t* response) {
  Peer& peer = peer_of(session);
  const coap_mid_t mid = coap_pdu_get_mid(request);
  const Token token(coap_pdu_get_token(request));
  if (const Taken* const known = peer.find(mid, token)) {
    copies_.add();
    // A copy of a non-confirmable request gets nothing (RFC 7252, 4.3), an early one an
    // acknowledgement again.
    if (coap_pdu_get_type(request) == COAP_MESSAGE_CON && known->code != COAP_EMPTY_CODE) {
      Answer plain;
      plain.code = known->code;
      write_answer(response, known->answer ? *known->answer : plain,
                   wanted_block(request, options_.szx), known->block1);
    }
    return nullptr;
  }
  Taken* const taken = draining_ || held_.is_full() ? nullptr : peer.take(mid, token);
  if (taken == nullptr) {
    refuse(response, COAP_RESPONSE_CODE_SERVICE_UNAVAILABLE,
           draining_ ? "stopping" : "too many requests wait for their answer");
  }
  return taken;
}

void Server::get(Resource& resource, coap_session_t* session, const coap_pdu_t* request,
                 coap_pdu_t* response) {
  auto observer = Observers::Answer::kNone;
  if (resource.options().observable) {
    const size_t before = observers_.count();
    observer = observers_.look_at(peer_of(session), &resource, request);
    if (observers_.count() != before) {
      observers_gauge_.set(static_cast<int64_t>(observers_.count()));
    }
  }
  if (observer == Observers::Answer::kTooMany) {
    refuse(response, COAP_RESPONSE_CODE_SERVICE_UNAVAILABLE, "too many observers");
    return;
  }
  const bool may_fail = observer != Observers::Answer::kKnown;
  const auto accept = option_uint(request, COAP_OPTION_ACCEPT);
  if (may_fail && accept && resource.format() != kNoFormat && *accept != resource.format()) {
    refuse(response, COAP_RESPONSE_CODE_NOT_ACCEPTABLE, "");
    return;
  }
  const Wanted wanted = wanted_block(request, options_.szx);
  const auto known = option_bytes(request, COAP_OPTION_ETAG);
  const Bytes etag = resource.etag();
  const bool is_valid = known && wanted.number == 0 &&
                        std::equal(known->begin(), known->end(), etag.begin(), etag.end());
  bool fits = add_option(response, COAP_OPTION_ETAG, etag);
  coap_pdu_set_code(response, is_valid ? COAP_RESPONSE_CODE_VALID : COAP_RESPONSE_CODE_CONTENT);
  if (!is_valid && resource.format() != kNoFormat) {
    fits = fits && add_uint_option(response, COAP_OPTION_CONTENT_FORMAT, resource.format());
  }
  if (const auto max_age = resource.max_age()) {
    fits = fits && add_uint_option(response, COAP_OPTION_MAXAGE, *max_age);
  }
  if (!is_valid) {
    fits = fits && add_body(response, COAP_OPTION_BLOCK2, resource.payload(),
                            may_fail ? wanted.number : 0, wanted.szx, wanted.asked);
  }
  if (!fits && may_fail) {
    coap_pdu_set_code(response, wanted.number > 0 ? COAP_RESPONSE_CODE_BAD_REQUEST
                                                  : COAP_RESPONSE_CODE_INTERNAL_ERROR);
  }
}

bool Server::receive(coap_session_t* session, Taken& taken, const coap_pdu_t* request,
                     coap_pdu_t* response, Incoming& out) {
  const bool in_blocks = block_option(request, COAP_OPTION_BLOCK1).has_value();
  const size_t evicted =
      inbox_.take(request, in_blocks ? body_key(session, request) : std::string(), out);
  if (evicted > 0) {
    evicted_.add(evicted);
  }
  taken.block1 = out.block1;
  if (out.code == COAP_EMPTY_CODE) {
    return true;
  }
  if (out.code == COAP_RESPONSE_CODE_CONTINUE) {
    coap_pdu_set_code(response, out.code);
  } else {
    if (out.size1) {
      static_cast<void>(add_uint_option(response, COAP_OPTION_SIZE1, *out.size1));
    }
    refuse(response, out.code, "");
  }
  if (out.block1) {
    static_cast<void>(add_uint_option(response, COAP_OPTION_BLOCK1, *out.block1));
  }
  return false;
}

void Server::hold(uint64_t id, coap_session_t* session, const Taken& taken,
                  const coap_pdu_t* request, const Wanted& wanted, std::string key) {
  Asked asked;
  asked.session = session;
  asked.type = coap_pdu_get_type(request);
  asked.mid = coap_pdu_get_mid(request);
  asked.token = taken.token;
  asked.wanted = wanted;
  asked.block1 = taken.block1;
  asked.body_key = std::move(key);
  held_.hold(id, std::move(asked));
}

void Server::put(Resource& resource, coap_session_t* session, Taken& taken,
                 const coap_pdu_t* request, coap_pdu_t* response) {
  Incoming body;
  if (!receive(session, taken, request, response, body)) {
    return;
  }
  if (!precondition_holds(resource, request)) {
    refuse(response, COAP_RESPONSE_CODE_PRECONDITION_FAILED, "");
    return;
  }
  const uint64_t id = next_id_++;
  const uint64_t outer = std::exchange(publishing_, id);
  settled_inside_.reset();
  ++unsettled_;
  Status status;
  try {
    status = resource.put(body.bytes, request,
                          [this, id](const Status& result) { settled(id, result); });
  } catch (...) {
    status = current_exception_status();
  }
  publishing_ = outer;
  if (status.is_error()) {
    --unsettled_;  // nothing was published
    refuse(response, code_of_status(status.code()), status.message());
    return;
  }
  coap_resource_notify_observers(resource.handle, nullptr);
  const auto result = std::exchange(settled_inside_, std::nullopt);
  if (!result) {
    hold(id, session, taken, request, Wanted(), std::string());
    return;
  }
  // UNAVAILABLE means that nobody watches, which is no reason to refuse a value.
  if (result->is_error() && result->code() != BP_UNAVAILABLE) {
    refuse(response, COAP_RESPONSE_CODE_SERVICE_UNAVAILABLE, result->message());
    return;
  }
  if (body.block1) {
    static_cast<void>(add_uint_option(response, COAP_OPTION_BLOCK1, *body.block1));
  }
  coap_pdu_set_code(response, COAP_RESPONSE_CODE_CHANGED);
}

void Server::on_other(coap_session_t* session, const coap_pdu_t* request, coap_pdu_t* response) {
  requests_.add();
  const std::string path = path_of(request);
  if (!served_.has(path)) {
    refuse(response, COAP_RESPONSE_CODE_NOT_FOUND, "");
    return;
  }
  if (Taken* const taken = begin(session, request, response)) {
    serve(path, session, *taken, request, response);
    taken->code = coap_pdu_get_code(response);
  }
}

void Server::serve(const std::string& path, coap_session_t* session, Taken& taken,
                   const coap_pdu_t* request, coap_pdu_t* response) {
  const Wanted wanted = wanted_block(request, options_.szx);
  const std::string key = body_key(session, request);
  if (wanted.number > 0) {
    if (const auto* const kept = answers_.find(key)) {
      write_answer(response, **kept, wanted, std::nullopt);
      return;
    }
    if (coap_pdu_get_code(request) != COAP_REQUEST_CODE_GET) {
      refuse(response, COAP_RESPONSE_CODE_INCOMPLETE, "the answer is not kept any more");
      return;
    }
  }
  Incoming body;
  if (!receive(session, taken, request, response, body)) {
    return;
  }
  const uint64_t id = next_id_++;
  const coap_address_t* const remote = coap_session_get_addr_remote(session);
  auto answer =
      served_.start(id, path, request, body.bytes,
                    remote != nullptr ? to_text(*remote) : std::string(), options_.answer_timeout);
  if (!answer) {
    hold(id, session, taken, request, wanted, key);
    return;
  }
  auto shared = std::make_shared<const Answer>(*std::move(answer));
  write_answer(response, *shared, wanted, body.block1);
  keep_blocks(key, shared, wanted);
  taken.answer = std::move(shared);
}

void Server::keep_blocks(const std::string& key, const std::shared_ptr<const Answer>& answer,
                         const Wanted& wanted) {
  if (answer->body.size() <= block_size(wanted.szx)) {
    return;
  }
  size_t evicted = 0;
  answers_.at(key, &evicted) = answer;
  evicted_.add(evicted);
}

void Server::on_links(const coap_pdu_t* request, std::string_view query, coap_pdu_t* response) {
  requests_.add();
  Answer answer;
  answer.code = COAP_RESPONSE_CODE_CONTENT;
  answer.format = 40;
  answer.body = write_links(links(), query);
  write_answer(response, answer, wanted_block(request, options_.szx), std::nullopt);
}

// ---- answers that come later ----

/// On any thread, once for each publication; perhaps inside publish().
void Server::settled(uint64_t id, const Status& status) {
  if (on_loop(host_)) {
    settle_on_loop(id, status);
  } else {
    static_cast<void>(post(host_, [this, id, status] { settle_on_loop(id, status); }));
  }
}

void Server::settle_on_loop(uint64_t id, const Status& status) {
  --unsettled_;
  if (id == publishing_) {
    settled_inside_ = status;
  } else {
    Answer answer;
    const bool is_done = status.is_ok() || status.code() == BP_UNAVAILABLE;
    answer.code = is_done ? COAP_RESPONSE_CODE_CHANGED : COAP_RESPONSE_CODE_SERVICE_UNAVAILABLE;
    answer.body = is_done ? std::string() : std::string(status.message());
    answer_held(id, std::move(answer));
  }
  check_idle();
}

void Server::answer_held(uint64_t id, Answer answer) {
  if (auto asked = held_.take(id)) {
    auto shared = std::make_shared<const Answer>(std::move(answer));
    if (Taken* const taken = peer_of(asked->session).find(asked->mid, asked->token)) {
      taken->code = shared->code;
      taken->answer = shared;
    }
    if (!asked->body_key.empty()) {
      keep_blocks(asked->body_key, shared, asked->wanted);
    }
    held_.send(*asked, *shared);
  }
  check_idle();
}

void Server::drain(std::function<void()> drained) {
  draining_ = true;
  drained_ = std::move(drained);
  check_idle();
}

void Server::end_drain() {
  if (drained_) {
    std::exchange(drained_, nullptr)();
  }
}

void Server::stop(std::function<void()> stopped) {
  draining_ = true;
  stopped_ = std::move(stopped);
  for (const uint64_t id : held_.ids()) {
    Answer answer;
    answer.code = COAP_RESPONSE_CODE_SERVICE_UNAVAILABLE;
    answer.body = "stopping";
    answer_held(id, std::move(answer));
  }
  held_.close();
  served_.cancel_all();
  std::vector<std::shared_ptr<Resource>> resources;
  for (const auto& [path, resource] : *resources_.lock()) {
    resources.push_back(resource);
  }
  hubs_left_ = resources.size();
  for (const auto& resource : resources) {
    // Its callback may come on any thread; a task on the loop puts it behind what runs there.
    resource->hub().stop(Status(BP_CANCELLED), [this] {
      static_cast<void>(post(host_, [this] {
        --hubs_left_;
        check_idle();
      }));
    });
  }
  check_idle();
}

void Server::check_idle() {
  if (held_.is_empty()) {
    end_drain();
  }
  if (stopped_ && held_.is_empty() && unsettled_ == 0 && hubs_left_ == 0 && served_.is_empty()) {
    // What called this may be the library, which must not be closed from inside.
    static_cast<void>(post(host_, std::exchange(stopped_, nullptr)));
  }
}

}  // namespace backplane::coap
