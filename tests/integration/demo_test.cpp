// SPDX-License-Identifier: Apache-2.0
// The demo from outside: the real binary, a real broker, foreign CoAP and MQTT clients.
#include "support/child_process.hpp"
#include "support/eventually.hpp"
#include "support/free_port.hpp"
#include "support/long_test.hpp"
#include "support/processes.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <random>
#include <regex>
#include <sstream>

namespace backplane::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::StartsWith;

std::vector<std::string> demo_command(uint16_t base, std::vector<std::string> more = {}) {
  std::vector<std::string> args = {BP_TEST_BUILD_DIR "/bin/backplane", "demo", "--port-base",
                                   std::to_string(base)};
  args.insert(args.end(), more.begin(), more.end());
  return args;
}

struct Totals {
  long messages, in, out, stored, dropped, in_flight;
};

std::optional<Totals> totals_of(const std::string& last_line) {
  static const std::regex kForm(
      R"(demo: ok: (\d+) messages, in (\d+) = out (\d+) \+ stored (\d+) \+ dropped (\d+) \+ in flight (\d+))");
  std::smatch found;
  if (!std::regex_match(last_line, found, kForm)) {
    return std::nullopt;
  }
  const auto number = [&](size_t i) { return std::stol(found[i]); };
  return Totals{number(1), number(2), number(3), number(4), number(5), number(6)};
}

void expect_ok(ChildProcess& demo) {
  EXPECT_EQ(demo.wait(seconds(120)), 0) << demo.out() << demo.err();
  const auto totals = totals_of(demo.last_line());
  ASSERT_TRUE(totals) << demo.last_line() << '\n' << demo.err();
  EXPECT_EQ(totals->in, totals->out + totals->stored + totals->dropped + totals->in_flight);
  EXPECT_GT(totals->messages, 0);
  EXPECT_GE(totals->in, totals->messages);
  EXPECT_GT(totals->out, 0);
  EXPECT_EQ(totals->in_flight, 0);
}

class ADemo : public testing::Test {
 protected:
  ADemo() {
    // Most of it is a sanitized program being loaded, which takes a loaded machine long.
    EXPECT_TRUE(demo_.wait_for_output("demo: ready", seconds(120))) << demo_.out() << demo_.err();
  }

  std::vector<std::string> subscriber(std::vector<std::string> more) const {
    std::vector<std::string> args = {
        "stdbuf", "-oL", "mosquitto_sub", "-p", std::to_string(base_ + 1), "-q", "1"};
    args.insert(args.end(), more.begin(), more.end());
    return args;
  }
  /// A foreign client's PUT; true when it was answered with 2.xx.
  bool put(const std::string& path, const std::string& value) const {
    ChildProcess client({"coap-client-openssl", "-v", "7", "-B", "20", "-m", "put", "-e", value,
                         "coap://127.0.0.1:" + std::to_string(base_) + path});
    EXPECT_EQ(client.wait(seconds(30)), 0) << client.err();
    const std::string all = client.out() + client.err();
    return std::regex_search(all, std::regex("2\\.0[0-9]"));
  }
  /// Of the broker that the demo started: the process that listens on its port.
  pid_t broker() const {
    const std::string port = std::to_string(base_ + 1);
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      std::vector<std::string> args;
      std::istringstream in(told_by_proc(entry.path() / "cmdline"));
      for (std::string arg; std::getline(in, arg, '\0');) {
        args.push_back(arg);
      }
      if (args.size() >= 2 && args[0].ends_with("mosquitto") && args.back() == port) {
        return std::stoi(entry.path().filename().string());
      }
    }
    return -1;
  }
  bool wait_for_broker_other_than(pid_t before) const {
    return eventually([&] {
      const pid_t now = broker();
      return now > 0 && now != before;
    });
  }
  void end_well() {
    demo_.signal(SIGTERM);
    expect_ok(demo_);
  }

  const uint16_t base_ = free_port_base();
  ChildProcess demo_{demo_command(base_)};
};

size_t count_lines(const std::string& text, const std::string& line) {
  size_t n = 0;
  std::istringstream in(text);
  for (std::string each; std::getline(in, each);) {
    n += each == line ? 1u : 0u;
  }
  return n;
}

TEST(TheDemo, EndsByItselfAndAccountsForEveryMessage) {
  ChildProcess demo(demo_command(free_port_base(), {"--seconds", "2"}));
  expect_ok(demo);
  EXPECT_THAT(demo.out(), HasSubstr("line1/temperature"));
}

TEST_F(ADemo, DrainsOnSigterm) { end_well(); }

TEST_F(ADemo, DrainsOnSigint) {
  demo_.signal(SIGINT);
  expect_ok(demo_);
}

