// SPDX-License-Identifier: Apache-2.0
// backplane run: a daemon in the foreground.
//
// Design notes. The main thread waits for signals and tells the service manager how the instances
// are; it touches nothing else until the end. The watchdog is fed by a timer of the kernel's loop,
// so that a loop that hangs is seen.
#include "commands.hpp"
#include "diagnostics.hpp"
#include "exit_code.hpp"
#include "kernel_options.hpp"
#include "log.hpp"
#include "signals.hpp"
#include "systemd.hpp"

#include <CLI/CLI.hpp>

namespace backplane::cli {
namespace {

struct Options {
  std::string file;
  std::string log_level;
  std::string log_format = "auto";
};

constexpr auto kLook = std::chrono::seconds(1);

/// "6 of 7 instances are well; cloud: connection refused, next try in 2 s"
std::string describe(const Kernel& kernel) {
  size_t all = 0;
  size_t well = 0;
  std::string trouble;
  for (const InstanceInfo& instance : kernel.instances()) {
    ++all;
    const bool is_well = instance.life == BP_LIFE_STARTED &&
                         (instance.state == BP_STATE_UP || instance.state == BP_STATE_IDLE);
    well += is_well ? 1u : 0u;
    if (!is_well && trouble.empty()) {
      trouble = concat("; ", instance.name, ": ", instance.detail);
    }
  }
  return concat(well, " of ", all, " instances are well", trouble);
}

/// Tells the service manager that the loop answers, as often as it asks for it.
class Watchdog {
 public:
  Watchdog(const Kernel& kernel, std::chrono::nanoseconds period)
      : timer_(kernel.host(), [this, period] {
          systemd::alive();
          timer_.after(period).or_throw();
        }) {
    timer_.after(std::chrono::nanoseconds(0)).or_throw();
  }

 private:
  Timer timer_;
};

/// Until SIGINT or SIGTERM.
void serve(const Kernel& kernel, const Signals& signals, const Log& log) {
  std::string told;
  for (;;) {
    const auto signal = signals.wait(kLook);
    if (signal && *signal != SIGHUP) {
      log.write(BP_LOG_INFO, concat(*signal == SIGTERM ? "SIGTERM" : "SIGINT", ": stopping"));
      return;
    }
    if (signal) {
      log.write(BP_LOG_WARNING,
                "SIGHUP: a running system cannot read its manifest again; restart it instead");
    }
    if (std::string now = describe(kernel); now != told) {
      systemd::status(now);
      told = std::move(now);
    }
  }
}

int run(const Options& options, const Commands& commands) {
  Signals signals;
  const Log log(log_format(options.log_format));
  KernelOptions kernel_options = cli::kernel_options(commands);
  kernel_options.log_level = log_level(options.log_level);  // 0: as the manifest says
  kernel_options.log = [&log](const LogRecord& record) { log.write(record); };

  Kernel kernel = Kernel::create(std::move(kernel_options)).value();
  if (!load_and_print(kernel, options.file)) {
    return kRefused;
  }
  if (const Status status = kernel.start(); status.is_error()) {
    log.write(BP_LOG_ERROR, concat("not started: ", status.to_string()));
    return exit_code(status);
  }
  {
    std::optional<Watchdog> watchdog;
    if (const auto period = systemd::watchdog_period()) {
      watchdog.emplace(kernel, *period);
    }
    systemd::ready(describe(kernel));
    log.write(BP_LOG_INFO, concat("ready: ", describe(kernel)));
    serve(kernel, signals, log);
    systemd::stopping("finishing what is under way");
    signals.end_at_next();
    if (const Status status = kernel.stop(); status.is_error()) {
      log.write(BP_LOG_ERROR, concat("not stopped cleanly: ", status.to_string()));
      return kRefused;
    }
  }
  log.write(BP_LOG_INFO, "stopped");
  return kDone;
}

}  // namespace

void add_run(CLI::App& app, Commands& commands) {
  auto options = std::make_shared<Options>();
  CLI::App* sub = app.add_subcommand("run", "Run the system of a manifest until SIGTERM or Ctrl-C");
  sub->add_option("file", options->file, "The system manifest; its drop-in folder is FILE.d")
      ->type_name("FILE")
      ->required();
  sub->add_option("--log-level", options->log_level, "Instead of the manifest's")
      ->check(CLI::IsMember({"error", "warning", "info", "debug", "trace"}));
  sub->add_option("--log-format", options->log_format,
                  "auto is the journal if it reads standard error, else text")
      ->check(CLI::IsMember({"auto", "text", "json", "journal"}))
      ->capture_default_str();
  sub->footer(R"(Examples:
  backplane run plant.toml
  backplane run --log-format json --log-level debug plant.toml 2>log.jsonl

SIGTERM and SIGINT finish what is under way and stop; a second one ends at once. Under systemd use
Type=notify; WatchdogSec= watches the event loop.
Exit codes: 0 stopped, 1 errors in the manifest or a plugin refused, 3 something needed is not there.)");
  sub->callback([options, &commands] {
    commands.chosen = [options, &commands] { return run(*options, commands); };
  });
}

}  // namespace backplane::cli
