// SPDX-License-Identifier: Apache-2.0
// The command as scripts and people use it: the real binary in child processes.
#include "support/broker.hpp"
#include "support/child_process.hpp"
#include "support/free_port.hpp"
#include "support/scratch_folder.hpp"
#include <backplane/version.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fstream>
#include <sstream>
#include <sys/stat.h>
#include <sys/un.h>

namespace backplane::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

const std::string kBackplane = BP_TEST_BUILD_DIR "/bin/backplane";

std::vector<std::string> command(std::vector<std::string> args) {
  args.insert(args.begin(), kBackplane);
  return args;
}

struct Result {
  int code;
  std::string out;
  std::string err;
};

Result run(std::vector<std::string> args) {
  ChildProcess child(command(std::move(args)));
  const int code = child.wait();
  return {code, child.out(), child.err()};
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    lines.push_back(line);
  }
  return lines;
}

/// A CoAP server in a `backplane run` of its own.
class ARunningSystem : public testing::Test {
 protected:
  ARunningSystem() {
    system_.emplace(command({"run", manifest_}));
    EXPECT_TRUE(wait_for_log("ready")) << system_->err();
  }

  bool wait_for_log(const std::string& text) {
    return system_->wait_until([&] { return system_->err().find(text) != std::string::npos; });
  }
  std::string url(const std::string& path) const {
    return "coap://127.0.0.1:" + std::to_string(port_) + path;
  }

  ScratchFolder folder_;
  const uint16_t port_ = free_port_base();
  const std::string manifest_ = folder_.write("system.toml",
                                              R"([system]
name = "test"

[instances.sensors]
plugin    = "coap"
listen    = "coap://127.0.0.1:)" + std::to_string(port_) +
                                                  R"("
resources = [
  { path = "/temperature", initial = 20.5, title = "in the hall" },
  { path = "/note", initial = "hello" },
]
)");
  std::optional<ChildProcess> system_;
};

// --- the command line ----------------------------------------------------------------------------

TEST(TheCommand, SaysItsVersion) {
  const Result result = run({"--version"});
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.out, "backplane " BP_VERSION_STRING "\n");
}

TEST(TheCommand, CallsAMistakeInItsUseByExitCode2) {
  EXPECT_EQ(run({}).code, 2);
  EXPECT_EQ(run({"rum"}).code, 2);
  EXPECT_EQ(run({"check"}).code, 2);
  EXPECT_EQ(run({"check", "--colour", "x.toml"}).code, 2);
  EXPECT_EQ(run({"demo", "--port-base", "70000"}).code, 2);
  EXPECT_EQ(run({"read", "no address"}).code, 2);
  EXPECT_EQ(run({"read", "sensors:/temperature"}).code, 2) << "an instance needs -m";
  EXPECT_EQ(run({"watch", "--count", "-1", "coap://127.0.0.1/x"}).code, 2);
  EXPECT_EQ(run({"write", "--header", "qos=2", "format://json/encode", "1"}).code, 2) << "--qos 2";
}

class TheHelpOf : public testing::TestWithParam<const char*> {};

TEST_P(TheHelpOf, ShowsExamples) {
  const Result result = run({GetParam(), "--help"});
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.out, HasSubstr("Examples:\n  "));
}

INSTANTIATE_TEST_SUITE_P(ASubcommand, TheHelpOf,
                         testing::Values("run", "check", "plugins", "read", "write", "call",
                                         "watch", "browse", "cert", "key", "demo", "completion"),
                         [](const auto& each) { return std::string(each.param); });

TEST(TheCommand, CompletesItsOwnOptions) {
  const Result script = run({"completion"});
  ASSERT_EQ(script.code, 0);
  ChildProcess bash({"bash", "-c",
                     script.out + "COMP_WORDS=(backplane demo --por); COMP_CWORD=2; _backplane; "
                                  "echo \"${COMPREPLY[*]}\""});
  EXPECT_EQ(bash.wait(), 0) << bash.err();
  EXPECT_EQ(bash.out(), "--port-base\n");
}

// --- check, plugins ------------------------------------------------------------------------------

TEST(Check, IsSilentAboutNothingButTheFileWhenAllIsWell) {
  const ScratchFolder folder;
  const std::string file = folder.write("system.toml", "[system]\nname = \"empty\"\n");
  const Result result = run({"check", file});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, file + ": ok\n");
  EXPECT_EQ(result.err, "");
}

