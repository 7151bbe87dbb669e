// SPDX-License-Identifier: Apache-2.0
// backplane demo: runs the plant, shows it from outside, and gives account of every message.
//
// Design notes. The main thread waits for signals and draws; all else happens on the two kernels'
// threads. The order at the end: look at the sources no more and catch up (the subscriber hears
// what came from them), drain the plant (nothing new, but the broker lives), catch up with the last
// of it, stop, reckon everything.
#include "commands.hpp"
#include "demo_accounts.hpp"
#include "demo_ports.hpp"
#include "demo_table.hpp"
#include "demo_witness.hpp"
#include "exit_code.hpp"
#include "kernel_options.hpp"
#include "log.hpp"
#include "shared_files.hpp"
#include "signals.hpp"
#include <backplane/sdk/kernel.hpp>

#include <CLI/CLI.hpp>
#include <toml++/toml.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <sstream>
#include <unistd.h>

namespace backplane::cli {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kReadyWithin = seconds(20);
constexpr auto kCatchUpWithin = seconds(15);  // a broker may be on its way back
constexpr size_t kShownRecords = 4;

struct Options {
  double seconds = 0;
  uint16_t port_base = 0;
  std::string log_level = "warning";
  bool isolated = false;

  DemoPorts ports() const { return port_base != 0 ? DemoPorts::from_base(port_base) : DemoPorts(); }
};

/// Why the demo failed: the text after `demo: FAILED: `.
struct Failure {
  std::string why;
};

/// Holds the broker's state; gone with the demo.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string name = std::filesystem::temp_directory_path() / "backplane-demo-XXXXXX";
    if (mkdtemp(name.data()) == nullptr) {
      throw Failure{"no folder can be made in " + std::filesystem::temp_directory_path().string() +
                    "; set TMPDIR to another"};
    }
    path_ = name;
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// The latest log records: below the table of a terminal, else on standard error.
class Records {
 public:
  Records(bool terminal, uint32_t level) : terminal_(terminal), level_(level) {}

  std::vector<std::string> latest() {
    const auto lines = lines_.lock();
    return {lines->begin(), lines->end()};
  }
  void add(const LogRecord& record) noexcept {
    if (!terminal_) {
      if (record.level <= level_) {
        log_.write(record);
      }
      return;
    }
    try {
      const auto lines = lines_.lock();
      lines->push_back(concat("  ", log_level_name(record.level), ": ", log_text(record)));
      if (lines->size() > kShownRecords) {
        lines->pop_front();
      }
    } catch (const std::exception&) {  // no memory: the table lacks a line
    }
  }

 private:
  const bool terminal_;
  const uint32_t level_;
  Log log_{LogFormat::kText};
  Guarded<std::deque<std::string>> lines_;
};

/// The plant with the plugins that speak to others in processes of their own.
std::string isolated(const std::filesystem::path& file) {
  toml::table plant = toml::parse_file(file.string());
  for (auto&& [name, instance] : *plant["instances"].as_table()) {
    toml::table& keys = *instance.as_table();
    if (keys["plugin"] == "coap" || keys["plugin"] == "opcua" || keys["plugin"] == "mqtt") {
      keys.insert("isolation", "process");
    }
  }
  std::ostringstream text;
  text << toml::toml_formatter{plant, toml::format_flags::none};
  return text.str();
}

class Demo {
 public:
  Demo(const Options& options, const Commands& commands, Signals& signals)
      : options_(options),
        signals_(signals),
        terminal_(isatty(STDOUT_FILENO) == 1),
        records_(terminal_, log_level(options.log_level)),
        table_(terminal_),
        kernel_options_(kernel_options(commands)) {
    kernel_options_.log = [this](const LogRecord& record) { records_.add(record); };
  }

