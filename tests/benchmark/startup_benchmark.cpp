// SPDX-License-Identifier: Apache-2.0
// How soon does a system run after exec, how long does the check of a large manifest take, and how
// much memory does an idle system hold beyond the libraries that it uses?
#include "bench.hpp"
#include "support/broker.hpp"
#include "support/free_port.hpp"
#include <backplane/sdk/status.hpp>
#include <backplane/sdk/unique_handle.hpp>

#include <mosquitto.h>

#include <set>

namespace backplane::benchmark {
namespace {

constexpr const char* kBackplane = BP_BUILD_FOLDER "/bin/backplane";

// A subscriber from outside: libmosquitto alone.
class Subscriber {
 public:
  Subscriber(std::uint16_t port, const char* topic) : client_(mosquitto_new(nullptr, true, this)) {
    mosquitto_message_callback_set(client_.get(),
                                   [](mosquitto*, void* self, const mosquitto_message*) {
                                     ++static_cast<Subscriber*>(self)->messages_;
                                   });
    mosquitto_subscribe_callback_set(client_.get(),
                                     [](mosquitto*, void* self, int, int, const int*) {
                                       static_cast<Subscriber*>(self)->is_subscribed_ = true;
                                     });
    mosquitto_connect(client_.get(), "127.0.0.1", port, 60);
    mosquitto_subscribe(client_.get(), nullptr, topic, 0);
    wait([this] { return is_subscribed_; });
  }
  Subscriber(const Subscriber&) = delete;
  Subscriber& operator=(const Subscriber&) = delete;

  void wait_for_another() {
    wait([this, before = messages_] { return messages_ > before; });
  }

 private:
  void wait(const std::function<bool()>& condition) {
    const std::int64_t end = now_ns() + 20'000'000'000;
    while (!condition()) {
      if (now_ns() > end || mosquitto_loop(client_.get(), 1000, 1) != MOSQ_ERR_SUCCESS)
        throw std::runtime_error("startup: the subscriber sees no message");
    }
  }
  UniqueHandle<mosquitto, mosquitto_destroy> client_;
  int messages_ = 0;
  bool is_subscribed_ = false;
};

// A running broker, and a system of a CoAP server, an MQTT client and a route between them.
class Plant {
 public:
  Plant() : subscriber_(broker_.port(), "plant/#") {
    manifest_ = folder_
                    .write("plant.toml",
                           concat("[instances.sensors]\nplugin = \"coap\"\nlisten = "
                                  "\"coap://127.0.0.1:",
                                  test::free_port_base(),
                                  "\"\nresources = [{ path = \"/line1/temperature\", initial = "
                                  "20.0 }]\n[instances.cloud]\nplugin = \"mqtt\"\nurl = \"",
                                  broker_.url(),
                                  "\"\n[[routes]]\nfrom = \"sensors:/line1/temperature\"\nto = "
                                  "\"cloud:plant/line1/temperature\"\n"))
                    .string();
  }

  // From exec to the first message.
  double start(std::unique_ptr<test::ChildProcess>& out) {
    const std::int64_t start = now_ns();
    out = std::make_unique<test::ChildProcess>(
        std::vector<std::string>{kBackplane, "run", manifest_});
    subscriber_.wait_for_another();
    return static_cast<double>(now_ns() - start);
  }

