// SPDX-License-Identifier: Apache-2.0
// What does OPC UA cost through the kernel and the plugin, against bare open62541? As a client,
// against a server of open62541; as a server, with a client of open62541; without security, and
// with Basic256Sha256 SignAndEncrypt. Each server is a process of its own, and all are on one core.
#include "backplane/sdk/status.hpp"
#include "bench.hpp"
#include "one_core.hpp"
#include "opcua_side.hpp"
#include "support/certificates.hpp"
#include "support/child_process.hpp"
#include "support/free_port.hpp"
#include "support/scratch_folder.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <ctime>
#include <fstream>
#include <malloc.h>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <unistd.h>
#include <utility>

namespace backplane::benchmark {
namespace {

using Make = std::unique_ptr<OpcuaSide> (*)(const OpcuaOptions&);

struct Question {
  std::string prefix;  // of its cases
  OpcuaOptions options;
  unsigned requests;  // in one repetition
  bool is_of_server = false;
  bool is_secured = false;
  bool is_threaded = false;  // bare servers have a second thread, as the plugin's process has
};

// ---- servers ----

class Server {
 public:
  Server(const Question& question, bool is_plugin, unsigned ticking = 0)
      : nodes_(std::max(question.options.nodes, question.options.items)),
        is_threaded_(question.is_threaded) {
    if (question.is_secured) {
      certificates_.application("server", kUri);
      certificates_.application("client", "urn:bench:client");
      for (const std::string& pki : {kServerPki, kClientPki}) {
        const bool is_server = pki == kServerPki;
        folder_.write(pki + "/trusted/peer.der",
                      certificates_.der(is_server ? "client" : "server"));
      }
      security_ = {certificates_.path("client.pem"), certificates_.path("client.key"),
                   (folder_.path() / kClientPki).string()};
    }
    child_ = std::make_unique<test::ChildProcess>(is_plugin ? plugin() : raw(ticking));
    const bool is_ready = child_->wait_until(
        [&] { return (child_->out() + child_->err()).find("ready") != std::string::npos; });
    if (!is_ready) throw std::runtime_error("opcua: the server does not start: " + child_->err());
  }
  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] const OpcuaSecurity& security() const { return security_; }
  // While another is measured: with items, a bare server takes up to a tenth of the core for
  // itself.
  void rest() { child_->signal(SIGSTOP); }
  [[nodiscard]] pid_t pid() const { return child_->pid(); }
  void go_on() { child_->signal(SIGCONT); }

 private:
  static constexpr const char* kUri = "urn:bench:server";
  inline static const std::string kServerPki = "server";
  inline static const std::string kClientPki = "client";

  std::vector<std::string> raw(unsigned ticking) const {
    std::vector<std::string> out = {concat(BP_BUILD_FOLDER, "/bin/backplane-bench-opcua-server"),
                                    std::to_string(port_), std::to_string(nodes_),
                                    std::to_string(ticking), is_threaded_ ? "1" : "0"};
    if (security_.is_secured()) {
      for (const auto& word :
           {std::string("--certificate"), certificates_.path("server.pem"), std::string("--key"),
            certificates_.path("server.key"), std::string("--uri"), std::string(kUri),
            std::string("--policy"), std::string("Basic256Sha256")})
        out.push_back(word);
    }
    return out;
  }
  std::vector<std::string> plugin() const {
    std::string text =
        concat("[instances.main]\nplugin = \"opcua\"\nlisten = \"opc.tcp://127.0.0.1:", port_,
               "\"\nnodes = [\n");
    for (unsigned i = 0; i < nodes_; ++i)
      text += concat("{ id = \"ns=1;s=N", i,
                     "\", type = \"Double\", access = \"read_write\", initial = 0.0 },\n");
    text += "]\n";
    text += security_.is_secured() ? concat("security_policy = \"Basic256Sha256\"\npki = \"",
                                            (folder_.path() / kServerPki).string(),
                                            "\"\ncredentials = \"server\"\n[credentials.server]\n",
                                            certificates_.own("server"))
                                   : std::string("security_mode = \"none\"\n");
    return {concat(BP_BUILD_FOLDER, "/bin/backplane"), "run", "--log-format", "text",
            folder_.write("system.toml", text).string()};
  }

