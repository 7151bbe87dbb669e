// SPDX-License-Identifier: Apache-2.0
// The plugin `route`: see README.md.
#include "route.hpp"
#include <backplane/sdk/plugin.hpp>

namespace backplane::route {
namespace {

class RoutePlugin final : public Plugin {
 public:
  RoutePlugin(const bp_host* host, const Config& config)
      : Plugin(host), route_(this->host(), RouteOptions::parse(this->host().instance(), config)) {}

  Status start(Op) override {
    route_.start();
    return Status::ok();
  }
  Status drain(Op op) override { return route_.drain(op); }
  Status stop(Op op) override { return route_.stop(op); }
  void cancel(Op op) noexcept override { route_.cancel(op); }
  Status open(std::string_view path, MessageView, OpenOp) override {
    return Status(BP_NOT_FOUND, "a route has no endpoints, so no '", path,
                  "': open what it reads from or writes to");
  }

 private:
  Route route_;
};

}  // namespace
}  // namespace backplane::route

BACKPLANE_PLUGIN(backplane::route::RoutePlugin, "route", "0.1.0", BP_PLUGIN_MULTI_INSTANCE,
                 BP_S_ENDPOINT, BP_S_EXECUTOR);
