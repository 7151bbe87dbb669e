// SPDX-License-Identifier: Apache-2.0
// The kernel's side of a bp_host: whose it is, what it may do, what it counts.
#pragma once

#include "backplane/host.h"
#include "counters.hpp"
#include "endpoint_table.hpp"
#include "error.hpp"
#include "operation.hpp"
#include "permissions.hpp"

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace backplane::kernel {

class Kernel;
class Instance;
class DeadlineQueue;
class Metrics;

// One for each instance and one for the application. Stable in memory as long as the kernel.
struct Host {
  Host(Kernel& kernel, Instance* instance, std::string name);
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  static Host& of(const bp_host* host) noexcept {
    return *reinterpret_cast<Host*>(const_cast<bp_host*>(host));
  }

  [[nodiscard]] DeadlineQueue& kernel_deadlines() const noexcept;
  [[nodiscard]] EndpointTable& table() const noexcept;

  // The provider's part in finishing an operation: counts it, and turns an opened endpoint into a
  // reference, which may change the status. Returns the status that the caller sees.
  bp_status settle(Operation& operation, bp_status status) const noexcept;

  // A breach of the contract by the code behind this host: logged and counted; aborts in a checked
  // kernel.
  void breach(std::string_view what) const noexcept;

  bp_host base{};  // the first member: `of` relies on it
  Kernel& kernel;
  Instance* const instance;  // NULL: the application
  const std::string name;
  Permissions permissions;            // constant once the instance is created
  std::vector<std::string> services;  // ids that get_service gives; empty for the application: all
  std::vector<std::string> credentials;    // names that its configuration has; the application: all
  std::vector<std::string> shared_memory;  // keys that its configuration has; the application: all
  mutable Counters counters;
  std::shared_ptr<std::atomic<std::int64_t>> buffers =
      std::make_shared<std::atomic<std::int64_t>>(0);  // not released yet
};

static_assert(offsetof(bp_host, struct_size) == 0);

}  // namespace backplane::kernel