TEST_F(ADemo, LeavesNoBrokerBehindHoweverItEnds) {
  const pid_t before = broker();
  ASSERT_GT(before, 0);
  demo_.signal(SIGKILL);
  EXPECT_EQ(demo_.wait(), 128 + SIGKILL);
  EXPECT_TRUE(eventually([&] { return broker() == -1; }));
}

TEST_F(ADemo, ChangesItsValuesTwiceASecondAtLeast) {
  ChildProcess sub(subscriber({"-t", "plant/line1/temperature", "-C", "12", "-W", "20"}));
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(sub.wait(), 0) << sub.err();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(10));
  std::vector<std::string> values;
  std::istringstream in(sub.out());
  for (std::string value; std::getline(in, value);) {
    if (values.empty() || values.back() != value) {
      values.push_back(value);
    }
  }
  EXPECT_GE(values.size(), 10u) << sub.out();
}

TEST_F(ADemo, ShowsAForeignPutToAForeignSubscriberOnce) {
  ChildProcess sub(subscriber({"-t", "plant/#", "-v"}));
  ASSERT_TRUE(sub.wait_for_output("plant/line1/temperature ")) << sub.err();
  EXPECT_TRUE(put("/line1/temperature", "42.5"));
  EXPECT_TRUE(sub.wait_for_output("plant/line1/temperature 42.5\n")) << sub.out();

  // It holds: what comes next on the topic is the signal again, no sooner than after 3 s.
  const auto held = std::chrono::steady_clock::now();
  const size_t at = sub.out().find("plant/line1/temperature 42.5\n") + 1;
  EXPECT_TRUE(sub.wait_until(
      [&] { return sub.out().find("plant/line1/temperature ", at) != std::string::npos; }));
  EXPECT_GT(std::chrono::steady_clock::now() - held, milliseconds(2000));
  EXPECT_EQ(count_lines(sub.out(), "plant/line1/temperature 42.5"), 1u);
  end_well();
}

TEST_F(ADemo, ShowsEachHopAndAClientOfTheMainSystemSeesTheSame) {
  EXPECT_TRUE(demo_.wait_until([&] {
    // A number from each of CoAP, OPC UA and MQTT.
    return std::regex_search(demo_.out(),
                             std::regex("line1/temperature +[0-9.]+ +[0-9.]+ +[0-9.]+ "));
  })) << demo_.out();
  EXPECT_TRUE(put("/line1/temperature", "42.5"));
  ChildProcess client(
      {BP_TEST_BUILD_DIR "/bin/backplane", "read",
       "opc.tcp://127.0.0.1:" + std::to_string(base_ + 2) + "/ns=1;s=Line1.Temperature"});
  EXPECT_EQ(client.wait(seconds(60)), 0) << client.err();
  EXPECT_THAT(client.out(), HasSubstr("42.5"));
  end_well();
}

TEST_F(ADemo, MovesTheValveWhenTheCloudSaysSo) {
  ChildProcess sub(subscriber({"-t", "plant/tank1/valve", "-v"}));
  ASSERT_TRUE(sub.wait_for_output("plant/tank1/valve 0\n")) << "the retained position";
  ChildProcess command({"mosquitto_pub", "-p", std::to_string(base_ + 1), "-q", "1", "-t",
                        "plant/tank1/valve/set", "-m", "1"});
  EXPECT_EQ(command.wait(), 0) << command.err();
  EXPECT_TRUE(sub.wait_for_output("plant/tank1/valve 1\n")) << sub.out();
  end_well();
}

/// Values are PUT while the broker is killed; each that the plant accepted must reach a subscriber.
class AKilledBroker : public ADemo {
 protected:
  void kill_once(unsigned round, ChildProcess& sub, std::mt19937& random) {
    std::vector<std::string> accepted;
    const auto put_some = [&](int n) {
      for (int i = 0; i < n; ++i) {
        const std::string value = std::to_string(1000 + 100 * round + accepted.size());
        if (put("/line1/temperature", value)) {
          accepted.push_back(value);
        }
      }
    };
    const pid_t before = broker();
    ASSERT_GT(before, 0);
    put_some(2);
    poll(nullptr, 0, static_cast<int>(random() % 50));  // any moment between two messages
    // The broker acknowledges, and writes its state some 100 us later: what it acknowledged just
    // now is its to lose (docs/faults.md). So nothing new comes for the last moment of its life.
    demo_.signal(SIGSTOP);
    poll(nullptr, 0, 10);
    kill(before, SIGKILL);
    demo_.signal(SIGCONT);
    put_some(2);
    ASSERT_TRUE(wait_for_broker_other_than(before)) << demo_.err();
    put_some(1);
    EXPECT_GE(accepted.size(), 3u);
    for (const std::string& value : accepted) {
      EXPECT_TRUE(sub.wait_for_output("\n" + value + ".0\n", seconds(30)))
          << value << " was accepted in round " << round << " and is lost\n"
          << sub.out() << demo_.err();
    }
  }
  void kill_times(unsigned rounds) {
    std::mt19937 random(rounds);
    // A session that outlives the connection, as the broker's state outlives the broker.
    ChildProcess sub(
        subscriber({"-t", "plant/line1/temperature", "-c", "-i", "witness-of-the-test"}));
    ASSERT_TRUE(sub.wait_for_output("\n")) << sub.err();
    for (unsigned round = 0; round < rounds && !HasFailure(); ++round) {
      kill_once(round, sub, random);
    }
    end_well();
  }
};

