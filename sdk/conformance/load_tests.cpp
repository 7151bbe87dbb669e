// SPDX-License-Identifier: Apache-2.0
// Loading: the library alone, mapped as the kernel maps it, its entry called by hand.
#include "footprint.hpp"
#include "library.hpp"
#include "subject.hpp"

#include <array>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <iostream>
#include <time.h>
#include <unistd.h>

namespace backplane::conformance {
namespace {

/// Standard output and error, caught from here on.
class CaughtOutput {
 public:
  CaughtOutput() {
    require(pipe2(pipe_.data(), O_NONBLOCK | O_CLOEXEC) == 0, "no pipe");
    for (size_t i = 0; i < 2; ++i) {
      saved_[i] = fcntl(static_cast<int>(i) + 1, F_DUPFD_CLOEXEC, 3);
      dup2(pipe_[1], static_cast<int>(i) + 1);
    }
  }
  CaughtOutput(const CaughtOutput&) = delete;
  CaughtOutput& operator=(const CaughtOutput&) = delete;
  ~CaughtOutput() {
    restore();
    close(pipe_[0]);
    close(pipe_[1]);
  }
  bool is_empty() {
    std::cout << std::flush;
    fflush(nullptr);
    restore();
    char first = 0;
    return read(pipe_[0], &first, 1) <= 0;
  }

 private:
  void restore() {
    for (size_t i = 0; i < 2; ++i) {
      if (const int fd = std::exchange(saved_[i], -1); fd >= 0) {
        dup2(fd, static_cast<int>(i) + 1);
        close(fd);
      }
    }
  }
  std::array<int, 2> pipe_{};
  std::array<int, 2> saved_{-1, -1};
};

/// Of this thread: a machine that is busy does not count.
std::chrono::nanoseconds processor_time() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

void is_quick_and_quiet(Subject& subject) {
  CaughtOutput output;
  const Footprint before = Footprint::now();
  Library library(subject.files().library);
  const auto wall = std::chrono::steady_clock::now();
  const auto processor = processor_time();
  library.table();
  const auto worked = processor_time() - processor;
  const auto taken = std::chrono::steady_clock::now() - wall;
  const Footprint after = Footprint::now();
  require(output.is_empty(), "its entry, or being mapped, prints something");
  require(after.threads == before.threads, "its entry, or being mapped, starts a thread");
  require(after.descriptors == before.descriptors,
          "its entry, or being mapped, opens a descriptor");
  // One that sleeps works little: a second of that is too much on any machine.
  require(worked < std::chrono::milliseconds(100) && taken < std::chrono::seconds(1),
          "its entry takes ", std::chrono::duration_cast<std::chrono::milliseconds>(taken).count(),
          " ms: 100 at most");
}

void gives_the_same_table_twice(Subject& subject) {
  Library library(subject.files().library);
  const bp_plugin& first = library.table();
  bp_plugin copy{};
  std::memcpy(&copy, &first, std::min<size_t>(sizeof copy, first.struct_size));
  const bp_plugin& second = library.table();
  require(&first == &second, "its entry gives another table the second time");
  require(std::memcmp(&copy, &second, std::min<size_t>(sizeof copy, second.struct_size)) == 0,
          "its table changes from one call of the entry to the next");
}

void is_what_its_manifest_says(Subject& subject) {
  const bp_plugin& table = Library(subject.files().library).table();
  require(to_view(table.id) == subject.files().id, "its id is '", to_view(table.id),
          "', but its manifest says '", subject.files().id, "'");
  require(to_view(table.version) == subject.files().version, "its version is '",
          to_view(table.version), "', but its manifest says '", subject.files().version, "'");
}

void has_what_is_mandatory(Subject& subject) {
  const bp_plugin& table = Library(subject.files().library).table();
  require(table.struct_size >= BP_SIZE_TO(bp_plugin, open), "struct_size is ", table.struct_size,
          ", expected at least ", BP_SIZE_TO(bp_plugin, open));
  const std::array<std::pair<const char*, bool>, 6> slots = {{
      {"create", table.create != nullptr},
      {"start", table.start != nullptr},
      {"drain", table.drain != nullptr},
      {"stop", table.stop != nullptr},
      {"destroy", table.destroy != nullptr},
      {"open", table.open != nullptr},
  }};
  for (const auto& [name, there] : slots) {
    require(there, name, " is NULL");
  }
}

void refuses_a_kernel_that_is_too_old(Subject& subject) {
  Library library(subject.files().library);
  const uint16_t needed = library.table().minor_needed;
  if (needed == 0) {
    throw Skipped("it needs no more than the first minor of the ABI");
  }
  const bp_plugin* out = nullptr;
  bp_error error{};
  const bp_status status = library.enter(static_cast<uint16_t>(needed - 1), out, error);
  require(status < 0, "it needs minor ", needed, ", and takes a kernel with ", needed - 1);
  require(error.message_len != 0, "it refuses an old kernel without a word");
}

void is_loaded_by_the_kernel(Subject& subject) { subject.system(); }

constexpr std::array kTests = {
    Test{"load.is_quick_and_quiet",
         "the entry takes < 100 ms, starts no thread, opens and prints nothing",
         &is_quick_and_quiet},
    Test{"load.gives_the_same_table_twice", "the table is static and does not change",
         &gives_the_same_table_twice},
    Test{"load.is_what_its_manifest_says", "id and version are equal", &is_what_its_manifest_says},
    Test{"load.has_what_is_mandatory", "no mandatory slot is NULL", &has_what_is_mandatory},
    Test{"load.refuses_a_kernel_that_is_too_old", "with a text, when it needs a newer minor",
         &refuses_a_kernel_that_is_too_old},
    Test{"load.is_loaded_by_the_kernel", "the kernel takes it, and its instance starts",
         &is_loaded_by_the_kernel},
};

}  // namespace

std::span<const Test> load_tests() noexcept { return kTests; }

}  // namespace backplane::conformance
