// SPDX-License-Identifier: Apache-2.0
#include "exit_code.hpp"
#include "message_text.hpp"
#include "peek.hpp"
#include "signals.hpp"

#include <condition_variable>
#include <deque>
#include <iostream>

namespace backplane::cli {
namespace {

using Clock = std::chrono::steady_clock;

// The most messages that wait for being printed. The source's thread never waits for a slow pipe.
constexpr uint32_t kWindow = 256;
constexpr auto kSignalLook = std::chrono::milliseconds(50);  // how often it looks for a signal

/// From the source's thread to the one that prints.
class Inbox {
 public:
  void put(MessageView message) {
    OwnedMessage kept(message);
    const std::lock_guard lock(mutex_);
    messages_.push_back(std::move(kept));
    changed_.notify_one();
  }
  void end(const Status& status) {
    const std::lock_guard lock(mutex_);
    outcome_ = status;
    changed_.notify_one();
  }
  std::optional<OwnedMessage> take(std::chrono::nanoseconds within) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, within, [this] { return !messages_.empty() || outcome_; });
    if (messages_.empty()) {
      return std::nullopt;
    }
    OwnedMessage message = std::move(messages_.front());
    messages_.pop_front();
    return message;
  }
  /// How the stream ended, once all its messages are taken.
  std::optional<Status> outcome() {
    const std::lock_guard lock(mutex_);
    return messages_.empty() ? outcome_ : std::nullopt;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<OwnedMessage> messages_;  // guarded by mutex_, kWindow at most by credit
  std::optional<Status> outcome_;      // guarded by mutex_
};

/// Says at the end, however it comes, what was lost: a source does not wait for a slow pipe.
class Losses {
 public:
  explicit Losses(const Peek& peek) : peek_(peek) {}
  Losses(const Losses&) = delete;
  Losses& operator=(const Losses&) = delete;
  ~Losses() {
    if (const int64_t dropped = peek_.dropped(); dropped > 0) {
      std::cerr << "backplane: warning: " << dropped
                << " messages were dropped: they came faster than they were printed, or were too "
                   "large\n";
    }
  }

 private:
  const Peek& peek_;
};

int watch(const PeekOptions& options, const Commands& commands) {
  const Signals signals;
  const Clock::time_point begin = Clock::now();
  Inbox inbox;  // outlives the kernel
  const Peek peek(options, commands);
  const Losses losses(peek);
  MessageBuilder in;
  peek.add_headers(in);

  WatchOptions how;
  how.credit = options.count == 0
                   ? kWindow
                   : static_cast<uint32_t>(std::min<uint64_t>(kWindow, options.count));
  how.headers = MessageView(in).headers();
  how.on_end = [&inbox](const Status& status) { inbox.end(status); };
  uint64_t granted = how.credit;
  uint64_t printed = 0;
  const auto subscription =
      peek.endpoint().watch([&inbox](MessageView message) { inbox.put(message); }, how);
  if (!subscription) {
    throw peek.failure("watch", subscription.status());
  }
  for (;;) {
    if (const auto signal = signals.wait(std::chrono::nanoseconds(0));
        signal && *signal != SIGHUP) {
      return kDone;
    }
    if (const auto message = inbox.take(kSignalLook)) {
      if (!print_line(options.full ? message_text(*message) : body_text(message->body())) ||
          ++printed == options.count) {
        return kDone;
      }
      if (options.count == 0 || granted < options.count) {
        ++granted;
        subscription->credit(1);
      }
    } else if (const auto outcome = inbox.outcome()) {
      if (outcome->is_error()) {
        throw peek.failure("watch", *outcome);
      }
      return printed < options.count ? kRefused : kDone;
    }
    if (const auto timeout = options.timeout(); timeout && Clock::now() - begin > *timeout) {
      if (options.count == 0 && printed > 0) {
        return kDone;
      }
      Peek::Stop stop = peek.failure("watch", Status(BP_DEADLINE_EXCEEDED));
      stop.why += concat("; ", printed, " messages came");
      throw stop;
    }
  }
}

}  // namespace

void add_watch(CLI::App& app, Commands& commands) {
  auto options = std::make_shared<PeekOptions>();
  options->timeout_s = 0;
  CLI::App* sub =
      app.add_subcommand("watch", "Print each change of an address, a line of JSON each");
  add_peek_options(*sub, *options);
  sub->add_option("--count", options->count, "End after N messages")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  sub->add_flag("-f,--full", options->full, "Print path, time and headers too, as an object");
  sub->add_option("--qos", options->qos, "0, 1 or 2 (MQTT)")->check(CLI::Range(0, 2));
  sub->footer(R"(Examples:
  backplane watch coap://127.0.0.1/line1/temperature
  backplane watch --full 'mqtt://127.0.0.1/plant/#'
  backplane watch --count 3 --timeout 10 mqtt://127.0.0.1/plant/line1/temperature

It goes on until Ctrl-C, --count or --timeout. Fewer than --count messages in time: exit code 3.
Messages that come faster than they are read are dropped; their number is told on standard error.)");
  sub->callback([options, &commands] {
    commands.chosen = [options, &commands] {
      return run_peek([&] { return watch(*options, commands); });
    };
  });
}

}  // namespace backplane::cli