TEST_F(AKilledBroker, LosesNoAcceptedMessage) { kill_times(is_long_test() ? 20 : 1); }

/// Its CoAP server, its OPC UA server and its MQTT client are processes of their own.
class AnIsolatedDemo : public testing::Test {
 protected:
  AnIsolatedDemo() {
    EXPECT_TRUE(demo_.wait_for_output("demo: ready", seconds(120))) << demo_.out() << demo_.err();
  }
  std::vector<pid_t> hosts() const { return test::hosts(demo_.pid()); }
  void kill_times(unsigned rounds) {
    std::mt19937 random(rounds);
    for (unsigned round = 0; round < rounds && !HasFailure(); ++round) {
      ASSERT_TRUE(eventually([&] { return hosts().size() == 3; })) << demo_.err();
      const pid_t victim = hosts()[random() % 3];
      poll(nullptr, 0, static_cast<int>(random() % 50));  // any moment between two messages
      kill(victim, SIGKILL);
      ASSERT_TRUE(eventually([&] {
        const std::vector<pid_t> now = hosts();
        return now.size() == 3 && std::count(now.begin(), now.end(), victim) == 0;
      })) << demo_.err();
      ChildProcess sub({"mosquitto_sub", "-p", std::to_string(base_ + 1), "-t",
                        "plant/line1/temperature", "-R", "-C", "2", "-W", "20"});
      EXPECT_EQ(sub.wait(seconds(30)), 0) << "nothing comes any more\n" << demo_.err();
    }
    demo_.signal(SIGTERM);
    expect_ok(demo_);
  }

  const uint16_t base_ = free_port_base();
  ChildProcess demo_{demo_command(base_, {"--isolated"})};
};

// So often that the routes wait longer than the sensors are away, and miss what others are told.
TEST_F(AnIsolatedDemo, EndsWellAlthoughOneHostIsKilledAgainAndAgain) {
  const auto sensors = [this] { return test::hosts(demo_.pid(), "sensors"); };
  for (unsigned round = 0; round < 8; ++round) {
    ASSERT_TRUE(eventually([&] { return sensors().size() == 1; })) << demo_.err();
    const pid_t victim = sensors().front();
    kill(victim, SIGKILL);
    ASSERT_TRUE(eventually([&] { return sensors() != std::vector{victim}; })) << demo_.err();
  }
  ChildProcess sub({"mosquitto_sub", "-p", std::to_string(base_ + 1), "-t",
                    "plant/line1/temperature", "-R", "-C", "12", "-W", "40"});
  EXPECT_EQ(sub.wait(seconds(60)), 0) << "nothing comes any more\n" << demo_.err();
  demo_.signal(SIGTERM);
  expect_ok(demo_);
}

TEST_F(AnIsolatedDemo, EndsWellAlthoughItsHostsAreKilled) { kill_times(is_long_test() ? 20 : 2); }

TEST(TheDemo, NamesATakenUdpPortAndTheCommandThatAvoidsIt) {
  const uint16_t base = free_port_base();
  const HeldPort taken(SOCK_DGRAM, base);
  ChildProcess demo(demo_command(base));
  EXPECT_EQ(demo.wait(), 1);
  EXPECT_THAT(demo.last_line(), StartsWith("demo: FAILED: UDP port " + std::to_string(base)));
  EXPECT_THAT(demo.last_line(), testing::ContainsRegex("./dev demo --port-base [0-9]+$"));
}

TEST(TheDemo, NamesATakenTcpPortAndTheCommandThatAvoidsIt) {
  for (const int offset : {1, 2}) {  // MQTT, OPC UA
    const uint16_t base = free_port_base();
    const auto port = static_cast<uint16_t>(base + offset);
    const HeldPort taken(SOCK_STREAM, port);
    ChildProcess demo(demo_command(base));
    EXPECT_EQ(demo.wait(), 1);
    EXPECT_THAT(demo.last_line(), StartsWith("demo: FAILED: TCP port " + std::to_string(port)));
    EXPECT_THAT(demo.last_line(), testing::ContainsRegex("./dev demo --port-base [0-9]+$"));
  }
}

}  // namespace
}  // namespace backplane::test
