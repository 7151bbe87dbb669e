// SPDX-License-Identifier: Apache-2.0
// Names to addresses, without blocking the loop.
#pragma once

#include <backplane/sdk/loop.hpp>

#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace backplane::mqtt {

/// Numeric addresses and "localhost" are answered at once; for other names a thread asks the
/// system's resolver, and ends. Loop thread only.
class Resolver {
 public:
  using Done = std::function<void(Result<std::vector<std::string>>)>;

  explicit Resolver(const Host& host) : host_(host) {}
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;
  /// Waits for the resolver: call only when it is not busy, or when waiting does no harm.
  ~Resolver();

  /// Calls `done` once on the loop, perhaps inside this call. One question at a time.
  void resolve(const std::string& name, Done done);
  bool is_busy() const noexcept { return thread_.joinable(); }

 private:
  const Host& host_;
  std::thread thread_;
};

}  // namespace backplane::mqtt
