// SPDX-License-Identifier: Apache-2.0
// A program with Qt's classes meets ours on one segment and on one semaphore.
#include "backplane/sdk/semaphore.hpp"
#include "backplane/sdk/shared_memory.hpp"
#include "support/child_process.hpp"
#include "support/eventually.hpp"
#include "support/scratch_folder.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>

namespace backplane::test {
namespace {

using namespace std::chrono_literals;

/// Told by lines what to do.
class QtPeer {
 public:
  QtPeer(const std::string& object, const std::string& kind, const std::string& key)
      : input_((folder_.path() / "input").string()) {
    if (mkfifo(input_.c_str(), 0600) != 0) {
      throw std::runtime_error("mkfifo " + input_);
    }
    to_it_ = open(input_.c_str(), O_RDWR | O_CLOEXEC);
    process_.emplace(std::vector<std::string>{BP_TEST_QT_PEER, object, kind, key, input_});
  }
  ~QtPeer() { close(to_it_); }

  void tell(const std::string& line) {
    const std::string with_end = line + "\n";
    if (write(to_it_, with_end.data(), with_end.size()) < 0) {
      throw std::runtime_error("write");
    }
    ++told_;
  }
  /// Of the line told last.
  std::string answer() {
    const auto lines = [&] {
      return std::count(process_->out().begin(), process_->out().end(), '\n');
    };
    if (!process_->wait_until([&] { return lines() >= told_; })) {
      return "no answer: " + process_->err();
    }
    return process_->last_line();
  }
  std::string ask(const std::string& line) {
    tell(line);
    return answer();
  }
  bool has_answered() {
    process_->wait_until([] { return false; }, 50ms);
    return std::count(process_->out().begin(), process_->out().end(), '\n') >= told_;
  }
  void kill() {
    process_->signal(SIGKILL);
    process_->wait();
  }

 private:
  const ScratchFolder folder_ = ScratchFolder::of_keys();
  const std::string input_;
  int to_it_ = -1;
  std::optional<ChildProcess> process_;
  long told_ = 0;
};

void put(SharedMemory& memory, const char* text) {
  std::strcpy(reinterpret_cast<char*>(memory.data().data()), text);
}
std::string text_of(const SharedMemory& memory) {
  return reinterpret_cast<const char*>(memory.const_data().data());
}

const SharedMemory::Options kPlainExisting{.which = SharedMemory::Which::kExisting, .plain = true};

TEST(AQtProgram, SharesASegmentOfOursByItsNativeKey) {
  const ScratchFolder folder = ScratchFolder::of_keys();
  const NativeKey key(folder.path() / "segment", BP_KEY_SYSTEM_V);
  SharedMemory ours = SharedMemory::open(key, {.size = 100, .plain = true}).value();
  put(ours, "from us");
  QtPeer qt("memory", "native", key.name());
  ASSERT_EQ(qt.ask("attach"), "ok");
  EXPECT_EQ(qt.ask("read"), "100 from us");
  EXPECT_EQ(qt.ask("write from Qt"), "ok");
  EXPECT_EQ(text_of(ours), "from Qt");
  EXPECT_EQ(qt.ask("detach"), "ok");
}

TEST(AQtProgram, SharesASegmentOfItsOwnByItsNativeKey) {
  const ScratchFolder folder = ScratchFolder::of_keys();
  const NativeKey key(folder.path() / "segment", BP_KEY_SYSTEM_V);
  QtPeer qt("memory", "native", key.name());
  ASSERT_EQ(qt.ask("create 100"), "ok");
  EXPECT_EQ(qt.ask("write from Qt"), "ok");
  SharedMemory ours = SharedMemory::open(key, kPlainExisting).value();
  EXPECT_EQ(text_of(ours), "from Qt");
  put(ours, "from us");
  EXPECT_EQ(qt.ask("read"), "100 from us");
}

TEST(AQtProgram, SharesASegmentByItsLegacyKey_NK8) {
  const std::string name = "bp-test Line " + std::to_string(getpid());
  const NativeKey key = NativeKey::legacy(NativeKey::Use::kSharedMemory, name).value();
  QtPeer qt("memory", "legacy", name);
  ASSERT_EQ(qt.ask("create 100"), "ok");
  EXPECT_EQ(qt.ask("write from Qt"), "ok");
  {
    SharedMemory ours = SharedMemory::open(key, kPlainExisting).value();
    EXPECT_EQ(text_of(ours), "from Qt");
    put(ours, "from us");
    EXPECT_EQ(qt.ask("read"), "100 from us");
  }
  EXPECT_EQ(qt.ask("detach"), "ok");
  EXPECT_EQ(SharedMemory::open(key, kPlainExisting).status().code(), BP_NOT_FOUND);
}

TEST(AQtProgram, MeetsUsOnASemaphoreByItsLegacyKey_NK8) {
  const std::string name = "bp-test Line " + std::to_string(getpid());
  const NativeKey key = NativeKey::legacy(NativeKey::Use::kSemaphore, name).value();
  QtPeer qt("semaphore", "legacy", name);
  ASSERT_EQ(qt.ask("create 1"), "ok");
  Semaphore ours = Semaphore::open(key, {.which = Semaphore::Which::kExisting}).value();
  EXPECT_EQ(ours.count().value(), 1u);
  ours.acquire().or_throw();
  qt.tell("acquire");
  EXPECT_FALSE(qt.has_answered());
  ours.release().or_throw();
  EXPECT_EQ(qt.answer(), "ok");
  EXPECT_FALSE(ours.try_acquire().value());
  EXPECT_EQ(qt.ask("release 2"), "ok");
  EXPECT_EQ(ours.count().value(), 2u);
  EXPECT_EQ(qt.ask("acquire"), "ok");
  qt.kill();  // what both have undone: it released more than it had
  EXPECT_TRUE(eventually([&] { return ours.count().value() == 1; }));
  Semaphore::remove(key).or_throw();
  unlink(key.name().c_str());
}

TEST(AQtProgram, MeetsUsOnASemaphoreOfOurs) {
  const std::string name = "bp-test Ours " + std::to_string(getpid());
  const NativeKey key = NativeKey::legacy(NativeKey::Use::kSemaphore, name).value();
  Semaphore ours = Semaphore::open(key, {.initial = 0}).value();
  QtPeer qt("semaphore", "legacy", name);
  ASSERT_EQ(qt.ask("open 5"), "ok");
  qt.tell("acquire");
  EXPECT_FALSE(qt.has_answered());
  ours.release().or_throw();
  EXPECT_EQ(qt.answer(), "ok");
  qt.kill();
  EXPECT_TRUE(ours.acquire_within(10s).is_ok()) << "the system returned what it held";
  Semaphore::remove(key).or_throw();
  unlink(key.name().c_str());
}

}  // namespace
}  // namespace backplane::test
