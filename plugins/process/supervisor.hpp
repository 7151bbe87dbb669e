// SPDX-License-Identifier: Apache-2.0
// Supervisor: keeps one command running: start, readiness, restart with back-off, stop.
#pragma once

#include "child.hpp"
#include "ready_probe.hpp"
#include "stdin_writer.hpp"
#include <backplane/sdk/backoff.hpp>
#include <backplane/sdk/hub.hpp>

namespace backplane::process {

enum class RunState : uint8_t {
  kStopped,   // not running, and not going to
  kStarting,  // port check, exec, not ready yet
  kRunning,   // ready
  kStopping,
  kWaiting  // for the next restart
};
std::string_view name_of(RunState state) noexcept;

/// What read and watch show.
struct Snapshot {
  RunState state = RunState::kStopped;
  pid_t pid = 0;
  Time since{};  // in this state
  uint64_t starts = 0;
  std::string detail;
  std::optional<ExitRecord> exit;  // of the last run
  Time exit_time{};
};

/// The public functions may be called on any thread; all else happens on the loop. Callbacks come
/// from the loop, once each. Destroyed after stop() has called back, not inside.
class Supervisor {
 public:
  using Done = std::function<void(const Status&)>;

  Supervisor(const Host& host, const Options& options);
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  /// Starts the command; `done` is told when it is ready, or why it is not: then nothing of it is
  /// left. At once when it is running already. ABORTED when a stop came in between.
  void start(Done done);
  /// The stop signal, then SIGKILL for all of its processes; `done` is told when none is left.
  void stop(Done done);
  /// The same for good: no start is taken any more.
  void close(Done done);
  /// A stop that is under way waits no longer: SIGKILL now.
  void hurry();
  /// Both, in this order.
  void restart(Done done);
  /// FAILED_PRECONDITION when it is not running.
  void signal(int number, Done done);

  Snapshot snapshot() { return shared_.copy(); }
  Hub& output() noexcept { return output_; }
  Hub& states() noexcept { return states_; }
  StdinWriter& input() noexcept { return input_; }

  /// The map of a snapshot.
  static ValueView to_map(Arena& arena, const Snapshot& snapshot, const Options& options);
  const Options& options() const noexcept { return options_; }

 private:
  void on_loop(std::function<void()> body, const Done& done);
  void begin();
  void spawn();
  void ready();
  void line(std::string_view stream, const std::string& text, bool cut);
  void exited(const ExitRecord& record);
  void gone();
  void end_run(const Status& reason);
  void start_failed(const Status& reason);
  void wait_for_restart(std::string_view why);
  bool wants_restart(bool success) const;
  void enter(RunState state, uint32_t report, std::string detail);
  void ask_to_stop(const Done& done);
  static void tell(std::vector<Done>& waiting, const Status& status);

  const Host& host_;
  const Options options_;
  const Counter starts_;
  const Counter failures_;
  const Counter lines_;
  const Counter cut_;
  Hub output_;
  Hub states_;
  StdinWriter input_;
  Guarded<Snapshot> shared_;

  // ---- on the loop only ----
  RunState state_ = RunState::kStopped;
  bool closed_ = false;
  bool first_start_ = true;  // asked for, not a restart: its failure is told, and final
  uint64_t run_ = 0;         // names the run whose port is being checked
  std::optional<Status> failed_;
  int64_t ready_since_ns_ = 0;
  std::vector<std::string> tail_;  // the last lines of output, for errors
  std::vector<Done> starting_;
  std::vector<Done> stopping_;
  Backoff backoff_;
  ReadyProbe probe_;
  std::unique_ptr<Child> child_;
  std::unique_ptr<Timer> ready_timeout_;
  std::unique_ptr<Timer> kill_timer_;
  std::unique_ptr<Timer> restart_timer_;
};

}  // namespace backplane::process
