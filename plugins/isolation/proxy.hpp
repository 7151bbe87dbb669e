// SPDX-License-Identifier: Apache-2.0
// Proxy: an instance that runs in a process of its own, as its kernel sees it: starts the host,
// passes the life cycle on, starts it again when it crashes.
#pragma once

#include "plugins/isolation/crash_limit.hpp"
#include "plugins/isolation/host_process.hpp"
#include "plugins/isolation/link/peer.hpp"
#include "plugins/isolation/relay.hpp"
#include <backplane/sdk/backoff.hpp>
#include <backplane/sdk/config.hpp>
#include <backplane/sdk/line_reader.hpp>
#include <backplane/sdk/loop.hpp>
#include <backplane/sdk/plugin.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace backplane::isolation {

/// Design notes. Everything but open, cancel and what `now_` guards runs on the loop. A run is: the
/// process and its peer. It is over when the process has been reaped and the link has ended, so
/// that what the plugin had answered before it died still counts; only then pending operations end.
/// Endpoints that were opened ask source() for the peer of the present run, and open themselves
/// there again.
class Proxy final : public Plugin, public PeerUser {
 public:
  Proxy(const bp_host* host, const Config& config);
  ~Proxy() override;

  Status start(Op op) override;
  Status drain(Op op) override;
  Status stop(Op op) override;
  Status open(std::string_view path, MessageView options, OpenOp op) override;
  void cancel(Op op) noexcept override;

  // ---- PeerUser ----
  void received(wire::Frame::Reader frame) override;
  void ended(const Status& why) noexcept override;
  void cancelling() noexcept override;

 private:
  enum class Phase { kIdle, kStarting, kUp, kWaiting, kStopping, kDown };
  enum class Step { kNone, kStart, kDrain, kStop };
  /// What other threads may look at.
  struct Now {
    std::shared_ptr<Peer> peer;  // NULL: it is not up
    Status why;                  // then
    Step step = Step::kNone;     // of the life cycle: pends, or was given up by the kernel
    bp_op* op = nullptr;         // its
  };

  // ---- a run ----
  void launch();
  void begin();
  void ask_step(unsigned step, Peer::Answer answer);
  void is_up();
  void failed(const Status& why);
  void exited();
  void over();
  void restart(const std::string& how);
  void stay_down(const std::string& how);
  void lose_patience();
  std::string_view what_took_too_long() const;
  void end_run();
  void check_cpu();
  void check_life();
  void read_output();
  void report(uint32_t state, const std::string& detail);

  // What is completed of a step that is not the present one is late: the kernel has gone on.
  Status take_step(Step step, Op op, std::function<void()> body);
  void complete_step(Step step, const Status& status);
  void end_step(Step step, const Status& status);
  std::shared_ptr<Peer> source(Status& why);

  const OwnedMessage setup_;  // what the kernel gave, for the host
  const std::optional<int64_t> cpu_percent_;
  const int64_t spin_ns_;
  CrashLimit crash_limit_;
  Backoff backoff_;
  Relay relay_;

  // ---- the loop's own ----
  Phase phase_ = Phase::kIdle;
  uint32_t generation_ = 0;
  std::unique_ptr<HostProcess> process_;
  std::shared_ptr<Peer> peer_;
  std::vector<std::shared_ptr<Peer>> gone_;  // of earlier runs, for which operations still end
  UniqueFd output_;
  std::unique_ptr<FdWatch> output_watch_;
  LineReader lines_;
  std::unique_ptr<FdWatch> process_watch_;
  bool draining_ = false;     // or further: no run begins any more
  bool drain_asked_ = false;  // of the host, and not answered
  bool link_ended_ = false;
  std::optional<HostEnd> end_;
  Status reason_;  // why this side ends the run
  int64_t started_ns_ = 0;
  int64_t cpu_ns_ = 0;     // used when it was looked at last
  int64_t cpu_since_ = 0;  // when that was
  Timer again_;
  Timer patience_;
  Timer cpu_check_;
  bool pinged_ = false;                // and not answered
  std::atomic<bool> doubting_{false};  // life_check_ is armed, or the answer is waited for
  Timer life_check_;

  Guarded<Now> now_;
};

}  // namespace backplane::isolation
