// SPDX-License-Identifier: Apache-2.0
#include "instance.hpp"
#include "local_path.hpp"
#include "remote_path.hpp"
#include <backplane/sdk/plugin.hpp>
#include <backplane/sdk/run_on_loop.hpp>

namespace backplane::coap {
namespace {

int on_event(coap_session_t* session, const coap_event_t event) {
  const Instance& instance = Instance::of(session);
  const bool is_clients = coap_session_get_type(session) == COAP_SESSION_TYPE_CLIENT;
  boundary(
      [&] {
        if (is_clients && instance.client) {
          instance.client->on_event(session, event);
        } else if (!is_clients && instance.server) {
          instance.server->on_event(session, event);
        }
      },
      [](const Status&) noexcept {});
  return 0;
}

coap_response_t on_response(coap_session_t* session, const coap_pdu_t*, const coap_pdu_t* received,
                            const coap_mid_t) {
  bool is_known = false;
  Client* const client = Instance::of(session).client.get();
  if (client != nullptr && coap_session_get_type(session) == COAP_SESSION_TYPE_CLIENT) {
    boundary([&] { is_known = client->on_response(received); }, [](const Status&) noexcept {});
  }
  return is_known ? COAP_RESPONSE_OK : COAP_RESPONSE_FAIL;
}

void on_nack(coap_session_t* session, const coap_pdu_t* sent, const coap_nack_reason_t reason,
             const coap_mid_t mid) {
  Client* const client = Instance::of(session).client.get();
  if (client != nullptr && coap_session_get_type(session) == COAP_SESSION_TYPE_CLIENT) {
    boundary([&] { client->on_nack(session, sent, reason, mid); }, [](const Status&) noexcept {});
  }
}

class CoapPlugin final : public Plugin {
 public:
  CoapPlugin(const bp_host* raw, const Config& config)
      : Plugin(raw), options_(config), stack_(host()) {
    if (config.has("listen")) {
      instance_.server = std::make_unique<Server>(stack_, options_, config);
    }
    if (config.has("url")) {
      instance_.client = std::make_unique<Client>(stack_, options_, config);
    }
    refuse_unused_credentials(config);
    coap_context_t* const context = stack_.context();
    coap_set_app_data(context, &instance_);
    coap_register_event_handler(context, on_event);
    coap_register_response_handler(context, on_response);
    coap_register_nack_handler(context, on_nack);
  }

  ~CoapPlugin() override {  // they hold sessions of the context
    instance_.client.reset();
    instance_.server.reset();
  }

  Status start(Op op) override {
    return run_on_loop(host(), op, [this] {
      if (instance_.server) {
        instance_.server->start();
        if (!instance_.client) {
          host().report(BP_STATE_UP, concat("listening on ", instance_.server->address()));
        }
      }
      stack_.start();
      if (instance_.client) {
        instance_.client->start();
      }
      return Status::ok();
    });
  }

  Status drain(Op op) override {
    if (!instance_.server) {
      return Status::ok();
    }
    return post(host(),
                [this, op] {
                  instance_.server->drain([this, op] { host().complete(op, Status::ok()); });
                }).is_ok()
               ? Status::pending()
               : Status::ok();
  }

  Status stop(Op op) override {
    post(host(), [this, op] { stop_server(op); }).or_throw();
    return Status::pending();
  }

  /// Only a drain waits for others.
  void cancel(Op) noexcept override {
    static_cast<void>(post(host(), [this] {
      if (instance_.server) {
        instance_.server->end_drain();
      }
    }));
  }

  Status open(std::string_view path, MessageView options, OpenOp op) override {
    Target target = parse_target(path.empty() ? "/" : path);
    const bool create = options.header<bool>(BP_H_CREATE).value_or(false);
    const bool is_list = target.segments.empty() || target.path == ".well-known/core";
    if (instance_.server) {
      const bool is_known = instance_.server->resource(target, false) != nullptr;
      if (is_known || create || (is_list && !instance_.client)) {
        return op.give(std::make_unique<LocalPath>(*instance_.server, std::move(target), create),
                       is_known || create ? verbs_of<LocalPath>() : BP_VERB_BIT(BP_V_BROWSE));
      }
    }
    if (!instance_.client) {
      if (instance_.server) {
        instance_.server->served().refuse_inside(target);
      }
      return Status(BP_NOT_FOUND, "instance '", host().instance(), "' has no resource '", path,
                    "'; declare it in 'resources', or open it with create");
    }
    return op.give(std::make_unique<RemotePath>(*instance_.client, std::move(target)));
  }

 private:
  /// Who names a credential wants DTLS: nothing plain is done in its place.
  void refuse_unused_credentials(const Config& config) const {
    const bool listens = instance_.server && instance_.server->is_secure();
    const bool connects = instance_.client && instance_.client->is_secure();
    const auto refuse = [](std::string_view key, std::string_view address) {
      throw Error(BP_INVALID_ARGUMENT, "configuration: '", key, "' is given, but ", address,
                  " is no coaps: address; without DTLS it would count for nothing");
    };
    if (config.has("credentials") && !listens && !connects) {
      refuse("credentials", "neither 'listen' nor 'url'");
    }
    if (!config.strings("peers").empty() && !listens) {
      refuse("peers", "'listen'");
    }
    if (config.has("server_name") && !connects) {
      refuse("server_name", "'url'");
    }
  }

  void stop_server(Op op) {
    if (instance_.server) {
      instance_.server->stop([this, op] { stop_client(op); });
    } else {
      stop_client(op);
    }
  }
  void stop_client(Op op) {
    if (instance_.client) {
      instance_.client->stop([this, op] { finish(op); });
    } else {
      finish(op);
    }
  }
  void finish(Op op) {
    stack_.close();
    host().complete(op, Status::ok());
  }

  const Options options_;
  Instance instance_;
  Stack stack_;  // the last member: its callbacks use all else
};

}  // namespace
}  // namespace backplane::coap

BACKPLANE_PLUGIN(backplane::coap::CoapPlugin, "coap", "0.1.0",
                 BP_PLUGIN_MULTI_INSTANCE | BP_PLUGIN_OWN_THREADS, BP_S_ENDPOINT, BP_S_EXECUTOR);
