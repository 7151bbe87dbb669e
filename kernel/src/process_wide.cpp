// SPDX-License-Identifier: Apache-2.0
#include "process_wide.hpp"

#include <pthread.h>

namespace backplane::kernel {
namespace {

std::mutex& registered() noexcept {
  static std::mutex* const mutex = [] {
    auto* const made = new std::mutex;  // outlives every static destructor
    pthread_atfork([] { process_wide().lock(); }, [] { process_wide().unlock(); },
                   [] {
                     known_fork_generation.fetch_add(1, std::memory_order_relaxed);
                     process_wide().unlock();
                   });
    return made;
  }();
  return *mutex;
}

}  // namespace

std::mutex& process_wide() noexcept { return registered(); }

std::uint32_t fork_generation() noexcept {
  registered();
  return known_fork_generation.load(std::memory_order_relaxed);
}

}  // namespace backplane::kernel