  const unsigned nodes_;
  const bool is_threaded_;
  const std::uint16_t port_ = test::free_port_base();
  test::Certificates certificates_;
  test::ScratchFolder folder_;
  OpcuaSecurity security_;
  std::unique_ptr<test::ChildProcess> child_;
};

// What a side of an experiment holds. Its session ends before the server does.
struct Bed {
  Bed(std::shared_ptr<OneCore> its_core, const Question& question, bool is_plugin_server, Make make,
      unsigned ticking = 0)
      : core(std::move(its_core)), server(question, is_plugin_server, ticking) {
    OpcuaOptions options = question.options;
    options.port = server.port();
    options.security = server.security();
    side = make(options);
  }
  ~Bed() { server.go_on(); }
  Bed(const Bed&) = delete;
  Bed& operator=(const Bed&) = delete;

  std::shared_ptr<OneCore> core;
  Server server;
  std::unique_ptr<OpcuaSide> side;
};

/// The subject and the baseline: of a client's question they differ in the client, else in the
/// server.
std::vector<std::shared_ptr<Bed>> beds(const Question& question, unsigned ticking = 0) {
  const auto core = std::make_shared<OneCore>();
  return {std::make_shared<Bed>(core, question, question.is_of_server,
                                question.is_of_server ? open62541_raw : opcua_plugin, ticking),
          std::make_shared<Bed>(core, question, false, open62541_raw, ticking)};
}

// ---- requests ----

// Keeps `outstanding` reads on their way until all have been answered.
class Reads final : public OpcuaWork {
 public:
  Reads(const Question& question, OpcuaSide& side) : question_(question), side_(side) {
    latencies_.reserve(question.requests);
  }
  void begin() override {
    allocated_ = allocations();
    begin_ns_ = now_ns();
    go_on();
  }
  bool answered() override {
    ++answered_;
    latencies_.push_back(now_ns() - started_ns_);
    if (is_over()) {
      end_ns_ = now_ns();
      allocated_ = allocations() - allocated_;
    }
    go_on();
    return is_over();
  }
  bool notified() override { return false; }
  [[nodiscard]] bool is_over() const override { return answered_ == question_.requests; }

  std::vector<Metric> metrics() {
    std::vector<Metric> out;
    if (question_.options.outstanding == 1) {
      out = percentiles(question_.prefix, latencies_);
    } else {
      out = {{question_.prefix + "_rate",
              question_.requests * 1e9 / static_cast<double>(end_ns_ - begin_ns_),
              {}}};
    }
    for (Metric& metric : out)
      metric.allocations_per_op = static_cast<double>(allocated_) / question_.requests;
    return out;
  }

 private:
  void go_on() {
    while (started_ < question_.requests && started_ - answered_ < question_.options.outstanding) {
      ++started_;
      started_ns_ = now_ns();
      side_.read();
    }
  }

  const Question& question_;
  OpcuaSide& side_;
  unsigned started_ = 0;
  unsigned answered_ = 0;
  std::int64_t started_ns_ = 0;
  std::int64_t begin_ns_ = 0;
  std::int64_t end_ns_ = 0;
  std::uint64_t allocated_ = 0;
  std::vector<std::int64_t> latencies_;  // with one outstanding
};

Experiment reads(const Question& question) {
  Experiment out;
  out.name = "opcua";
  out.repetitions = 5;
  out.preparations = 3;
  out.cases = question.options.outstanding == 1
                  ? std::vector{question.prefix + "_p50", question.prefix + "_p99",
                                question.prefix + "_p999"}
                  : std::vector{question.prefix + "_rate"};
  out.prepare = [question] {
    const auto measure = [question](std::shared_ptr<Bed> bed) {
      return [question, bed] {
        Reads work(question, *bed->side);
        bed->side->run(work);
        return work.metrics();
      };
    };
    const auto both = beds(question);
    return std::vector<Side>{{"", measure(both[0])}, {"open62541_raw", measure(both[1])}};
  };
  return out;
}

// ---- notifications ----

// Rounds of changes of all items, of which `outstanding` may be untold: so many values fit into the
// queue of an item. What is done for each value is a count, and no more: it would be measured.
class Changes final : public OpcuaWork {
 public:
  Changes(const Question& question, OpcuaSide& side) : question_(question), side_(side) {}
  void begin() override {
    begin_ns_ = now_ns();
    go_on();
  }
  bool answered() override {
    ++answered_;
    return end();
  }
  bool notified() override {
    if (++told_ < question_.options.items) return false;
    told_ = 0;
    ++rounds_;
    go_on();
    return end();
  }
  [[nodiscard]] bool is_over() const override { return end_ns_ != 0; }
  std::vector<Metric> metrics() const {
    return {{question_.prefix + "_rate",
             static_cast<double>(rounds_ * question_.options.items) * 1e9 /
                 static_cast<double>(end_ns_ - begin_ns_),
             {}}};
  }