  /// The text after `demo: ok: `. Throws Failure or Error.
  std::string run() {
    const DemoPorts ports = options_.ports();
    check_free(ports).or_throw();
    const auto folder = shared_folder("plant");
    setenv("PLANT_FOLDER", folder.c_str(), 1);
    setenv("PLANT_STATE", scratch_.path().c_str(), 1);
    setenv("PLANT_COAP_PORT", std::to_string(ports.coap).c_str(), 1);
    setenv("PLANT_MQTT_PORT", std::to_string(ports.mqtt).c_str(), 1);
    setenv("PLANT_OPCUA_PORT", std::to_string(ports.opcua).c_str(), 1);

    Kernel plant = Kernel::create(kernel_options_).value();
    const std::string file = folder / "plant.toml";
    (options_.isolated ? plant.load_text(file, isolated(file)) : plant.load(file)).or_throw();
    plant.start().or_throw();
    Witness witness(plant, kernel_options_, concat("mqtt://127.0.0.1:", ports.mqtt),
                    concat("opc.tcp://127.0.0.1:", ports.opcua));
    if (wait_until_ready(plant, witness)) {
      std::cout << "demo: ready: coap://127.0.0.1:" << ports.coap
                << " to opc.tcp://127.0.0.1:" << ports.opcua
                << " to mqtt://127.0.0.1:" << ports.mqtt << std::endl;
      show_until_stopped(plant, witness);
    }
    return finish(plant, witness);
  }

 private:
  /// False: somebody wants it to end before.
  bool wait_until_ready(Kernel& plant, Witness& witness) {
    const Clock::time_point begin = Clock::now();
    while (!witness.take_baselines()) {
      if (Clock::now() > begin + kReadyWithin) {
        const auto missing = failed_instance(plant);
        throw Failure{missing
                          ? *missing
                          : concat("nothing reached the subscriber within ", kReadyWithin.count(),
                                   " s; ", to_text(sum(read_accounts(plant))))};
      }
      if (asked_to_stop(milliseconds(5))) {
        return false;
      }
    }
    return true;
  }

  void show_until_stopped(Kernel& plant, Witness& witness) {
    const Clock::time_point begin = Clock::now();
    const auto limit = std::chrono::duration<double>(options_.seconds);
    for (Clock::time_point next = begin;; next += table_.period()) {
      const auto left =
          std::chrono::duration_cast<std::chrono::nanoseconds>(limit) - (Clock::now() - begin);
      if (options_.seconds > 0 && left <= left.zero()) {
        return;
      }
      witness.take_baselines();
      show(plant, witness, Clock::now() - begin);
      auto pause = std::chrono::nanoseconds(next + table_.period() - Clock::now());
      pause = options_.seconds > 0 ? std::min(pause, left) : pause;
      if (asked_to_stop(pause)) {
        return;
      }
    }
  }

  void show(Kernel& plant, const Witness& witness, Clock::duration up) {
    const DemoPorts ports = options_.ports();
    const std::vector<Account> accounts = read_accounts(plant);
    DemoTable::Content content;
    content.title =
        concat("plant: coap:", ports.coap, " -> opc.tcp:", ports.opcua, " -> mqtt:", ports.mqtt,
               " of 127.0.0.1, up ", std::chrono::duration_cast<seconds>(up).count(), " s");
    content.signals = witness.signals();
    content.totals = concat(messages(accounts), " messages, ", to_text(sum(accounts)));
    content.notes = {
        "",
        concat("  coap-client-openssl -m put -e 42.5 coap://127.0.0.1:", ports.coap,
               "/line1/temperature"),
        concat("  backplane watch 'opc.tcp://127.0.0.1:", ports.opcua,
               "/ns=1;s=Line1.Temperature'"),
        concat("  mosquitto_sub -p ", ports.mqtt, " -t 'plant/#' -v"),
        concat("  mosquitto_pub -p ", ports.mqtt, " -q 1 -t plant/tank1/valve/set -m 1"),
        "  Ctrl-C ends it",
    };
    const auto records = records_.latest();
    content.notes.insert(content.notes.end(), records.begin(), records.end());
    table_.show(content);
  }

