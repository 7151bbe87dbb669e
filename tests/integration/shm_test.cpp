// SPDX-License-Identifier: Apache-2.0
// backplane shm.
#include "backplane/sdk/channel.hpp"
#include "backplane/sdk/shared_memory.hpp"
#include "support/child_process.hpp"
#include "support/eventually.hpp"
#include "support/scratch_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstring>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace backplane::test {
namespace {

using testing::HasSubstr;
using testing::Not;

struct Result {
  int code;
  std::string out;
  std::string err;
};

Result shm(std::vector<std::string> args) {
  args.insert(args.begin(), {BP_TEST_BUILD_DIR "/bin/backplane", "shm"});
  ChildProcess child(std::move(args));
  const int code = child.wait();
  return {code, child.out(), child.err()};
}

class TheCommandShm : public testing::TestWithParam<uint32_t> {
 protected:
  NativeKey key(const std::string& name) const {
    return GetParam() == BP_KEY_POSIX
               ? NativeKey("/bp-test-" + std::to_string(getpid()) + name)
               : NativeKey(folder_.path() / ("key " + name), BP_KEY_SYSTEM_V);
  }
  /// What a process leaves that is killed while it has it open.
  static void leave(const NativeKey& key, SharedMemory::Options options) {
    const pid_t child = fork();
    if (child == 0) {
      const SharedMemory memory = SharedMemory::open(key, options).value();
      raise(SIGKILL);
    }
    waitpid(child, nullptr, 0);
  }
  /// What a maker leaves of a key of System V that is killed before it is whole.
  static void leave_half_made(const NativeKey& key) {
    constexpr size_t kMagic = sizeof(uint64_t);
    std::vector<char> header(4096);
    key_t number = -1;
    {
      const SharedMemory whole = SharedMemory::open(key, {.size = 10}).value();
      number = ftok(key.name().c_str(), static_cast<int>(key.type()));
      void* const address = shmat(shmget(number, 0, 0), nullptr, SHM_RDONLY);
      std::memcpy(header.data(), address, header.size());
      shmdt(address);
    }
    std::fill_n(header.begin(), kMagic, '\0');
    void* const half = shmat(shmget(number, 10'000, IPC_CREAT | IPC_EXCL | 0611), nullptr, 0);
    std::memcpy(half, header.data(), header.size());
    shmdt(half);
  }
  nlohmann::json inspected(const NativeKey& key) const {
    const Result result = shm({"inspect", "--json", key.to_string()});
    return result.code == 0 ? nlohmann::json::parse(result.out)
                            : nlohmann::json{{"failed", result.err}};
  }

  const ScratchFolder folder_ = ScratchFolder::of_keys();
};

INSTANTIATE_TEST_SUITE_P(Key, TheCommandShm, testing::Values(BP_KEY_POSIX, BP_KEY_SYSTEM_V),
                         [](const auto& key) {
                           return key.param == BP_KEY_POSIX ? "Posix" : "SystemV";
                         });

TEST_P(TheCommandShm, ListsWhatThereIs) {
  const SharedMemory memory =
      SharedMemory::open(key("a"), {.size = 12'345, .permissions = 0640}).value();
  const Result list = shm({"list"});
  EXPECT_EQ(list.code, 0) << list.err;
  EXPECT_THAT(list.out, HasSubstr(key("a").to_string() + "\n"));
  const nlohmann::json one = inspected(key("a"));
  EXPECT_EQ(one["key"], key("a").to_string());
  EXPECT_EQ(one["size"], 12'345);
  EXPECT_EQ(one["open"], true);
  EXPECT_EQ(one["kept"], false);
  EXPECT_EQ(one["maker"], getpid());
  EXPECT_EQ(one["maker_lives"], true);
  EXPECT_EQ(one["mode"], "0640");
}

TEST_P(TheCommandShm, CleansWhatIsNobodys) {
  // Each cleans for all: one at a time.
  const int alone = open("/dev/shm/bp-test-alone", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  ASSERT_EQ(flock(alone, LOCK_EX), 0);
  const SharedMemory opened = SharedMemory::open(key("open"), {.size = 10}).value();
  leave(key("left"), {.size = 10});
  leave(key("kept"), {.size = 10, .kept = true});
  EXPECT_EQ(inspected(key("left"))["open"], false);
  EXPECT_EQ(inspected(key("left"))["maker_lives"], false);
  EXPECT_EQ(inspected(key("kept"))["kept"], true);
  if (GetParam() == BP_KEY_SYSTEM_V) {
    leave_half_made(key("half"));
    EXPECT_EQ(inspected(key("half"))["open"], false);
  }
  const Result clean = shm({"clean"});
  EXPECT_EQ(clean.code, 0) << clean.err;
  EXPECT_THAT(clean.out, HasSubstr("removed: "));
  const std::string list = shm({"list"}).out;
  EXPECT_THAT(list, HasSubstr(key("open").to_string() + "\n"));
  EXPECT_THAT(list, HasSubstr(key("kept").to_string() + "\n"));
  EXPECT_THAT(list, Not(HasSubstr(key("left").to_string() + "\n")));
  EXPECT_THAT(list, Not(HasSubstr(key("half").to_string() + "\n")));
  SharedMemory::remove(key("kept")).or_throw();
  close(alone);
}

TEST_P(TheCommandShm, SaysWhatIsWrong) {
  const Result none = shm({"inspect", key("none").to_string()});
  EXPECT_EQ(none.code, 1);
  EXPECT_THAT(none.err, HasSubstr("no segment of Backplane has the key"));
  EXPECT_EQ(shm({"inspect", "line 1"}).code, 1);
  EXPECT_EQ(shm({}).code, 2);
}

TEST_P(TheCommandShm, SaysWhatAChannelDoes) {
  Channel channel = Channel::open(key("channel"), {.sample_size = 100, .lossless = true}).value();
  Publisher publisher = channel.publisher().value();
  const Subscriber subscriber = channel.subscriber().value();
  publisher.send(uint64_t{1}).or_throw();
  const nlohmann::json info = inspected(key("channel")).at("channel");
  EXPECT_EQ(info, (nlohmann::json{{"sample_size", 100},
                                  {"capacity", 16},
                                  {"lossless", true},
                                  {"published", 1},
                                  {"publishers", 1},
                                  {"most_publishers", 4},
                                  {"subscribers", 1},
                                  {"most_subscribers", 8},
                                  {"most_behind", 1}}));
  EXPECT_THAT(shm({"inspect", key("channel").to_string()}).out,
              HasSubstr("channel of samples of up to 100 bytes, the last 16 of 1, lossless; "
                        "publishers: 1 of 4, subscribers: 1 of 8, most behind: 1\n"));
  const SharedMemory memory = SharedMemory::open(key("memory"), {.size = 100'000}).value();
  EXPECT_FALSE(inspected(key("memory")).contains("channel"));
}

TEST(TheExampleCamera, ShowsItsPicturesToAll) {
  const std::string program = BP_TEST_BUILD_DIR "/examples/camera";
  const std::string key = "posix:/bp-test-camera-" + std::to_string(getpid());
  ChildProcess viewing({program, "view", key, "3"});
  ChildProcess also({program, "view", key, "3"});
  ASSERT_TRUE(eventually([&] {
    const Result result = shm({"inspect", "--json", key});
    return result.code == 0 &&
           nlohmann::json::parse(result.out).at("channel").at("subscribers") == 2;
  }));
  EXPECT_EQ(ChildProcess({program, "publish", key, "3"}).wait(), 0);
  for (ChildProcess* each : {&viewing, &also}) {
    EXPECT_EQ(each->wait(), 0) << each->err();
    EXPECT_EQ(each->out(),
              "picture 1, 2.5 ms, 0 lost before it\n"
              "picture 2, 5 ms, 0 lost before it\n"
              "picture 3, 7.5 ms, 0 lost before it\n");
  }
}

TEST(TheExampleAdder, AnswersWhoAsks) {
  const std::string program = BP_TEST_BUILD_DIR "/examples/adder";
  const std::string key = "posix:/bp-test-adder-" + std::to_string(getpid());
  ChildProcess serving({program, "serve", key, "2"});
  ASSERT_TRUE(serving.wait_for_output("serving")) << serving.err();
  for (const char* a : {"1.5", "40"}) {
    ChildProcess asking({program, "add", key, a, "2"});
    EXPECT_EQ(asking.wait(), 0) << asking.err();
    EXPECT_EQ(asking.out(), a == std::string("40") ? "42\n" : "3.5\n");
  }
  EXPECT_EQ(serving.wait(), 0) << serving.err();
}

TEST(TheExampleLine, TellsWatchersOfEachSpeed) {
  const std::string program = BP_TEST_BUILD_DIR "/examples/line";
  const std::string key = "posix:/bp-test-line-" + std::to_string(getpid());
  ChildProcess watching({program, "watch", key});
  ChildProcess also({program, "watch", key});
  ASSERT_TRUE(eventually([&] { return shm({"inspect", key}).code == 0; }));
  ChildProcess setting({program, "set", key, "1.5"});
  EXPECT_EQ(setting.wait(), 0) << setting.err();
  EXPECT_TRUE(watching.wait_for_output("1.5\n")) << watching.err();
  EXPECT_TRUE(also.wait_for_output("1.5\n")) << also.err();
  ChildProcess next({program, "set", key, "2.5"});
  EXPECT_TRUE(watching.wait_for_output("2.5\n")) << watching.err();
  EXPECT_EQ(ChildProcess({program, "set", "mach:/a", "1"}).wait(), 1);
}

}  // namespace
}  // namespace backplane::test
