// SPDX-License-Identifier: Apache-2.0
#include "plugins/isolation/proxy.hpp"

#include "plugins/isolation/host_socket.hpp"
#include "plugins/isolation/link/ring_channel.hpp"
#include <backplane/sdk/host_memory.hpp>
#include <backplane/version.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

namespace backplane::isolation {
namespace {

using namespace std::chrono_literals;

constexpr auto kMostBackoff = 300ms;  // even in a loop of crashes it serves within half a second
constexpr auto kStableAfter = 10s;    // then the next restart is at once again
constexpr auto kAfterCancel = 300ms;  // for a step to end by itself once it was cancelled
constexpr auto kForLeaving = 10s;     // for a host that was stopped to exit
constexpr auto kForStarting = 30s;    // for a host that is started again
constexpr auto kForTheLink = 100ms;   // for the link to end when the process has
constexpr auto kCpuCheck = 1s;
constexpr auto kForCancelling = 1s;  // then a sign of life is asked for
constexpr auto kForASign = 5s;       // for the sign to come
constexpr int64_t kCpuWindow = 10'000'000'000;
constexpr size_t kLongestLine = 1024;
constexpr int kReadsAtOnce = 16;

int64_t cpu_time(pid_t pid) {
  clockid_t clock{};
  timespec used{};
  if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) != 0) {
    return 0;
  }
  return int64_t{used.tv_sec} * 1'000'000'000 + used.tv_nsec;
}

}  // namespace

Proxy::Proxy(const bp_host* host, const Config& config)
    : Plugin(host),
      setup_(config.map()),
      cpu_percent_(config.find<int64_t>("cpu_percent")),
      spin_ns_(config.integer<int64_t>(kSpin) * 1000),
      crash_limit_(config.table("crash_limit").integer<size_t>("crashes"),
                   config.table("crash_limit").seconds("seconds")),
      backoff_(kMostBackoff, kStableAfter),
      relay_(this->host(), config.strings("services"), config.find<int64_t>("memory_mib")),
      lines_(kLongestLine),
      again_(this->host(), [this] { launch(); }),
      patience_(this->host(), [this] { lose_patience(); }),
      cpu_check_(this->host(), [this] { check_cpu(); }),
      life_check_(this->host(), [this] { check_life(); }) {
  now_.lock()->why = Status(BP_UNAVAILABLE, "its process has not started yet");
}

Proxy::~Proxy() = default;

// ---------------------------------------------------------------- the life cycle

Status Proxy::take_step(Step step, Op op, std::function<void()> body) {
  const auto set = [this](Step what, bp_op* its) {
    const auto now = now_.lock();
    now->step = what;
    now->op = its;
  };
  set(step, op);
  Status posted = post(host(), std::move(body));
  if (posted.is_ok()) {
    return Status::pending();
  }
  set(Step::kNone, nullptr);
  return posted;
}

void Proxy::complete_step(Step step, const Status& status) {
  bp_op* op = nullptr;
  {
    const auto now = now_.lock();
    if (now->step != step) {
      return;
    }
    now->step = Step::kNone;
    op = std::exchange(now->op, nullptr);
  }
  if (!end_) {
    patience_.cancel();  // else it is for the end of the run
  }
  host().complete(op, status);
}

Status Proxy::start(Op op) {
  return take_step(Step::kStart, op, [this] { launch(); });
}

Status Proxy::drain(Op op) {
  return take_step(Step::kDrain, op, [this] {
    draining_ = true;
    if (phase_ != Phase::kUp) {
      again_.cancel();  // nothing runs that had anything to finish, and nothing shall
      end_run();
      return complete_step(Step::kDrain, Status());
    }
    drain_asked_ = true;
    ask_step(kStepDrain, [this](const Peer::Answered* answer, const Status& why) {
      bp_error error{};
      const Status status =
          answer == nullptr ? why : Status::from(read_failure(answer->frame, &error), error);
      drain_asked_ = false;
      complete_step(Step::kDrain, status);
    });
  });
}

