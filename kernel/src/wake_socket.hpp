// SPDX-License-Identifier: Apache-2.0
// What wakes another process that waits with poll(2): a datagram to a socket of it. Its name is in
// the abstract namespace (unix(7)), so that nothing is left of it when its process ends, and is
// random, so that nobody else has it.
#pragma once

#include "descriptor.hpp"

#include <cstdint>

namespace backplane::kernel {

class WakeSocket {
 public:
  // An errno, or 0.
  int open() noexcept;
  bool is_open() const noexcept { return static_cast<bool>(socket_); }
  int descriptor() const noexcept { return socket_.get(); }
  std::uint64_t address() const noexcept { return address_; }  // not 0
  // Takes all that came.
  void drain() const noexcept;

  // Once before wake(), in this process or its parent; an errno, or 0.
  static int prepare_to_wake() noexcept;
  // Wakes the one with that address, if there is one. Does not wait.
  static void wake(std::uint64_t address) noexcept;

 private:
  Descriptor socket_;
  std::uint64_t address_ = 0;
};

}  // namespace backplane::kernel
