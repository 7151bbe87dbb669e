// SPDX-License-Identifier: Apache-2.0
// Supervised children through the kernel: a real broker, and what is left when the parent is
// killed.
#include "backplane/sdk/kernel.hpp"
#include "support/child_process.hpp"
#include "support/eventually.hpp"
#include "support/free_port.hpp"
#include "support/scratch_folder.hpp"

#include <gmock/gmock.h>

namespace backplane::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

/// Whether a process exists and is no zombie.
bool lives(pid_t pid) {
  std::ifstream stat(concat("/proc/", pid, "/stat"));
  std::string text;
  std::getline(stat, text);
  const size_t end = text.rfind(')');
  return end != std::string::npos && text[end + 2] != 'Z' && text[end + 2] != 'X';
}

class ABroker : public testing::Test {
 protected:
  /// The instance `broker` on a free port, with more keys.
  Status start(std::string_view keys = {}) {
    KernelOptions options;
    options.plugin_folders = BP_TEST_BUILD_DIR "/plugins";
    options.manifest_folders = BP_TEST_BUILD_DIR "/plugin_manifests";
    options.flags = BP_KERNEL_CHECKED;
    options.log = [](const LogRecord&) {};
    kernel_.emplace(Kernel::create(options).value());
    kernel_
        ->load_text("test", concat("[instances.broker]\nplugin = \"process\"\n",
                                   "command = [\"mosquitto\", \"-p\", \"", port_, "\"]\n",
                                   "ready = { tcp = \"127.0.0.1:", port_, "\" }\n", keys))
        .or_throw();
    return kernel_->start();
  }
  OwnedMessage state() { return kernel_->open("broker:").value().read().value(); }
  pid_t pid() {
    const OwnedMessage map = state();
    return map.body().find("pid").value_or(ValueView(0)).get<pid_t>().value_or(0);
  }
  bool is_running() { return state().body().find("state") == ValueView("running"); }

  const uint16_t port_ = free_port_base();
  std::optional<Kernel> kernel_;
};

TEST_F(ABroker, RunsWithItsInstanceAndIsGoneAfterIt) {
  ASSERT_TRUE(start().is_ok());
  const pid_t broker = pid();
  EXPECT_TRUE(lives(broker));
  EXPECT_FALSE(HeldPort(SOCK_STREAM, port_).held()) << "its port is taken when it is ready";
  EXPECT_TRUE(kernel_->stop().is_ok());
  EXPECT_FALSE(lives(broker));
}

TEST_F(ABroker, IsStartedAgainAfterAKill) {
  ASSERT_TRUE(start().is_ok());
  const pid_t first = pid();
  ASSERT_EQ(kill(first, SIGKILL), 0);
  EXPECT_TRUE(eventually([&] { return is_running() && pid() != first; }));
  EXPECT_EQ(state().body().find("exit")->find("signal"), ValueView("SIGKILL"));
}

TEST_F(ABroker, IsStoppedAndStartedByCalls) {
  ASSERT_TRUE(start().is_ok());
  const pid_t first = pid();
  kernel_->open("broker:stop").value().call<void>().or_throw();
  EXPECT_FALSE(lives(first));
  EXPECT_EQ(state().body().find("state"), ValueView("stopped"));
  kernel_->open("broker:start").value().call<void>().or_throw();
  EXPECT_TRUE(is_running());
  kernel_->open("broker:signal").value().call<void>("SIGTERM").or_throw();
  EXPECT_TRUE(eventually(
      [&] { return is_running() && state().body().find("starts") == ValueView(uint64_t{3}); }));
}

TEST_F(ABroker, DoesNotStartOnAPortThatSomebodyElseHas) {
  const HeldPort foreign(SOCK_STREAM, port_);
  ASSERT_TRUE(foreign.held());
  const Status status = start();
  EXPECT_EQ(status.code(), BP_FAILED_PRECONDITION);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr(concat("127.0.0.1:", port_, " is taken by another process")));
}

TEST_F(ABroker, FailsTheStartOfTheKernelWithItsLastWords) {
  const Status status = start("env = { LANG = \"C\" }\ncwd = \"/nowhere\"\n");
  EXPECT_TRUE(status.is_error());
  EXPECT_THAT(std::string(status.message()), HasSubstr("cannot enter 'cwd' /nowhere"));
}

/// `backplane run` with a child that has a stubborn grandchild in a session of its own, one that
/// lost its parent, and one that sleeps.
class AParent : public testing::Test {
 protected:
  AParent() {
    const std::string far = path("far");
    const std::string orphan = path("orphan");
    const std::string near = path("near");
    folder_.write("family.sh", concat("trap '' TERM HUP INT\n"
                                      "setsid sh -c 'echo $$ >",
                                      far,
                                      "; while :; do sleep 1; done' &\n"
                                      "(setsid sh -c 'echo $$ >",
                                      orphan,
                                      "; exec sleep 60' &)\n"
                                      "echo $$ >",
                                      near, "\necho up\nwhile :; do sleep 1; done\n"));
    folder_.write(
        "system.toml",
        concat("[instances.family]\nplugin = \"process\"\ncommand = [\"sh\", \"", path("family.sh"),
               "\"]\nready = { log = \"up\" }\nstop_timeout_s = 0.5\n"));
    parent_.emplace(
        std::vector<std::string>{BP_TEST_BUILD_DIR "/bin/backplane", "run", path("system.toml")});
  }
  std::string path(const std::string& name) const { return folder_.path() / name; }
  std::vector<pid_t> family() {
    std::vector<pid_t> out;
    for (const char* name : {"near", "far", "orphan"}) {
      pid_t pid = 0;
      EXPECT_TRUE(parent_->wait_until([&] {
        return static_cast<bool>(std::ifstream(path(name)) >> pid);
      })) << parent_->err();
      out.push_back(pid);
    }
    return out;
  }
  static bool any_lives(const std::vector<pid_t>& pids) {
    return std::any_of(pids.begin(), pids.end(), lives);
  }

  ScratchFolder folder_;
  std::optional<ChildProcess> parent_;
};

TEST_F(AParent, LeavesNothingBehindWhenItIsKilled) {
  const std::vector<pid_t> pids = family();
  ASSERT_TRUE(std::all_of(pids.begin(), pids.end(), lives));
  parent_->signal(SIGKILL);
  EXPECT_EQ(parent_->wait(), 128 + SIGKILL);
  EXPECT_TRUE(eventually([&] { return !any_lives(pids); }, 10s));
}

TEST_F(AParent, LeavesNothingBehindWhenItAborts) {
  const std::vector<pid_t> pids = family();
  parent_->signal(SIGABRT);
  parent_->wait();
  EXPECT_TRUE(eventually([&] { return !any_lives(pids); }, 10s));
}

TEST_F(AParent, StopsAllOfThemWhenItIsAskedToEnd) {
  const std::vector<pid_t> pids = family();
  ASSERT_TRUE(parent_->wait_until(
      [&] { return (parent_->out() + parent_->err()).find("ready") != std::string::npos; }));
  parent_->signal(SIGTERM);
  EXPECT_EQ(parent_->wait(), 0) << parent_->err();
  EXPECT_FALSE(any_lives(pids));
}

}  // namespace
}  // namespace backplane::test