Status Proxy::stop(Op op) {
  return take_step(Step::kStop, op, [this] {
    again_.cancel();
    const bool was_up = std::exchange(phase_, Phase::kStopping) == Phase::kUp;
    if (process_ == nullptr) {
      return end_step(Step::kStop, Status());
    }
    if (end_) {
      return over();
    }
    if (!was_up) {
      return end_run();
    }
    ask_step(kStepStop, [this](const Peer::Answered* answer, const Status&) {
      if (answer == nullptr) {
        return;
      }
      if (answer->frame.getStatus() < 0) {
        bp_error error{};
        host().log().warning(
            "it did not stop in order, so its process is ended",
            {{"error", Status::from(read_failure(answer->frame, &error), error).to_string()}});
        return end_run();
      }
      // The host exits when its socket closes.
      link_ended_ = true;
      peer_->close(Status(BP_CANCELLED, "the instance has stopped"));
      static_cast<void>(patience_.after(kForLeaving));
    });
  });
}

Status Proxy::open(std::string_view path, MessageView options, OpenOp op) {
  Status why;
  const std::shared_ptr<Peer> peer = source(why);
  if (peer == nullptr) {
    return why;
  }
  return peer->open(path, &options.raw(), op, op.place(),
                    [this](Status& reason) { return source(reason); });
}

void Proxy::cancel(Op op) noexcept {
  std::shared_ptr<Peer> peer;
  {
    auto now = now_.lock();
    if (now->op == op) {
      static_cast<void>(patience_.after(kAfterCancel));
      return;
    }
    peer = now->peer;
  }
  if (peer != nullptr) {
    boundary([&] { peer->cancel(op->impl[0]); }, [](const Status&) noexcept {});
  }
}

std::shared_ptr<Peer> Proxy::source(Status& why) {
  auto now = now_.lock();
  why = now->why;
  return now->peer;
}

// ---------------------------------------------------------------- a run

void Proxy::launch() {
  if (phase_ == Phase::kStopping) {
    return;
  }
  if (phase_ == Phase::kIdle) {
    phase_ = Phase::kStarting;
  }
  started_ns_ = monotonic_ns();
  link_ended_ = false;
  end_.reset();
  reason_ = Status();
  relay_.forget_run();
  if (phase_ == Phase::kWaiting) {  // else whoever starts the system has a deadline
    static_cast<void>(patience_.after(kForStarting));
  }
  boundary(
      [this] {
        SharedMemory memory =
            open_memory(host(), "", {.size = sizeof(LinkMemory), .plain = true, .fixed = true})
                .value();
        process_ = std::make_unique<HostProcess>(std::string(host().instance()),
                                                 UniqueFd(memory.descriptor().value()));
        output_ = process_->take_output();
        output_watch_ = std::make_unique<FdWatch>(host(), output_.get(), BP_FD_READ,
                                                  [this](uint32_t) { read_output(); });
        peer_ = std::make_shared<Peer>(host(), *this, "", ++generation_);
        peer_->start(std::make_unique<RingChannel>(
            host(), LinkEnds{process_->take_socket(), std::move(memory), Side::kProxy}, spin_ns_));
        process_watch_ = std::make_unique<FdWatch>(host(), process_->descriptor(), BP_FD_READ,
                                                   [this](uint32_t) { exited(); });
        begin();
      },
      [this](const Status& why) {
        // Without a process nothing tells its end.
        reason_ = why;
        if (process_ != nullptr && process_watch_ != nullptr) {
          return end_run();
        }
        process_.reset();
        end_ = HostEnd{};
        link_ended_ = true;
        over();
      });
}

void Proxy::begin() {
  peer_->ask(
      [this](wire::Frame::Builder frame, uint64_t number, Outgoing& with) {
        auto begin = frame.initBegin();
        begin.setOp(number);
        begin.setVersion(to_data(BP_VERSION_STRING));
        begin.setInstance(to_data(host().instance()));
        begin.setSystem(to_data(host().system()));
        begin.setLogLevel(*host().raw()->log_level);
        write(begin.initSetup(), setup_.body(), with);
      },
      [this](const Peer::Answered* answer, const Status&) {
        bp_error error{};
        if (answer == nullptr) {
          return;  // exited() says why
        }
        if (read_failure(answer->frame, &error) < 0) {
          return failed(Status::from(answer->frame.getStatus(), error));
        }
        ask_step(kStepStart, [this](const Peer::Answered* started, const Status&) {
          bp_error problem{};
          if (started == nullptr) {
            return;
          }
          read_failure(started->frame, &problem) < 0
              ? failed(Status::from(started->frame.getStatus(), problem))
              : is_up();
        });
      },
      words_for(MessageView(setup_).raw()) + 64);
}

