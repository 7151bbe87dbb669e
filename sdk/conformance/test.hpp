// SPDX-License-Identifier: Apache-2.0
// One test of the conformance suite: what a plugin must do, and the code that sees whether it does.
#pragma once

#include <backplane/sdk/status.hpp>

#include <chrono>
#include <span>
#include <stdexcept>
#include <string_view>

namespace backplane::conformance {

class Subject;

/// Thrown by a test: the plugin does not do what it must.
struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};
/// Thrown by a test: it does, but its users will mind.
struct Warning : std::runtime_error {
  using std::runtime_error::runtime_error;
};
/// Thrown by a test: what it needs is not there.
struct Skipped : std::runtime_error {
  using std::runtime_error::runtime_error;
};

template <class... Parts>
void require(bool holds, const Parts&... otherwise) {
  if (!holds) {
    throw Failure(concat(otherwise...));
  }
}

/// How long a test waits for what must happen soon: 10 s, or a quarter of its own time limit.
std::chrono::nanoseconds patience() noexcept;
void set_time_limit(std::chrono::duration<double> limit) noexcept;

struct Test {
  std::string_view name;  // level.what_it_does
  std::string_view asks;  // of the plugin, in a line
  void (*run)(Subject&);
};

// The levels, a file each.
std::span<const Test> static_tests() noexcept;
std::span<const Test> load_tests() noexcept;
std::span<const Test> lifecycle_tests() noexcept;
std::span<const Test> verb_tests() noexcept;
std::span<const Test> completion_tests() noexcept;
std::span<const Test> stream_tests() noexcept;
std::span<const Test> memory_tests() noexcept;
std::span<const Test> thread_tests() noexcept;
std::span<const Test> host_tests() noexcept;

/// All of them, in this order.
std::span<const Test> all_tests();

}  // namespace backplane::conformance