TEST(Check, PrintsEachMistakeWithItsPlaceInOnePass) {
  const ScratchFolder folder;
  const std::string file = folder.write("system.toml", R"([system]
nam = "x"

[instances.sensors]
plugin = "coap"
lisen = "coap://127.0.0.1:5683"
)");
  const Result result = run({"check", file});
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.out, "");
  const std::vector<std::string> lines = lines_of(result.err);
  ASSERT_EQ(lines.size(), 2u) << result.err;
  EXPECT_THAT(lines[0], StartsWith(file + ":2:1: error: "));
  EXPECT_THAT(lines[0], HasSubstr("'name'"));
  EXPECT_THAT(lines[1], StartsWith(file + ":6:1: error: "));
  EXPECT_THAT(lines[1], HasSubstr("'listen'"));
}

TEST(Check, RefusesAFileThatIsNotThere) {
  const Result result = run({"check", "/nonexistent/system.toml"});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err, StartsWith("/nonexistent/system.toml"));
}

TEST(Plugins, AreListedWithVersionSchemesAndDescription) {
  const Result table = run({"plugins"});
  EXPECT_EQ(table.code, 0);
  EXPECT_THAT(table.out,
              testing::ContainsRegex("coap +[0-9.]+ +coap coaps +CoAP server and client"));

  std::vector<std::string> ids;
  for (const std::string& line : lines_of(run({"plugins", "--json"}).out)) {
    ids.push_back(json::parse(line).at("id"));
  }
  EXPECT_THAT(ids, testing::IsSupersetOf({"coap", "formats", "mqtt", "process", "route", "sim"}));
}

// --- read, write, call, watch, browse ------------------------------------------------------------

TEST_F(ARunningSystem, IsReadAsJson) {
  const Result number = run({"read", url("/temperature")});
  EXPECT_EQ(number.code, 0) << number.err;
  EXPECT_EQ(number.out, "20.5\n");
  EXPECT_EQ(run({"read", url("/note")}).out, "\"hello\"\n");
  EXPECT_EQ(json::parse(run({"read", "--full", url("/temperature")}).out).at("value"), 20.5);
}

TEST_F(ARunningSystem, IsWrittenWithJson) {
  for (const std::string value : {R"(42.5)", R"({"a":[1,2,null]})", R"("two words")"}) {
    const Result write = run({"write", url("/note"), value});
    EXPECT_EQ(write.code, 0) << write.err;
    EXPECT_EQ(run({"read", url("/note")}).out, value + "\n");
  }
}

TEST_F(ARunningSystem, IsNotWrittenWithWhatIsNoJson) {
  const Result result = run({"write", url("/note"), "two words"});
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.err, HasSubstr("is no JSON"));
  EXPECT_EQ(run({"read", url("/note")}).out, "\"hello\"\n");
}

TEST_F(ARunningSystem, IsWatchedALineAMessage) {
  ChildProcess watch(command({"watch", "--count", "3", "--timeout", "15", url("/temperature")}));
  ASSERT_TRUE(watch.wait_for_output("20.5\n")) << watch.err();
  EXPECT_EQ(run({"write", url("/temperature"), "21"}).code, 0);
  ASSERT_TRUE(watch.wait_for_output("21\n")) << watch.err();
  EXPECT_EQ(run({"write", url("/temperature"), "22"}).code, 0);
  EXPECT_EQ(watch.wait(), 0) << watch.err();
  EXPECT_EQ(watch.out(), "20.5\n21\n22\n");
}

TEST_F(ARunningSystem, LeavesAWatchWithTooFewMessagesToItsTimeout) {
  const Result result = run({"watch", "--count", "5", "--timeout", "4", url("/temperature")});
  EXPECT_EQ(result.code, 3);
  EXPECT_EQ(result.out, "20.5\n");
  EXPECT_THAT(result.err, HasSubstr("1 messages came"));
}

TEST_F(ARunningSystem, EndsAWatchThatIsInterrupted) {
  ChildProcess watch(command({"watch", url("/temperature")}));
  ASSERT_TRUE(watch.wait_for_output("20.5\n")) << watch.err();
  watch.signal(SIGINT);
  EXPECT_EQ(watch.wait(), 0);
}

TEST_F(ARunningSystem, IsBrowsed) {
  std::vector<std::string> paths;
  const Result result = run({"browse", url("/")});
  EXPECT_EQ(result.code, 0) << result.err;
  for (const std::string& line : lines_of(result.out)) {
    const json entry = json::parse(line);
    paths.push_back(entry.at("path"));
    if (paths.back() == "/temperature") {
      EXPECT_EQ(entry.at("title"), "in the hall");
    }
  }
  EXPECT_THAT(paths, testing::IsSupersetOf({"/temperature", "/note"}));
}

TEST_F(ARunningSystem, RefusesWithExitCode1) {
  const Result read = run({"read", url("/nothing")});
  EXPECT_EQ(read.code, 1);
  EXPECT_THAT(read.err, HasSubstr("404"));
  EXPECT_EQ(run({"call", url("/temperature"), "1"}).code, 1) << "it has no POST";
}

