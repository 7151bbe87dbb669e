// SPDX-License-Identifier: Apache-2.0
#include "server.hpp"

#include "instance.hpp"
#include "socket.hpp"

namespace backplane::coap {
namespace {

constexpr std::string_view kWellKnown = ".well-known/core";
constexpr coap_request_t kMethods[] = {COAP_REQUEST_GET,    COAP_REQUEST_POST,  COAP_REQUEST_PUT,
                                       COAP_REQUEST_DELETE, COAP_REQUEST_FETCH, COAP_REQUEST_PATCH,
                                       COAP_REQUEST_IPATCH};

void declared_handler(coap_resource_t* resource, coap_session_t* session, const coap_pdu_t* request,
                      const coap_string_t*, coap_pdu_t* response) {
  auto& own = *static_cast<Resource*>(coap_resource_get_userdata(resource));
  Server& server = *Instance::of(session).server;
  answer_safely(server.host(), response,
                [&] { server.on_declared(own, session, request, response); });
}

void other_handler(coap_resource_t*, coap_session_t* session, const coap_pdu_t* request,
                   const coap_string_t*, coap_pdu_t* response) {
  Server& server = *Instance::of(session).server;
  answer_safely(server.host(), response, [&] { server.on_other(session, request, response); });
}

void links_handler(coap_resource_t*, coap_session_t* session, const coap_pdu_t* request,
                   const coap_string_t* query, coap_pdu_t* response) {
  const std::string_view text =
      query == nullptr ? std::string_view()
                       : std::string_view(reinterpret_cast<const char*>(query->s), query->length);
  Server& server = *Instance::of(session).server;
  answer_safely(server.host(), response, [&] { server.on_links(request, text, response); });
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
      dtls_(make_dtls(config)),
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
  if (!address_of(authority_.host, authority_.port)) {
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
  coap_address_t address = *address_of(authority_.host, authority_.port);
  require_free_port(address, authority_.text);
  if (dtls_) {
    stack_.use_dtls();
    dtls_->start(context);
  }
  const Stack::Entry entry(stack_);
  if (coap_new_endpoint(context, &address, authority_.protocol()) == nullptr) {
    throw Error(BP_UNAVAILABLE, "'", authority_.text, "' cannot be bound");
  }
  shown_ = concat(authority_.scheme(), to_text(address));
  stack_.count_drops(find_socket(coap_context_get_coap_fd(context), &address, nullptr),
                     authority_.is_secure);
  coap_context_set_max_idle_sessions(context, options_.max_peers);
  coap_context_set_max_handshake_sessions(context, options_.max_peers);
  for (const auto& [path, resource] : resources_.copy()) {
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
  for (const auto& [path, resource] : resources_.copy()) {
    links.push_back(resource->link());
  }
  return links;
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
    if (Taken* const taken =
            peer_of(asked->session).find(asked->mid, asked->token, monotonic_ns())) {
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
  const auto resources = resources_.copy();
  hubs_left_ = resources.size();
  for (const auto& [path, resource] : resources) {
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