  std::string finish(Kernel& plant, Witness& witness) {
    table_.finish();
    signals_.end_at_next();
    std::optional<std::string> why = failed_instance(plant);
    witness.take_baselines();
    witness.leave_sources();
    catch_up(plant, witness);
    const Status drained = plant.drain();
    catch_up(plant, witness);
    const Status stopped = plant.stop();

    const std::vector<Account> accounts = read_accounts(plant);
    const Account total = sum(accounts);
    const std::string reckoning = to_text(total);
    for (const Status& status : {drained, stopped}) {
      if (!why && status.is_error()) {
        why = concat("the plant did not end cleanly: ", status.to_string());
      }
    }
    for (const Account& account : accounts) {
      if (!why && !account.balances()) {
        why = concat("route ", account.route, " to ", account.destination,
                     " does not balance: ", to_text(account));
      }
    }
    if (!why && total.out == 0) {
      why = concat("no message was acknowledged: ", reckoning);
    }
    if (!why) {
      why = witness.missing(accounts);
    }
    if (why) {
      throw Failure{*why};
    }
    return concat(messages(accounts), " messages, ", reckoning);
  }

  /// Waits until the subscriber has received what is acknowledged, as long as that may take.
  static void catch_up(const Kernel& plant, const Witness& witness) {
    const Clock::time_point end = Clock::now() + kCatchUpWithin;
    while (witness.missing(read_accounts(plant)) && Clock::now() < end) {
      std::this_thread::sleep_for(milliseconds(5));
    }
  }

  bool asked_to_stop(std::chrono::nanoseconds within) {
    const auto signal = signals_.wait(within);
    return signal && *signal != SIGHUP;
  }

  static std::optional<std::string> failed_instance(const Kernel& plant) {
    for (const InstanceInfo& instance : plant.instances()) {
      if (instance.life == BP_LIFE_FAILED || instance.life == BP_LIFE_QUARANTINED) {
        return concat("instance '", instance.name, "' failed: ", instance.detail);
      }
    }
    return std::nullopt;
  }

  const Options options_;
  Signals& signals_;
  const bool terminal_;
  ScratchFolder scratch_;
  Records records_;
  DemoTable table_;
  KernelOptions kernel_options_;
};

int run_demo(const Options& options, const Commands& commands) {
  Signals signals;
  std::string why;
  try {
    const std::string result = Demo(options, commands, signals).run();
    std::cout << "demo: ok: " << result << std::endl;
    return kDone;
  } catch (const Failure& failure) {
    why = failure.why;
  } catch (const Error& error) {
    why = error.status().message().empty() ? error.what() : error.status().message();
  } catch (const std::exception& error) {
    why = error.what();
  }
  std::cout << "demo: FAILED: " << why << std::endl;
  return kRefused;
}

}  // namespace

void add_demo(CLI::App& app, Commands& commands) {
  auto options = std::make_shared<Options>();
  CLI::App* sub =
      app.add_subcommand("demo", "Run a small plant and show it: CoAP to OPC UA to MQTT, and back");
  sub->add_option("--seconds", options->seconds, "End by itself so long after it is ready")
      ->type_name("N")
      ->check(CLI::Range(0.0, 1e9));
  sub->add_option("--port-base", options->port_base,
                  "CoAP on UDP port N, MQTT on TCP port N+1 and OPC UA on N+2 of 127.0.0.1, not "
                  "5683, 1883 and 4840")
      ->type_name("N")
      ->check(CLI::Range(1, 65533));
  sub->add_flag(
      "--isolated", options->isolated,
      "CoAP, OPC UA and MQTT in processes of their own, backplane-host: kill one and see");
  sub->add_option("--log-level", options->log_level, "What is logged beside the table")
      ->check(CLI::IsMember({"error", "warning", "info", "debug", "trace"}))
      ->capture_default_str();
  sub->footer(R"(Examples:
  backplane demo
  backplane demo --seconds 20 --port-base 17400

While it runs:
  coap-client-openssl -m put -e 42.5 coap://127.0.0.1/line1/temperature
  backplane watch 'opc.tcp://127.0.0.1/ns=1;s=Line1.Temperature'
  mosquitto_sub -t 'plant/#' -v
  mosquitto_pub -q 1 -t plant/tank1/valve/set -m 1

Its last line is `demo: ok: ...` (exit code 0) or `demo: FAILED: why` (exit code 1).)");
  sub->callback([options, &commands] {
    commands.chosen = [options, &commands] { return run_demo(*options, commands); };
  });
}

}  // namespace backplane::cli
