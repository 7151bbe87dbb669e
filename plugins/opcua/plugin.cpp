// SPDX-License-Identifier: Apache-2.0
// The opcua plugin: one instance is one server that it is a client of.
#include "node_endpoint.hpp"
#include <backplane/sdk/plugin.hpp>

namespace backplane::opcua {
namespace {

class OpcuaPlugin final : public Plugin {
 public:
  OpcuaPlugin(const bp_host* raw, const Config& config)
      : Plugin(raw), settings_(config), client_(host(), settings_) {}

  Status start(Op) override {
    return post(host(), [this] { client_.start(); });
  }
  Status stop(Op op) override {
    const Status posted = post(
        host(), [this, op] { client_.stop([this, op] { host().complete(op, Status::ok()); }); });
    return posted.is_ok() ? Status::pending() : posted;
  }
  Status open(std::string_view path, MessageView, OpenOp op) override {
    auto address = parse_address(path);
    if (!address) {
      return address.status();
    }
    const uint32_t verbs = NodeEndpoint::verbs_of_address(*address);
    return op.give(std::make_unique<NodeEndpoint>(client_, *std::move(address), path), verbs);
  }

 private:
  const Settings settings_;
  Client client_;
};

}  // namespace
}  // namespace backplane::opcua

BACKPLANE_PLUGIN(backplane::opcua::OpcuaPlugin, "opcua", "0.1.0",
                 BP_PLUGIN_MULTI_INSTANCE | BP_PLUGIN_OWN_THREADS, BP_S_ENDPOINT, BP_S_EXECUTOR);