 private:
  test::Broker broker_;
  test::ScratchFolder folder_;
  Subscriber subscriber_;
  std::string manifest_;
};

void stop(test::ChildProcess& process) {
  process.signal(SIGTERM);
  if (process.wait() != 0) throw std::runtime_error("startup: " + process.err());
}

Experiment first_message() {
  const std::string name = "exec_to_first_message_p50";
  Experiment out{"startup", {name}, {}, 11};
  out.prepare = [name] {
    auto plant = std::make_shared<Plant>();
    return std::vector<Side>{{"", [plant, name] {
                                std::unique_ptr<test::ChildProcess> process;
                                const double time = plant->start(process);
                                stop(*process);
                                return std::vector<Metric>{{name, time, {}}};
                              }}};
  };
  return out;
}

std::string manifest_of_routes(int routes) {
  std::string text =
      "[instances.sensors]\nplugin = \"coap\"\nlisten = \"coap://127.0.0.1:5683\"\nresources = [\n";
  for (int i = 0; i < routes; ++i) text += concat("  { path = \"/line", i, "/temperature\" },\n");
  text += "]\n[instances.cloud]\nplugin = \"mqtt\"\nurl = \"mqtt://127.0.0.1:1883\"\n";
  for (int i = 0; i < routes; ++i) {
    text += concat("[[routes]]\nname = \"line", i, "\"\nfrom = \"sensors:/line", i,
                   "/temperature\"\nto = \"cloud:plant/line", i, "/temperature\"\n");
  }
  return text;
}

Experiment check_of_routes() {
  const std::string name = "check_1000_routes_p50";
  Experiment out{"startup", {name}, {}, 11};
  out.prepare = [name] {
    auto folder = std::make_shared<test::ScratchFolder>();
    const std::string manifest = folder->write("routes.toml", manifest_of_routes(1000)).string();
    return std::vector<Side>{
        {"", [folder, manifest, name] {
           const std::int64_t start = now_ns();
           test::ChildProcess process({kBackplane, "check", manifest});
           process.wait_until([] { return false; });  // until it has closed its output: its end
           const std::int64_t end = now_ns();
           if (process.wait() != 0) throw std::runtime_error("startup: " + process.err());
           return std::vector<Metric>{{name, static_cast<double>(end - start), {}}};
         }}};
  };
  return out;
}

// The proportional share of a process in the memory that it uses.
double pss_of(pid_t process) {
  std::ifstream rollup(concat("/proc/", process, "/smaps_rollup"));
  for (std::string word; rollup >> word;) {
    if (word == "Pss:") {
      double kilobytes = 0;
      rollup >> kilobytes;
      return kilobytes * 1024;
    }
  }
  throw std::runtime_error("startup: no Pss in /proc/PID/smaps_rollup");
}

// The shared libraries of a process but for Backplane's own.
std::vector<std::string> libraries_of(pid_t process) {
  std::set<std::string> found;
  std::ifstream maps(concat("/proc/", process, "/maps"));
  for (std::string line; std::getline(maps, line);) {
    const std::size_t path = line.find('/');
    if (path != line.npos && line.find(".so", path) != line.npos &&
        line.find(BP_BUILD_FOLDER, path) != path)
      found.insert(line.substr(path));
  }
  return {found.begin(), found.end()};
}

// Both processes never run at the same time, or they would share the libraries.
Experiment idle_memory() {
  Experiment out{"startup", {"idle_pss_bytes", "idle_pss_added_bytes"}, {}, 5};
  out.prepare = [] {
    auto plant = std::make_shared<Plant>();
    return std::vector<Side>{
        {"", [plant] {
           std::unique_ptr<test::ChildProcess> system;
           plant->start(system);
           const double value = pss_of(system->pid());
           std::vector<std::string> command = libraries_of(system->pid());
           stop(*system);
           command.insert(command.begin(), BP_BUILD_FOLDER "/bin/backplane-bench-idle");
           test::ChildProcess idle(command);
           if (!idle.wait_for_output("ready")) throw std::runtime_error("startup: " + idle.err());
           const double of_libraries = pss_of(idle.pid());
           return std::vector<Metric>{{"idle_pss_bytes", value, {}},
                                      {"idle_pss_added_bytes", value - of_libraries, {}}};
         }}};
  };
  return out;
}

}  // namespace

std::vector<Experiment> startup_experiments() {
  return {first_message(), check_of_routes(), idle_memory()};
}

}  // namespace backplane::benchmark