TEST(ReadOfNobody, EndsWithExitCode3) {
  const HeldPort silent(SOCK_DGRAM, 0);
  const Result result =
      run({"read", "--timeout", "0.5", "coap://127.0.0.1:" + std::to_string(silent.port()) + "/x"});
  EXPECT_EQ(result.code, 3);
  EXPECT_THAT(result.err, HasSubstr("no answer within 0.5 s"));
}

TEST(Call, OfACodecAnswers) {
  const Result result = run({"call", "format://json/encode", R"({"a":1})"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "{\"a\":1}\n");
}

TEST_F(ARunningSystem, IsReadThroughAnInstanceOfAManifestWhichAloneIsStarted) {
  // `copy` would take the running system's port; `broken` needs a program that does not exist.
  const std::string manifest = folder_.write("client.toml", R"([system]
name = "client"

[instances.copy]
plugin = "coap"
listen = "coap://127.0.0.1:)" + std::to_string(port_) + R"("

[instances.broken]
plugin  = "process"
command = ["/nonexistent/program"]

[instances.client]
plugin = "coap"
url    = "${TEST_URL:-coap://127.0.0.1:)" + std::to_string(port_) +
                                                                R"(}"
after  = ["broken"]

[[routes]]
from = "copy:/a"
to   = "client:/note"
)");
  const Result result = run({"read", "-m", manifest, "client:/temperature"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "20.5\n");

  const Result unknown = run({"read", "-m", manifest, "clint:/temperature"});
  EXPECT_EQ(unknown.code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("client"));
}

// --- with a broker
// ---------------------------------------------------------------------------------

class ABroker : public testing::Test {
 protected:
  std::string url(const std::string& topic) const { return broker_.url() + "/" + topic; }
  std::string manifest(const std::string& config) const {
    return folder_.write("system.toml",
                         "[system]\nname = \"plant\"\n[instances.cloud]\n"
                         "plugin = \"mqtt\"\nurl = \"" +
                             broker_.url() + "\"\n" + config + "\n");
  }

  const Broker broker_;
  const ScratchFolder folder_;
};

TEST_F(ABroker, KeepsTheClientOfARunningSystemWhileItIsLookedAt) {
  ASSERT_EQ(run({"write", "--retain", url("valve"), "1"}).code, 0);
  for (const std::string config : {"", "client_id = \"works-7\""}) {
    const std::string file = manifest(config);
    ChildProcess system(command({"run", file}));
    ASSERT_TRUE(system.wait_until([&] {
      return system.err().find("connected to") != std::string::npos;
    })) << system.err();

    const Result read = run({"read", "-m", file, "cloud:valve"});

    EXPECT_EQ(read.out, "1\n") << read.err;
    EXPECT_EQ(broker_.count_in_log("already connected"), 0u) << config;
  }
}

TEST_F(ABroker, BringsAPayloadThatIsNestedTooDeepAsText) {
  const std::string nested = std::string(60'000, '[') + std::string(60'000, ']');
  ASSERT_EQ(run({"write", "--retain", "--content-type", "application/json", url("deep"),
                 '"' + nested + '"'})
                .code,
            0);
  EXPECT_EQ(run({"read", url("deep")}).out, '"' + nested + "\"\n");
}

TEST_F(ABroker, HasTopicsThatLookLikeAUrl) {
  const std::string file = manifest("read_timeout_s = 0.1");
  const Result read = run({"read", "-m", file, "cloud:proxy/http://x"});
  EXPECT_EQ(read.code, 1);
  EXPECT_THAT(read.err, HasSubstr("no retained message"));
}

TEST_F(ABroker, WithoutAnAnswerIsToldApartFromTheCommandsOwnTimeout) {
  const std::string file = manifest("call_timeout_s = 0.2");
  const Result theirs = run({"call", "--timeout", "0", "-m", file, "cloud:nobody"});
  EXPECT_EQ(theirs.code, 3);
  EXPECT_THAT(theirs.err, HasSubstr("no response within call_timeout_s"));

  const Result ours = run({"call", "--timeout", "0.5", "-m", file, "cloud:nobody"});
  EXPECT_EQ(ours.code, 3);
  EXPECT_THAT(ours.err, HasSubstr("no answer within 0.5 s"));
}

TEST_F(ABroker, IsWatchedThroughASlowPipeWithAWarningOfWhatWasLost) {
  const std::string gate = folder_.path() / "gate";
  ASSERT_EQ(mkfifo(gate.c_str(), 0600), 0);
  // The reader takes nothing before the gate opens. `exec`: the signal reaches the command.
  ChildProcess watch({"bash", "-c",
                      "exec \"$0\" watch \"$1\" > >(read -r go < \"$2\"; exec cat > /dev/null)",
                      kBackplane, url("fast"), gate});
  ASSERT_TRUE(watch.wait_until([&] { return broker_.count_in_log("fast (QoS 1)") > 0; }));
  // 64 KiB in the pipe, then 256 that wait in the command and 1024 in the plugin.
  constexpr size_t kSent = 2000;
  ChildProcess publisher({"bash", "-c",
                          "yes \"$(printf %01000d 1)\" | head -n 2000 | "
                          "exec mosquitto_pub -p \"$0\" -t fast -q 1 -l",
                          std::to_string(broker_.port())});
  ASSERT_EQ(publisher.wait(), 0) << publisher.err();
  ASSERT_TRUE(watch.wait_until(
      [&] { return broker_.count_in_log("Received PUBACK from backplane-") >= kSent; }));

  std::ofstream(gate) << "go\n";
  watch.signal(SIGINT);

  EXPECT_EQ(watch.wait(), 0);
  EXPECT_THAT(watch.err(), testing::ContainsRegex("warning: [0-9]+ messages were dropped"));
}

// --- run -----------------------------------------------------------------------------------------

TEST_F(ARunningSystem, StopsOnSigtermWithExitCode0) {
  system_->signal(SIGTERM);
  EXPECT_EQ(system_->wait(), 0) << system_->err();
  EXPECT_THAT(system_->err(), HasSubstr("stopped"));
}

TEST_F(ARunningSystem, RefusesSighupAndGoesOn) {
  system_->signal(SIGHUP);
  EXPECT_TRUE(wait_for_log("SIGHUP"));
  EXPECT_EQ(run({"read", url("/temperature")}).code, 0);
}

TEST(Run, StartsNothingAfterAMistake) {
  const ScratchFolder folder;
  const std::string file = folder.write("system.toml", "[instances.a]\nplugin = \"coop\"\n");
  const Result result = run({"run", file});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err, HasSubstr(file + ":2:"));
  EXPECT_THAT(result.err, Not(HasSubstr("ready")));
}

TEST(Run, LogsLinesOfJson) {
  const ScratchFolder folder;
  const std::string file = folder.write("system.toml", "[system]\nname = \"empty\"\n");
  ChildProcess child(command({"run", "--log-format", "json", file}));
  ASSERT_TRUE(child.wait_until([&] { return child.err().find("ready") != std::string::npos; }));
  child.signal(SIGTERM);
  EXPECT_EQ(child.wait(), 0);
  for (const std::string& line : lines_of(child.err())) {
    const json record = json::parse(line);
    EXPECT_TRUE(record.contains("time") && record.contains("level") && record.contains("message"))
        << line;
  }
}

/// The service manager's end of sd_notify.
class NotifySocket {
 public:
  explicit NotifySocket(const std::string& path)
      : fd_(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    if (bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      throw std::runtime_error("bind " + path);
    }
  }
  NotifySocket(const NotifySocket&) = delete;
  NotifySocket& operator=(const NotifySocket&) = delete;
  ~NotifySocket() { close(fd_); }

  /// Collects until it has come `times` times.
  bool wait_for(const std::string& text, size_t times = 1) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (std::chrono::steady_clock::now() < end) {
      size_t found = 0;
      for (size_t at = 0; (at = all_.find(text, at)) != std::string::npos; at += text.size()) {
        ++found;
      }
      if (found >= times) {
        return true;
      }
      pollfd ready = {fd_, POLLIN, 0};
      if (poll(&ready, 1, 100) > 0) {
        char block[4096];
        const ssize_t n = recv(fd_, block, sizeof block, 0);
        all_.append(block, n > 0 ? static_cast<size_t>(n) : 0);
        all_ += '\n';
      }
    }
    return false;
  }
  const std::string& all() const { return all_; }

 private:
  int fd_;
  std::string all_;
};

TEST(Run, TellsTheServiceManagerAndFeedsItsWatchdogFromTheLoop) {
  const ScratchFolder folder;
  const std::string file = folder.write("system.toml", "[system]\nname = \"empty\"\n");
  NotifySocket manager(folder.path() / "notify");
  ChildProcess child(command({"run", file}),
                     {{"NOTIFY_SOCKET", folder.path() / "notify"}, {"WATCHDOG_USEC", "100000"}});
  EXPECT_TRUE(manager.wait_for("READY=1")) << child.err();
  EXPECT_TRUE(manager.wait_for("STATUS=")) << manager.all();
  EXPECT_TRUE(manager.wait_for("WATCHDOG=1", 5)) << manager.all();
  child.signal(SIGTERM);
  EXPECT_TRUE(manager.wait_for("STOPPING=1")) << manager.all();
  EXPECT_EQ(child.wait(), 0) << child.err();
}

}  // namespace
}  // namespace backplane::test