 private:
  void go_on() {
    while (started_ < question_.requests && started_ - rounds_ < question_.options.outstanding) {
      ++started_;
      side_.write();
    }
  }
  bool end() {
    if (answered_ == question_.requests && rounds_ >= question_.requests) end_ns_ = now_ns();
    return is_over();
  }

  const Question& question_;
  OpcuaSide& side_;
  std::uint64_t started_ = 0;
  std::uint64_t answered_ = 0;
  std::uint64_t rounds_ = 0;  // that were told
  unsigned told_ = 0;         // values of the next
  std::int64_t begin_ns_ = 0;
  std::int64_t end_ns_ = 0;
};

Experiment notifications(const Question& question) {
  Experiment out;
  out.name = "opcua";
  out.repetitions = 3;
  out.preparations = 15;
  out.cases = {question.prefix + "_rate"};
  out.prepare = [question] {
    const auto measure = [question](std::shared_ptr<Bed> bed) {
      bed->side->watch();
      bed->server.rest();
      return [question, bed] {
        bed->server.go_on();
        Changes work(question, *bed->side);
        bed->side->run(work);
        bed->server.rest();
        return work.metrics();
      };
    };
    const auto both = beds(question);
    return std::vector<Side>{{"", measure(both[0])}, {"open62541_raw", measure(both[1])}};
  };
  return out;
}

// ---- many items that change once a second ----

std::int64_t cpu_ns() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

// What is allocated: in the arenas of all threads, and by mapping.
double heap_bytes() {
  const struct mallinfo2 info = mallinfo2();
  return static_cast<double>(info.uordblks + info.hblkhd);
}

// The same, once nothing of what was before is freed any more, which a loop does when it comes to
// it.
double settled_heap_bytes() {
  double bytes = heap_bytes();
  for (int i = 0; i < 100; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    if (const double before = std::exchange(bytes, heap_bytes()); before == bytes) break;
  }
  return bytes;
}

// Of another process, user and system: the times 14 and 15 of its line, in ticks of the clock.
std::int64_t cpu_ns(pid_t process) {
  std::ifstream in(concat("/proc/", process, "/stat"));
  std::string line;
  std::getline(in, line);
  std::istringstream fields(line.substr(line.rfind(')') + 2));  // its name may have spaces
  std::string skipped;
  for (int i = 3; i < 14; ++i) fields >> skipped;
  std::int64_t user = 0;
  std::int64_t system = 0;
  fields >> user >> system;
  return (user + system) * (1'000'000'000 / sysconf(_SC_CLK_TCK));
}

// What it has written to and nobody else has.
double private_bytes(pid_t process) {
  std::ifstream in(concat("/proc/", process, "/smaps_rollup"));
  for (std::string word; in >> word;) {
    double kilobytes = 0;
    if (word == "Private_Dirty:" && in >> kilobytes) return kilobytes * 1024;
  }
  throw std::runtime_error("opcua: no memory is told of a server");
}

// Those of a server: its client writes all of them, and is told so within the second.
Experiment many_items_of_server(const Question& question) {
  Experiment out;
  out.name = "opcua";
  out.repetitions = 1;
  out.preparations = 3;
  out.cases = {question.prefix + "_bytes", question.prefix + "_cpu_per_s"};
  out.prepare = [question] {
    const auto measure = [question](std::shared_ptr<Bed> bed) {
      bed->server.rest();
      // Of the first time: memory that was given back is used again.
      return [question, bed, bytes = std::optional<double>()]() mutable {
        bed->server.go_on();
        const pid_t server = bed->server.pid();
        const double before = private_bytes(server);
        bed->side->watch();
        if (!bytes) bytes = private_bytes(server) - before;
        const std::int64_t begin_ns = now_ns();
        const std::int64_t begin = cpu_ns(server);
        Changes work(question, *bed->side);
        bed->side->run(work);
        const std::int64_t used = cpu_ns(server) - begin;
        const double seconds = static_cast<double>(now_ns() - begin_ns) / 1e9;
        bed->side->leave();
        bed->server.rest();
        return std::vector<Metric>{
            {question.prefix + "_bytes", *bytes, {}},
            {question.prefix + "_cpu_per_s", static_cast<double>(used) / seconds, {}}};
      };
    };
    const auto both = beds(question);
    return std::vector<Side>{{"", measure(both[0])}, {"open62541_raw", measure(both[1])}};
  };
  return out;
}

Experiment many_items(const Question& question) {
  constexpr double kSeconds = 3;
  Experiment out;
  out.name = "opcua";
  out.cases = {question.prefix + "_bytes", question.prefix + "_cpu_per_s"};
  out.prepare = [question] {
    const auto measure = [question](std::shared_ptr<Bed> bed) {
      return [question, bed] {
        const double before = settled_heap_bytes();
        bed->side->watch();
        const double with = heap_bytes();
        const std::int64_t begin = cpu_ns();
        const std::uint64_t told = bed->side->idle(kSeconds);
        const std::int64_t used = cpu_ns() - begin;
        if (told < std::uint64_t{2} * question.options.items)
          throw std::runtime_error("opcua: the items do not change once a second");
        bed->side->leave();
        return std::vector<Metric>{
            {question.prefix + "_bytes", with - before, {}},
            {question.prefix + "_cpu_per_s", static_cast<double>(used) / kSeconds, {}}};
      };
    };
    const auto both = beds(question, question.options.items);
    return std::vector<Side>{{"", measure(both[0])}, {"open62541_raw", measure(both[1])}};
  };
  return out;
}

}  // namespace

std::vector<Experiment> opcua_experiments() {
  std::vector<Experiment> out;
  for (const bool is_of_server : {false, true}) {
    for (const bool is_secured : {false, true}) {
      const std::string prefix = is_of_server ? "server_" : "client_";
      const std::string suffix = is_secured ? "_secured" : "";
      const auto question = [&](const std::string& name, const OpcuaOptions& options,
                                unsigned requests) {
        return Question{prefix + name + suffix, options, requests, is_of_server, is_secured};
      };
      out.push_back(reads(question("read", {}, 4'000)));
      out.push_back(reads(question("read_100_nodes", {.nodes = 100}, 1'000)));
      if (!is_of_server)
        out.push_back(reads(question("read_100_each", {.nodes = 100, .is_each = true}, 1'000)));
      out.push_back(reads(question("read_outstanding64", {.outstanding = 64}, 20'000)));
      const OpcuaOptions changes{.nodes = is_of_server ? 1'000U : 1U,
                                 .outstanding = 8,
                                 .writes_nodes = is_of_server,
                                 .items = 1'000};
      // So many that the ten milliseconds of a publishing interval do not decide.
      constexpr unsigned kRounds = 400;
      out.push_back(notifications(question("notifications", changes, kRounds)));
      if (!is_of_server) {
        OpcuaOptions each = changes;
        each.is_each = true;
        out.push_back(notifications(question("notifications_each", each, kRounds)));
      }
      if (is_of_server) {
        Question threaded = question("notifications_threaded", changes, kRounds);
        threaded.is_threaded = true;
        out.push_back(notifications(threaded));
      }
    }
  }
  out.push_back(many_items_of_server({"server_items_10000",
                                      {.nodes = 10'000,
                                       .writes_nodes = true,
                                       .items = 10'000,
                                       .sampling_ms = 1'000,
                                       .publishing_ms = 1'000},
                                      5,
                                      true}));
  for (const bool is_each : {false, true}) {
    const OpcuaOptions items{
        .is_each = is_each, .items = 10'000, .sampling_ms = 1'000, .publishing_ms = 1'000};
    out.push_back(
        many_items({is_each ? "client_items_10000_each" : "client_items_10000", items, 0}));
  }
  return out;
}

}  // namespace backplane::benchmark
