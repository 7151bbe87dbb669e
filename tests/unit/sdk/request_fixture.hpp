// SPDX-License-Identifier: Apache-2.0
// What tests of requests have in common.
#pragma once

#include "backplane/sdk/request.hpp"
#include "backplane/sdk/shared_memory.hpp"
#include "support/scratch_folder.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>
#include <unistd.h>

namespace backplane {

using namespace std::chrono_literals;

struct Pair {
  double a;
  double b;
};
inline constexpr auto kForEver = std::chrono::steady_clock::time_point::max();

/// Segments of answers that a process made and that are there; of a killed one: that nobody has.
inline size_t n_answers(pid_t maker = getpid()) {
  size_t n = 0;
  for (const MemoryInfo& each : SharedMemory::list().value()) {
    const bool is_one = each.key.find("backplane-answers-") != std::string::npos;
    n += is_one && each.maker == static_cast<uint64_t>(maker) ? 1 : 0;
  }
  return n;
}

class ARequest : public testing::TestWithParam<uint32_t> {
 protected:
  ARequest() {
    setenv("XDG_RUNTIME_DIR", folder_.path().c_str(), 1);
    key_ = NativeKey::safe(NativeKey::Use::kSharedMemory, concat("bp-test-request-", getpid()),
                           GetParam())
               .value();
  }
  ~ARequest() override {
    stop();
    static_cast<void>(SharedMemory::remove(key_));
  }

  Responder responder(Responder::Options options = {}) const {
    if (options.request_size == 0) options.request_size = 1000;
    if (options.response_size == 0) options.response_size = 1000;
    return Responder::open(key_, options).value();
  }
  /// Adds pairs in a thread.
  void serve(Responder responder) {
    thread_ = std::thread([this, adder = std::move(responder)]() mutable {
      while (!is_over_) {
        Result<Request> request = adder.receive_within(10ms);
        if (!request) continue;
        const auto [a, b] = request->as<Pair>();
        const Status status = request->respond(a + b);  // its requester may have been killed
        EXPECT_TRUE(status.is_ok() || status.code() == BP_UNAVAILABLE) << status.to_string();
      }
    });
  }
  void stop() {
    is_over_ = true;
    if (thread_.joinable()) thread_.join();
  }

  test::ScratchFolder folder_ = test::ScratchFolder::of_keys();
  NativeKey key_;
  std::thread thread_;
  std::atomic<bool> is_over_{false};
};

inline std::string type_of_key(const testing::TestParamInfo<uint32_t>& key) {
  return key.param == BP_KEY_POSIX ? "Posix" : "SystemV";
}

}  // namespace backplane
