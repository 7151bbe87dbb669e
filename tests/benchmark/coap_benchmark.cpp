// SPDX-License-Identifier: Apache-2.0
// What does CoAP through the plugin cost, as a server and as a client, against libcoap alone?
//
// Always two processes on one core, with one thread each that works. Server cases: a raw client
// asks `backplane run` and the raw server in turn. Client cases: a raw server is asked by the
// plugin, in a kernel of this process, and by the raw client. All requests and notifications are
// confirmable; blocks are of 1024 bytes; both servers' answers have an ETag and a Content-Format.
#include "coap_client.hpp"
#include "one_core.hpp"
#include "support/child_process.hpp"
#include "support/free_port.hpp"
#include "support/scratch_folder.hpp"
#include <backplane/sdk/status.hpp>

namespace backplane::benchmark {
namespace {

constexpr std::uint16_t kOutstanding = 8;

struct Case {
  std::string name;
  CoapWork work;
  std::size_t operations;  // in a repetition
  bool has_tail;           // enough of them for _p99 and _p999
  bool is_pipelined;       // also with several outstanding
};

// A server in a process of its own.
class Server {
 public:
  Server(std::uint16_t its_port, std::vector<std::string> command)
      : port(its_port), child_(std::move(command)) {
    const auto is_ready = [this] {
      return (child_.out() + child_.err()).find("ready") != std::string::npos;
    };
    if (!child_.wait_until(is_ready))
      throw std::runtime_error("a CoAP server does not start: " + child_.err());
  }
  const std::uint16_t port;

 private:
  test::ChildProcess child_;
};

std::shared_ptr<Server> raw_server() {
  const std::uint16_t port = test::free_port_base();
  return std::make_shared<Server>(
      port, std::vector<std::string>{BP_BUILD_FOLDER "/bin/backplane-bench-coap-server",
                                     std::to_string(port)});
}

std::shared_ptr<Server> plugin_server() {
  const std::uint16_t port = test::free_port_base();
  const test::ScratchFolder folder;
  const auto manifest = folder.write(
      "server.toml", concat("[instances.server]\nplugin = \"coap\"\nlisten = \"coap://127.0.0.1:",
                            port, "\"\nresources = [\n  { path = \"/value\", initial = \"",
                            kCoapValue, "\" },\n  { path = \"/large\", initial = \"",
                            std::string(kCoapLarge, 'x'), "\" },\n]\n"));
  return std::make_shared<Server>(
      port, std::vector<std::string>{BP_BUILD_FOLDER "/bin/backplane", "run", manifest.string()});
}

// Repetitions of a case by a client of this server. `core` holds them all.
Measure measure(const std::string& prefix, const Case& what, std::shared_ptr<OneCore> core,
                std::shared_ptr<Server> server, std::shared_ptr<CoapClient> client,
                bool counts_allocations) {
  if (what.work.is_notified) client->observe();
  return [=] {
    std::optional<double> allocated;
    const auto rate = [&](std::size_t outstanding, std::vector<std::int64_t>* latencies) {
      const std::int64_t start = now_ns();
      client->run(what.work, what.operations, outstanding, latencies);
      const std::int64_t end = now_ns();
      const auto operations = static_cast<double>(what.operations);
      if (counts_allocations) allocated = static_cast<double>(client->allocated()) / operations;
      return operations * 1e9 / static_cast<double>(end - start);
    };
    std::vector<std::int64_t> latencies;
    latencies.reserve(what.operations);
    const double one_outstanding = rate(1, &latencies);
    std::vector<Metric> metrics = percentiles(prefix, latencies);
    if (!what.has_tail) metrics.resize(1);
    metrics.push_back({prefix + "_rate", one_outstanding, {}});
    for (Metric& metric : metrics) metric.allocations_per_op = allocated;
    if (what.is_pipelined) {
      const double several = rate(kOutstanding, nullptr);
      metrics.push_back(
          {concat(prefix, "_", kOutstanding, "_outstanding_rate"), several, allocated});
    }
    static_cast<void>(core);
    static_cast<void>(server);
    return metrics;
  };
}

Experiment experiment(bool is_server, const Case& what) {
  const std::string prefix = (is_server ? "server_" : "client_") + what.name;
  Experiment out;
  out.name = "coap";
  out.cases = {prefix + "_p50", prefix + "_rate"};
  if (what.has_tail) out.cases.insert(out.cases.end(), {prefix + "_p99", prefix + "_p999"});
  if (what.is_pipelined)
    out.cases.push_back(concat(prefix, "_", kOutstanding, "_outstanding_rate"));
  out.repetitions = 9;
  // Each side has a server of its own: its notifications go to all who observe.
  out.prepare = [=] {
    const auto core = std::make_shared<OneCore>();
    const auto subjects_server = is_server ? plugin_server() : raw_server();
    const auto raw = raw_server();
    const auto subject = is_server ? raw_coap_client(subjects_server->port, kOutstanding)
                                   : plugin_coap_client(subjects_server->port, kOutstanding);
    return std::vector<Side>{
        {"", measure(prefix, what, core, subjects_server, subject, !is_server)},
        {"libcoap_raw",
         measure(prefix, what, core, raw, raw_coap_client(raw->port, kOutstanding), !is_server)}};
  };
  return out;
}

}  // namespace

std::vector<Experiment> coap_experiments() {
  const std::string value(kCoapValue);
  const Case cases[] = {
      {"get", {"value", "", value.size(), false}, 5'000, true, true},
      {"put", {"value", value, 0, false}, 5'000, true, true},
      {"observe", {"value", value, 0, true}, 5'000, true, false},
      {"get_64KiB", {"large", "", kCoapLarge, false}, 200, false, false},
  };
  std::vector<Experiment> out;
  for (const bool is_server : {true, false}) {
    for (const Case& what : cases) out.push_back(experiment(is_server, what));
  }
  return out;
}

}  // namespace backplane::benchmark
