// SPDX-License-Identifier: Apache-2.0
// Design notes. One state machine on the loop. The way of a run is
//   begin -> (port free?) -> spawn -> started -> ready ... -> exited -> gone
// and only gone() decides what comes next, since only then is nothing of the run left: a restart,
// the answer to a start that failed, or the answer to a stop. Whoever ends a run (stop, a start
// that is late) only asks for its end.
#include "supervisor.hpp"

#include <sys/wait.h>

namespace backplane::process {
namespace {

constexpr size_t kTailLines = 5;
constexpr size_t kTailBytes = 400;

HubOptions state_hub_options() {
  HubOptions out;
  out.replay_last = true;
  return out;
}
Time wall_clock() { return std::chrono::system_clock::now(); }

}  // namespace

std::string_view name_of(RunState state) noexcept {
  static constexpr std::string_view kNames[] = {"stopped", "starting", "running", "stopping",
                                                "waiting"};
  return kNames[static_cast<size_t>(state)];
}

Supervisor::Supervisor(const Host& host, const Options& options)
    : host_(host),
      options_(options),
      starts_(host.counter("starts_total")),
      failures_(host.counter("failures_total")),
      lines_(host.counter("output_lines_total")),
      cut_(host.counter("output_lines_cut_total")),
      output_(host),
      states_(host, state_hub_options()),
      input_(host),
      backoff_(options.delay_max, options.stable_after),
      probe_(host, options_.ready),
      ready_timeout_(std::make_unique<Timer>(
          host,
          [this] {
            end_run(
                Status(BP_DEADLINE_EXCEEDED, "was not ready within ",
                       std::chrono::duration_cast<std::chrono::milliseconds>(options_.ready.timeout)
                           .count(),
                       " ms"));
          })),
      kill_timer_(std::make_unique<Timer>(host,
                                          [this] {
                                            if (child_) {
                                              host_.log().warning(
                                                  "did not end in time: killing all of it");
                                              child_->kill();
                                            }
                                          })),
      restart_timer_(std::make_unique<Timer>(host, [this] { begin(); })) {}

Supervisor::~Supervisor() = default;

// ---- what others ask for ------------------------------------------------------------------------

void Supervisor::on_loop(std::function<void()> body, const Done& done) {
  if (const Status status = post(host_, std::move(body)); status.is_error()) {
    done(status);
  }
}

void Supervisor::start(Done done) {
  on_loop(
      [this, done] {
        if (closed_) {
          return done(Status(BP_UNAVAILABLE, "the instance stops"));
        }
        switch (state_) {
          case RunState::kRunning:
            return done(Status::ok());
          case RunState::kStopping:
            return done(Status(BP_FAILED_PRECONDITION, "the command is being stopped"));
          case RunState::kStarting:
            starting_.push_back(done);
            return;
          case RunState::kStopped:
          case RunState::kWaiting:
            starting_.push_back(done);
            first_start_ = true;
            restart_timer_->cancel();
            backoff_.reset();
            begin();
        }
      },
      done);
}

void Supervisor::stop(Done done) {
  on_loop([this, done] { ask_to_stop(done); }, done);
}

void Supervisor::close(Done done) {
  on_loop(
      [this, done] {
        closed_ = true;
        ask_to_stop(done);
      },
      done);
}

void Supervisor::hurry() {
  const auto kill = [this] {
    if (child_ && state_ == RunState::kStopping) {
      child_->kill();
    }
  };
  on_loop(kill, [](const Status&) {});  // without memory for that the stop takes its time
}

void Supervisor::ask_to_stop(const Done& done) {
  if (state_ == RunState::kStopped) {
    return done(Status::ok());
  }
  stopping_.push_back(done);
  if (state_ == RunState::kWaiting) {
    restart_timer_->cancel();
    enter(RunState::kStopped, BP_STATE_IDLE, "stopped");
    tell(stopping_, Status::ok());
  } else if (state_ != RunState::kStopping) {
    end_run(Status(BP_ABORTED, "was stopped before it was ready"));
    enter(RunState::kStopping, BP_STATE_DEGRADED, "stopping");
  }
}

void Supervisor::restart(Done done) {
  stop([this, done](const Status& status) { status.is_ok() ? start(done) : done(status); });
}

void Supervisor::signal(int number, Done done) {
  on_loop(
      [this, number, done] {
        if (!child_ || (state_ != RunState::kRunning && state_ != RunState::kStarting)) {
          return done(Status(BP_FAILED_PRECONDITION, "the command is not running"));
        }
        child_->signal(number);
        done(Status::ok());
      },
      done);
}

// ---- a run --------------------------------------------------------------------------------------

void Supervisor::begin() {
  enter(RunState::kStarting, BP_STATE_CONNECTING, options_.text());
  failed_.reset();
  tail_.clear();
  starts_.add();
  probe_.check_free([this, run = ++run_](const Status& status) {
    if (run != run_) {
      return;  // stopped meanwhile
    }
    if (status.is_error()) {
      failed_ = status;
      gone();
    } else {
      spawn();
    }
  });
}

void Supervisor::spawn() {
  ChildEvents events;
  events.started = [this](pid_t pid) {
    shared_.lock()->pid = pid;
    ready_timeout_->after(options_.ready.timeout).or_throw();
    probe_.begin([this] { ready(); });
  };
  events.failed = [this](const Status& status) { failed_ = status; };
  events.line = [this](std::string_view stream, const std::string& text, bool cut) {
    line(stream, text, cut);
  };
  events.exited = [this](const ExitRecord& record) { exited(record); };
  events.gone = [this] { post(host_, [this] { gone(); }).or_throw(); };
  try {
    child_ = std::make_unique<Child>(host_, options_, std::move(events));
  } catch (const Error& error) {
    failed_ = error.status();
    gone();
    return;
  }
  input_.open(child_->take_stdin());
}

void Supervisor::ready() {
  if (state_ != RunState::kStarting) {
    return;
  }
  ready_timeout_->cancel();
  ready_since_ns_ = monotonic_ns();
  first_start_ = false;
  const pid_t pid = shared_.lock()->pid;
  enter(RunState::kRunning, BP_STATE_UP, concat("pid ", pid));
  tell(starting_, Status::ok());
}

void Supervisor::line(std::string_view stream, const std::string& text, bool cut) {
  lines_.add();
  cut_.add(cut ? 1 : 0);
  const Log log = host_.log();
  log.write(options_.log_level, text, {{"stream", stream}});
  if (state_ == RunState::kStarting) {
    tail_.push_back(text.substr(0, kTailBytes / 2));
    if (tail_.size() > kTailLines) {
      tail_.erase(tail_.begin());
    }
  }
  MessageBuilder message{ValueView(text)};
  message.header("stream", stream).time_now();
  output_.publish(message.view());
  probe_.line(text);
}

void Supervisor::exited(const ExitRecord& record) {
  probe_.stop();
  ready_timeout_->cancel();
  {
    auto shared = shared_.lock();
    shared->exit = record;
    shared->exit_time = wall_clock();
    shared->pid = 0;
  }
  if (state_ == RunState::kStarting && !failed_) {
    failed_ = Status(BP_UNAVAILABLE, record.text(), " before it was ready");
  }
  input_.close(Status(BP_UNAVAILABLE, "the command ", record.text()));
}

void Supervisor::end_run(const Status& reason) {
  probe_.stop();
  ready_timeout_->cancel();
  if (state_ == RunState::kStarting) {
    failed_ = reason;
  }
  if (child_) {
    child_->signal(options_.stop_signal);
    kill_timer_->after(options_.stop_timeout).or_throw();
  } else {
    ++run_;
    post(host_, [this] { gone(); }).or_throw();
  }
}

void Supervisor::gone() {
  const bool was_running = state_ == RunState::kRunning;
  kill_timer_->cancel();
  ready_timeout_->cancel();
  probe_.stop();
  child_.reset();
  input_.close(Status(BP_UNAVAILABLE, "the command has ended"));
  shared_.lock()->pid = 0;
  if (state_ == RunState::kStopping) {
    enter(RunState::kStopped, BP_STATE_IDLE, "stopped");
    tell(starting_, Status(BP_ABORTED, "the command was stopped before it was ready"));
    tell(stopping_, Status::ok());
  } else if (was_running) {
    const ExitRecord record = shared_.lock()->exit.value_or(ExitRecord{});
    failures_.add(record.is_success() ? 0 : 1);
    if (wants_restart(record.is_success())) {
      wait_for_restart(record.text());
    } else {
      enter(RunState::kStopped, record.is_success() ? BP_STATE_IDLE : BP_STATE_DOWN,
            concat(record.text(), ", and is not started again"));
    }
  } else {
    start_failed(failed_.value_or(Status(BP_UNAVAILABLE, "the start failed")));
  }
}

void Supervisor::start_failed(const Status& reason) {
  failures_.add();
  std::string output;
  for (const std::string& text : tail_) {
    output += concat(output.empty() ? "; its last output: " : " | ", text);
  }
  const Status status = Status(reason.code(), "command '", options_.text(), "': ", reason.message(),
                               output.substr(0, kTailBytes))
                            .with_native(reason.native(), reason.domain())
                            .with_retry(false);
  host_.log().error(status.message());
  if (first_start_) {
    enter(RunState::kStopped, BP_STATE_DOWN, std::string(status.message()));
    tell(starting_, status);
  } else {
    wait_for_restart(status.message());
  }
}

void Supervisor::wait_for_restart(std::string_view why) {
  const auto ran =
      std::chrono::nanoseconds(ready_since_ns_ == 0 ? 0 : monotonic_ns() - ready_since_ns_);
  ready_since_ns_ = 0;
  const auto delay = backoff_.next(ran);
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(delay).count();
  enter(RunState::kWaiting, BP_STATE_CONNECTING,
        ms == 0 ? concat(why, ", starting again") : concat(why, ", next start in ", ms, " ms"));
  restart_timer_->after(delay).or_throw();
}

bool Supervisor::wants_restart(bool success) const {
  return options_.restart == Restart::kAlways ||
         (options_.restart == Restart::kOnFailure && !success);
}

void Supervisor::tell(std::vector<Done>& waiting, const Status& status) {
  for (const Done& done : std::exchange(waiting, {})) {
    done(status);
  }
}

// ---- what others see ----------------------------------------------------------------------------

void Supervisor::enter(RunState state, uint32_t report, std::string detail) {
  state_ = state;
  Snapshot copy;
  {
    auto shared = shared_.lock();
    shared->state = state;
    shared->since = wall_clock();
    shared->starts += state == RunState::kStarting ? 1 : 0;
    shared->detail = std::move(detail);
    copy = *shared;
  }
  host_.report(report, copy.detail);
  StackArena arena;
  states_.publish(MessageBuilder(to_map(arena, copy, options_)).time(copy.since).view());
}

ValueView Supervisor::to_map(Arena& arena, const Snapshot& snapshot, const Options& options) {
  MapBuilder out(arena);
  out.add("state", name_of(snapshot.state));
  out.add("detail", arena.copy(snapshot.detail));
  out.add("since", snapshot.since);
  out.add("command", arena.copy(options.text()));
  out.add("starts", snapshot.starts);
  if (snapshot.pid != 0) {
    out.add("pid", snapshot.pid);
  }
  if (snapshot.exit) {
    const ExitRecord& record = *snapshot.exit;
    MapBuilder exit(arena);
    exit.add("text", arena.copy(record.text()));
    exit.add("time", snapshot.exit_time);
    if (record.known && WIFEXITED(record.wait_status)) {
      exit.add("code", WEXITSTATUS(record.wait_status));
    } else if (record.known) {
      exit.add("signal", arena.copy(signal_name(WTERMSIG(record.wait_status))));
    }
    exit.add("user_time", std::chrono::nanoseconds(std::chrono::microseconds(record.user_us)));
    exit.add("system_time", std::chrono::nanoseconds(std::chrono::microseconds(record.system_us)));
    exit.add("max_rss_bytes", record.max_rss_kib * 1024);
    out.add("exit", arena.map(exit.pairs()));
  }
  return arena.map(out.pairs());
}

}  // namespace backplane::process