void Proxy::ask_step(unsigned step, Peer::Answer answer) {
  const bp_op* const op = now_.lock()->op;
  const int64_t timeout =
      op != nullptr && op->deadline_ns != 0 ? op->deadline_ns - monotonic_ns() : 10'000'000'000;
  boundary(
      [&] {
        peer_->ask(
            [&](wire::Frame::Builder frame, uint64_t number, Outgoing&) {
              auto out = frame.initStep();
              out.setOp(number);
              out.setStep(static_cast<uint8_t>(step));
              out.setTimeout(timeout);
            },
            answer);
      },
      [&](const Status& why) { answer(nullptr, why); });
}

void Proxy::is_up() {
  if (draining_ || (phase_ != Phase::kStarting && phase_ != Phase::kWaiting)) {
    return;  // its end came first
  }
  const bool again = phase_ == Phase::kWaiting;
  phase_ = Phase::kUp;
  {
    auto now = now_.lock();
    now->peer = peer_;
    now->why = Status();
  }
  if (again && !relay_.told_state()) {
    report(BP_STATE_IDLE, "started again");
  }
  if (cpu_percent_) {
    cpu_ns_ = cpu_time(process_->pid());
    cpu_since_ = monotonic_ns();
    static_cast<void>(cpu_check_.after(kCpuCheck));
  }
  patience_.cancel();
  complete_step(Step::kStart, Status());
}

void Proxy::failed(const Status& why) {
  reason_ = why;
  end_run();
}

void Proxy::lose_patience() {
  if (end_) {
    return over();  // the link has not ended with its process: somebody else holds it
  }
  if (reason_.is_ok()) {
    reason_ = Status(BP_CANCELLED, "it did not ", what_took_too_long(),
                     " in time, so its process was ended");
  }
  end_run();
}

std::string_view Proxy::what_took_too_long() const {
  switch (phase_) {
    case Phase::kStopping:
      return "stop";
    case Phase::kUp:
      return "drain";
    default:
      return "start";
  }
}

void Proxy::end_run() {
  if (process_ != nullptr) {
    process_->kill();
  }
}

void Proxy::received(wire::Frame::Reader frame) { relay_.received(*peer_, frame); }

void Proxy::ended(const Status& why) noexcept {
  link_ended_ = true;
  if (why.code() != BP_UNAVAILABLE && reason_.is_ok()) {
    reason_ = Status(BP_UNAVAILABLE,
                     "its process broke the rules of the link and was ended: ", why.message());
  }
  if (end_) {
    // Not here: the channel that calls this ends with its run.
    static_cast<void>(patience_.after(0ns));
  } else if (phase_ != Phase::kStopping || !reason_.is_ok()) {
    end_run();  // who has closed its socket does nothing useful any more
  }
}

void Proxy::exited() {
  process_watch_.reset();
  end_ = process_->reap();
  read_output();
  if (link_ended_) {
    over();
  } else {
    static_cast<void>(patience_.after(kForTheLink));
  }
}

void Proxy::over() {
  const HostEnd end = std::exchange(end_, std::nullopt).value();
  patience_.cancel();
  cpu_check_.cancel();
  life_check_.cancel();
  pinged_ = false;
  doubting_ = false;
  process_watch_.reset();
  output_watch_.reset();
  output_.reset();
  const std::string how =
      reason_.is_ok() ? concat("its process ", end.text()) : std::string(reason_.message());
  const Status why = reason_.is_ok() ? Status(BP_UNAVAILABLE, how) : reason_;
  const Phase phase = phase_;
  process_.reset();
  {
    auto now = now_.lock();
    now->peer = nullptr;
    now->why = Status(BP_UNAVAILABLE, how);
  }
  const std::shared_ptr<Peer> peer = std::exchange(peer_, nullptr);
  if (peer != nullptr) {
    peer->close(Status(BP_UNAVAILABLE, how));
    std::erase_if(gone_, [](const std::shared_ptr<Peer>& each) { return each->idle(); });
    gone_.push_back(peer);
  }
  if (phase == Phase::kStopping) {
    if (!end.is_success()) {
      host().log().error("it ended badly", {{"end", how}});
    }
    return end_step(Step::kStop, Status());
  }
  if (phase == Phase::kStarting) {
    phase_ = Phase::kDown;
    host().log().error("it does not start: " + how);
    return end_step(Step::kStart, why);
  }
  restart(how);
}

