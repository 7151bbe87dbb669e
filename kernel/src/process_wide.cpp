// SPDX-License-Identifier: Apache-2.0
#include "process_wide.hpp"

#include <atomic>
#include <pthread.h>

namespace backplane::kernel {
namespace {

std::atomic<std::uint32_t> generation{1};

std::mutex& registered() noexcept {
  static std::mutex* const mutex = [] {
    auto* const made = new std::mutex;  // outlives every static destructor
    pthread_atfork([] { process_wide().lock(); }, [] { process_wide().unlock(); },
                   [] {
                     generation.fetch_add(1, std::memory_order_relaxed);
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
  return generation.load(std::memory_order_relaxed);
}

}  // namespace backplane::kernel
