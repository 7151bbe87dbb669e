// SPDX-License-Identifier: Apache-2.0
// Names to socket addresses without blocking the loop: a thread for each question, one at a time.
#pragma once

#include "address.hpp"
#include <backplane/sdk/loop.hpp>

#include <thread>

namespace backplane::coap {

class Resolver {
 public:
  using Done = std::function<void(Result<std::vector<coap_address_t>>)>;

  explicit Resolver(const Host& host) : host_(host) {}
  ~Resolver() { join(); }
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  /// A question is under way; its `done` will be called.
  bool is_busy() const noexcept { return busy_; }
  /// `done` is called on the loop. Not while one is under way. [loop]
  void ask(const Authority& authority, Done done) {
    join();
    busy_ = true;
    thread_ = std::thread([this, authority, done = std::move(done)] {
      Result<std::vector<coap_address_t>> answer = Status(BP_UNAVAILABLE);
      try {
        answer = resolve(authority);
      } catch (...) {
        answer = current_exception_status();
      }
      const auto tell = [this, done, answer = std::move(answer)] {
        join();  // it has nothing left to do
        busy_ = false;
        done(answer);
      };
      while (post(host_, tell).is_error()) {
        std::this_thread::yield();  // no memory for a task: nobody else can say that it ended
      }
    });
  }

 private:
  void join() {
    if (thread_.joinable()) {
      thread_.join();
    }
  }

  const Host& host_;
  std::thread thread_;
  bool busy_ = false;
};

}  // namespace backplane::coap