void Proxy::restart(const std::string& how) {
  if (draining_) {
    phase_ = Phase::kDown;
    host().log().error(how);
    if (std::exchange(drain_asked_, false)) {  // its answer was none
      end_step(Step::kDrain, Status(BP_UNAVAILABLE, how));
    }
    return;
  }
  const int64_t now = monotonic_ns();
  if (crash_limit_.add(now)) {
    return stay_down(how);
  }
  const std::chrono::nanoseconds delay = backoff_.next(std::chrono::nanoseconds(now - started_ns_));
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(delay).count();
  const std::string next = ms == 0 ? "at once" : concat("in ", ms, " ms");
  host().log().error(concat(how, "; it is started again ", next));
  phase_ = Phase::kWaiting;
  now_.lock()->why = Status(BP_UNAVAILABLE, how, "; it is started again");
  report(BP_STATE_CONNECTING, concat(how, "; it is started again ", next));
  if (delay.count() == 0) {
    launch();
  } else {
    static_cast<void>(again_.after(delay));
  }
}

void Proxy::stay_down(const std::string& how) {
  phase_ = Phase::kDown;
  const std::string text = concat(how, "; it crashed ", crash_limit_.count(),
                                  " times, which is above its crash_limit: it stays down");
  now_.lock()->why = Status(BP_UNAVAILABLE, text);
  host().log().error(text);
  report(BP_STATE_DOWN, text);
}

/// Once nothing that an earlier host has asked for is under way: it knows this instance.
void Proxy::end_step(Step step, const Status& status) {
  std::erase_if(gone_, [](const std::shared_ptr<Peer>& peer) { return peer->idle(); });
  if (now_.lock()->step != step) {
    return;
  }
  if (gone_.empty()) {
    return complete_step(step, status);
  }
  gone_.back()->when_idle([this, step, status] {
    static_cast<void>(post(host(), [this, step, status] { end_step(step, status); }));
  });
}

void Proxy::report(uint32_t state, const std::string& detail) { host().report(state, detail); }

void Proxy::check_cpu() {
  if (phase_ != Phase::kUp || process_ == nullptr) {
    return;
  }
  const int64_t now = monotonic_ns();
  const int64_t used = cpu_time(process_->pid()) - cpu_ns_;
  // The share of the whole window: a short burst is no breach.
  if (used * 100 > *cpu_percent_ * kCpuWindow) {
    return failed(Status(BP_UNAVAILABLE, "its process used more than the ", *cpu_percent_,
                         " % of ten seconds that cpu_percent gives it, and was ended"));
  }
  if (now - cpu_since_ >= kCpuWindow) {
    cpu_ns_ += used;
    cpu_since_ = now;
  }
  static_cast<void>(cpu_check_.after(kCpuCheck));
}

// Who cancels, or had a deadline, waits for a host that may hang: is it alive?
void Proxy::cancelling() noexcept {
  if (!doubting_.exchange(true)) {
    static_cast<void>(life_check_.after(kForCancelling));
  }
}

void Proxy::check_life() {
  if (phase_ != Phase::kUp || peer_ == nullptr) {
    doubting_ = false;
    return;
  }
  if (pinged_) {
    return failed(Status(BP_UNAVAILABLE, "its process did not answer for ",
                         std::chrono::seconds(kForASign).count(), " s and was ended"));
  }
  pinged_ = true;
  static_cast<void>(life_check_.after(kForASign));
  boundary(
      [this] {
        peer_->ping([this](const Peer::Answered* answer, const Status&) {
          if (answer != nullptr) {
            life_check_.cancel();
            pinged_ = false;
            doubting_ = false;
          }
        });
      },
      [](const Status&) noexcept {});  // the link has ended, which is told besides
}

void Proxy::read_output() {
  if (!output_) {
    return;
  }
  const auto line = [this](std::string text, bool) {
    host().log().warning(concat("printed: ", text));
  };
  for (int i = 0; i < kReadsAtOnce; ++i) {
    char block[4096];
    const ssize_t n = ::read(output_.get(), block, sizeof block);
    if (n > 0) {
      lines_.feed({block, static_cast<size_t>(n)}, line);
    } else if (n == 0) {
      lines_.finish(line);
      output_watch_.reset();
      output_.reset();
      return;
    } else if (errno != EINTR) {
      return;
    }
  }
}

}  // namespace backplane::isolation
