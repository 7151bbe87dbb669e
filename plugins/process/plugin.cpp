// SPDX-License-Identifier: Apache-2.0
// process: supervises one child process.
#include "endpoints.hpp"

namespace backplane::process {
namespace {

class ProcessPlugin final : public Plugin {
 public:
  ProcessPlugin(const bp_host* raw, const Config& config)
      : Plugin(raw), supervisor_(host(), read_options(config)), calls_(host()) {}

  Status start(Op op) override {
    start_ = op;
    supervisor_.start([this, op](const Status& status) {
      start_ = nullptr;
      host().complete(op, status);
    });
    return Status::pending();
  }

  /// The deadline of a start or stop has passed, or somebody has lost patience.
  void cancel(Op op) noexcept override {
    boundary(nullptr, [&] {
      if (start_ == static_cast<bp_op*>(op)) {
        supervisor_.stop([](const Status&) {});  // is the start's answer too
      }
      supervisor_.hurry();
    });
  }

  /// Watchers end when no more output can come. The last step is a task of its own: whoever waits
  /// for the end of the command beside us has been told by then.
  Status stop(Op op) override {
    supervisor_.close([this, op](const Status&) {
      const Status reason(BP_UNAVAILABLE, "the instance stops");
      calls_.close(reason);
      supervisor_.states().stop(reason, [this, op, reason] {
        supervisor_.output().stop(reason, [this, op] {
          post(host(), [&host = host(), op] { host.complete(op, Status::ok()); }).or_throw();
        });
      });
    });
    return Status::pending();
  }

  Status open(std::string_view path, MessageView, OpenOp op) override {
    if (path.empty() || path == "state") {
      return op.give(std::make_unique<StateEndpoint>(supervisor_));
    }
    if (path == "output") {
      return op.give(std::make_unique<OutputEndpoint>(supervisor_));
    }
    if (path == "stdin") {
      return op.give(std::make_unique<InputEndpoint>(supervisor_));
    }
    if (const Command::Action action = Command::find(path)) {
      return op.give(std::make_unique<Command>(supervisor_, calls_, action));
    }
    return Status(BP_NOT_FOUND, "no path '", path.substr(0, 64),
                  "'; there are: state, output, stdin, start, stop, restart, signal");
  }

 private:
  Supervisor supervisor_;
  PendingList calls_;
  std::atomic<bp_op*> start_{nullptr};
};

}  // namespace
}  // namespace backplane::process

BACKPLANE_PLUGIN(backplane::process::ProcessPlugin, "process", "0.1.0", BP_PLUGIN_MULTI_INSTANCE,
                 BP_S_ENDPOINT, BP_S_EXECUTOR);
