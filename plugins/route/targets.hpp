// SPDX-License-Identifier: Apache-2.0
// Targets: the addresses of a destination with `{path}` in its own, one for each path that a
// message came with, and their references.
#pragma once

#include <backplane/sdk/host.hpp>

#include <map>
#include <string>
#include <string_view>

namespace backplane::route {

/// One of them. It stays where it is while a delivery uses it.
struct Target {
  std::string address;
  bp_ref ref = 0;           // 0: not open
  bool is_unproven = true;  // nothing worked since it was opened
  size_t deliveries = 0;    // that use it
};

/// Inside the turn only.
class Targets {
 public:
  /// With more than this, those that no delivery uses are closed and forgotten.
  static constexpr size_t kMost = 4096;
  /// In bytes: paths and their addresses are kept.
  static constexpr size_t kLongestPath = 1024;
  /// As the plugin's manifest has it, x-backplane-placeholder.
  static constexpr std::string_view kPlaceholder = "{path}";

  /// Whether an address stands for others, one a path.
  static bool has_placeholder(std::string_view address) noexcept {
    return address.find(kPlaceholder) != std::string_view::npos;
  }

  /// `address` has a placeholder. `strip` is what every path begins with and no address has.
  Targets(const Host& host, std::string_view address, std::string strip);
  Targets(const Targets&) = delete;
  Targets& operator=(const Targets&) = delete;
  ~Targets() { close(); }

  /// INVALID_ARGUMENT: there is no such address.
  Result<Target*> at(std::string_view path);
  /// Its reference is of no use any more.
  void close(Target& target) noexcept;
  /// All of them.
  void close() noexcept;

 private:
  Result<std::string_view> filling(std::string_view path) const;
  void forget_unused() noexcept;

  const Host& host_;
  const std::string address_;
  const std::string strip_;
  std::map<std::string, Target, std::less<>> by_path_;
};

}  // namespace backplane::route
