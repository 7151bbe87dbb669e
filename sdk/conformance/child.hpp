// SPDX-License-Identifier: Apache-2.0
// A test in a process of its own, and what became of it.
#pragma once

#include <chrono>
#include <functional>
#include <string>

namespace backplane::conformance {

struct Outcome {
  enum class Verdict { kPass, kWarn, kSkip, kFail, kCrash, kTimeout };
  Verdict verdict = Verdict::kFail;
  std::string text;  // why; empty for a pass
  std::chrono::duration<double> taken{};
};

const char* word_of(Outcome::Verdict verdict) noexcept;

/// Calls `test` in a fork of this process, which must have one thread. What it throws is its
/// verdict (test.hpp); what it prints is shown only when it crashes.
Outcome run_in_child(const std::function<void()>& test, std::chrono::duration<double> at_most);

}  // namespace backplane::conformance
