// SPDX-License-Identifier: Apache-2.0
// The opcua plugin: an instance is a server, or a client of one.
#include "local_node.hpp"
#include "node_endpoint.hpp"
#include <backplane/sdk/plugin.hpp>
#include <backplane/sdk/run_on_loop.hpp>

namespace backplane::opcua {
namespace {

/// What the two kinds of instance have in common: nothing but their endpoints' addresses.
class Role {
 public:
  virtual ~Role() = default;
  virtual Status start(Op op) = 0;
  virtual Status drain(Op) { return Status::ok(); }
  virtual void end_drain() {}
  virtual void stop(std::function<void()> stopped) = 0;
  virtual Status open(Address address, std::string_view text, OpenOp op) = 0;
};

class ClientRole final : public Role {
 public:
  ClientRole(const Host& host, const Config& config)
      : settings_(config), client_(host, settings_) {}

  Status start(Op) override {
    return post(client_.host(), [this] { client_.start(); });
  }
  void stop(std::function<void()> stopped) override { client_.stop(std::move(stopped)); }
  Status open(Address address, std::string_view text, OpenOp op) override {
    const uint32_t verbs = NodeEndpoint::verbs_of_address(address);
    return op.give(std::make_unique<NodeEndpoint>(client_, std::move(address), text), verbs);
  }

 private:
  const Settings settings_;
  Client client_;
};

class ServerRole final : public Role {
 public:
  ServerRole(const Host& host, const Config& config) : server_(host, config) {}

  Status start(Op op) override {
    return run_on_loop(server_.host(), op, [this] {
      server_.start();
      server_.host().report(BP_STATE_UP, concat("listening on ", server_.url()));
      return Status::ok();
    });
  }
  Status drain(Op op) override {
    const Host& host = server_.host();
    const Status posted = post(host, [this, &host, op] {
      server_.drain([&host, op] { host.complete(op, Status::ok()); });
    });
    return posted.is_ok() ? Status::pending() : Status::ok();
  }
  void end_drain() override { server_.end_drain(); }
  void stop(std::function<void()> stopped) override { server_.stop(std::move(stopped)); }
  Status open(Address address, std::string_view text, OpenOp op) override {
    if (const AddressSpace::Node* const node = server_.nodes().find(address)) {
      return give(node, std::move(address), text, op);
    }
    // One of the standard's, perhaps; the library knows, on the loop.
    return run_on_loop(server_.host(), op, [this, address, text = std::string(text), op]() mutable {
      server_.require(address, text);
      return give(nullptr, std::move(address), text, op);
    });
  }

 private:
  Status give(const AddressSpace::Node* node, Address address, std::string_view text, OpenOp op) {
    auto made = std::make_unique<LocalNode>(server_, node, std::move(address), text);
    const uint32_t verbs = made->verbs();
    return op.give(std::move(made), verbs);
  }

  Server server_;
};

class OpcuaPlugin final : public Plugin {
 public:
  OpcuaPlugin(const bp_host* raw, const Config& config) : Plugin(raw) {
    if (config.has("listen")) {
      role_ = std::make_unique<ServerRole>(host(), config);
    } else {
      role_ = std::make_unique<ClientRole>(host(), config);
    }
  }

  Status start(Op op) override { return role_->start(op); }
  Status drain(Op op) override { return role_->drain(op); }
  Status stop(Op op) override {
    const Status posted = post(
        host(), [this, op] { role_->stop([this, op] { host().complete(op, Status::ok()); }); });
    return posted.is_ok() ? Status::pending() : posted;
  }
  /// Only a drain waits for others.
  void cancel(Op) noexcept override {
    static_cast<void>(post(host(), [this] { role_->end_drain(); }));
  }
  Status open(std::string_view path, MessageView, OpenOp op) override {
    auto address = parse_address(path);
    if (!address) {
      return address.status();
    }
    return role_->open(*std::move(address), path, op);
  }

 private:
  std::unique_ptr<Role> role_;
};

}  // namespace
}  // namespace backplane::opcua

BACKPLANE_PLUGIN(backplane::opcua::OpcuaPlugin, "opcua", "0.1.0",
                 BP_PLUGIN_MULTI_INSTANCE | BP_PLUGIN_OWN_THREADS, BP_S_ENDPOINT, BP_S_EXECUTOR);
