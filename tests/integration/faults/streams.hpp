// SPDX-License-Identifier: Apache-2.0
// What goes through a line while it is broken: numbers, which show when one was lost, garbled, or
// overtaken.
#pragma once

#include "backplane/sdk/guarded.hpp"
#include "backplane/sdk/kernel.hpp"
#include "support/eventually.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>

namespace backplane::test {

/// A number as a text that is another one when any byte of it is.
inline std::string sealed(int number) {
  const std::string text = std::to_string(number);
  return concat(text, " ", std::hash<std::string>()(text), " is the seal of ", text);
}
inline std::optional<int> unsealed(const std::string& text) {
  const int number = std::atoi(text.c_str());
  return text == sealed(number) ? std::optional(number) : std::nullopt;
}

/// The numbers that somebody has received. Any thread.
class Numbers {
 public:
  void add(const std::string& text) {
    const auto number = unsealed(text);
    auto state = state_.lock();
    if (!number) {
      ++state->garbled;
      return;
    }
    state->overtaken += *number < state->last ? 1 : 0;
    state->last = std::max(state->last, *number);
    state->all.insert(*number);
  }
  /// The greatest.
  int last() const { return state_.lock()->last; }
  size_t garbled() const { return state_.lock()->garbled; }
  /// Those that came after a greater one.
  size_t overtaken() const { return state_.lock()->overtaken; }
  std::vector<int> missing(const std::set<int>& of) const {
    const auto state = state_.lock();
    std::vector<int> out;
    std::set_difference(of.begin(), of.end(), state->all.begin(), state->all.end(),
                        std::back_inserter(out));
    return out;
  }

 private:
  struct State {
    std::set<int> all;
    int last = 0;
    size_t garbled = 0;
    size_t overtaken = 0;
  };
  mutable Guarded<State> state_;
};

/// A thread that does something with 1, 2, 3 and so on, with a pause between.
class Counting {
 public:
  Counting(std::chrono::milliseconds pause, std::function<void(int)> what)
      : thread_([this, pause, what = std::move(what)] {
          while (!ending_) {
            what(++begun_);
            poll(nullptr, 0, static_cast<int>(pause.count()));
          }
        }) {}
  Counting(const Counting&) = delete;
  Counting& operator=(const Counting&) = delete;
  ~Counting() { stop(); }
  void stop() {
    ending_ = true;
    if (thread_.joinable()) {
      thread_.join();
    }
  }
  /// The number with which it is busy, or was last.
  int last() const { return begun_; }

 private:
  std::atomic<int> begun_{0};
  std::atomic<bool> ending_{false};
  std::thread thread_;
};

/// Writes one number after the other, and remembers which were accepted.
class WriteStream {
 public:
  /// `most`: under way at a time.
  WriteStream(Endpoint endpoint, int most,
              std::chrono::milliseconds pause = std::chrono::milliseconds(2))
      : endpoint_(std::move(endpoint)),
        most_(most),
        counting_(pause, [this](int number) { write(number); }) {}
  ~WriteStream() { stop(); }

  int begun() const { return counting_.last(); }
  int last_accepted() const { return last_accepted_; }
  size_t refused() const { return refused_; }
  /// For people: why the last one was refused.
  std::string refusal() const { return refusal_.copy(); }
  std::set<int> accepted() const { return accepted_.copy(); }
  /// Writes no more, and waits for what is under way.
  void stop() {
    is_ending_ = true;
    counting_.stop();
    EXPECT_TRUE(eventually([&] { return under_way_ == 0; }, std::chrono::seconds(60)));
  }

 private:
  void write(int number) {
    if (!eventually([&] { return under_way_ < most_ || is_ending_; }, std::chrono::hours(1)) ||
        is_ending_) {
      return;
    }
    ++under_way_;
    endpoint_.write(sealed(number)).then([this, number](const Status& status) {
      if (status.is_ok()) {
        accepted_.lock()->insert(number);
        last_accepted_ = std::max(last_accepted_.load(), number);
      } else {
        refusal_.lock()->assign(status.to_string());
        ++refused_;
      }
      --under_way_;
    });
  }

  const Endpoint endpoint_;
  const int most_;
  mutable Guarded<std::set<int>> accepted_;
  mutable Guarded<std::string> refusal_;
  std::atomic<int> last_accepted_{0};
  std::atomic<size_t> refused_{0};
  std::atomic<int> under_way_{0};
  std::atomic<bool> is_ending_{false};
  Counting counting_;  // the last member: it uses the others
};

}  // namespace backplane::test
