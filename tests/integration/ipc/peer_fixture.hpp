// SPDX-License-Identifier: Apache-2.0
// A key of each type, and the program `peer` that uses it and is killed.
#pragma once

#include "backplane/sdk/native_key.hpp"
#include "support/child_process.hpp"
#include "support/scratch_folder.hpp"

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <csignal>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

namespace backplane::test {

class WithPeers : public testing::TestWithParam<uint32_t> {
 protected:
  std::vector<std::string> peer(const std::string& action) const {
    return {BP_TEST_PEER, key_.to_string(), action};
  }
  std::vector<std::string> peer(const std::string& action, const std::string& step) const {
    return {BP_TEST_PEER, key_.to_string(), action, step};
  }

  /// Runs an action again and again, killed at each of its steps in turn, until it comes through.
  /// `look(step)` is for what the killed one has left. Gives how many were killed.
  template <class Look>
  int kill_at_each_step(const std::string& action, int most_steps, Look look) const {
    for (int step = 1; step < most_steps; ++step) {
      ChildProcess child(peer(action, std::to_string(step)));
      const int code = child.wait();
      if (code == 0) return step - 1;
      SCOPED_TRACE("killed at step " + std::to_string(step) + ": " + child.err());
      EXPECT_EQ(code, 128 + SIGKILL);
      if (code != 128 + SIGKILL) return step;
      look(step);
      if (HasFatalFailure()) return step;
    }
    ADD_FAILURE() << "it does not come through in " << most_steps << " steps";
    return most_steps;
  }

  /// Keeps a peer for each action, and kills one after the other at a random instant, which another
  /// takes the place of. All are gone when it returns.
  template <size_t N>
  void kill_under_load(const std::array<const char*, N>& actions, int kills) const {
    std::mt19937 random(GetParam());
    std::array<std::optional<ChildProcess>, N> peers;
    for (size_t i = 0; i < N; ++i) {
      peers[i].emplace(peer(actions[i]));
    }
    for (int i = 0; i < kills; ++i) {
      const size_t turn = static_cast<size_t>(i) % N;
      std::optional<ChildProcess>& victim = peers[turn];
      ASSERT_TRUE(victim->wait_for_output("."))
          << "it does not get on after " << i << " kills: " << victim->err();
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 3000));
      victim->signal(SIGKILL);
      ASSERT_EQ(victim->wait(), 128 + SIGKILL) << victim->err();
      victim.emplace(peer(actions[turn]));
    }
  }

  const ScratchFolder folder_ = ScratchFolder::of_keys();
  const NativeKey key_{GetParam() == BP_KEY_POSIX ? "/bp-test-" + std::to_string(getpid())
                                                  : (folder_.path() / "key").string(),
                       GetParam()};
};

inline std::string type_name(const testing::TestParamInfo<uint32_t>& key) {
  return key.param == BP_KEY_POSIX ? "Posix" : "SystemV";
}

}  // namespace backplane::test
