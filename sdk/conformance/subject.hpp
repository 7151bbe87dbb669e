// SPDX-License-Identifier: Apache-2.0
// Subject: the plugin under test, alone or as an instance of a running system.
#pragma once

#include "test.hpp"
#include "traits.hpp"
#include <backplane/sdk/guarded.hpp>
#include <backplane/sdk/kernel.hpp>

#include <filesystem>
#include <memory>
#include <optional>

namespace backplane::conformance {

/// Which files are the plugin, and where the others of its system are.
struct PluginFiles {
  std::filesystem::path library;
  std::filesystem::path manifest;
  std::string id;  // as the manifest says
  std::string version;
  std::string plugin_folders;  // a:b, of the subject and of the installation
  std::string manifest_folders;
};

/// A kernel with the system of the traits, from its start to its stop.
class RunningSystem {
 public:
  /// Throws Failure when it does not start; Skipped when a manifest that was `made_up` lacks keys.
  RunningSystem(const PluginFiles& files, const std::string& manifest, bool made_up);

  const Host& host() const noexcept { return kernel_.host(); }
  Kernel& kernel() noexcept { return kernel_; }
  Result<Endpoint> open(std::string_view address) const;
  /// Stops; throws Failure when that is not clean, or the plugin has breached the contract.
  void stop();

 private:
  void require_no_breach();

  // Errors that were logged; the kernel logs until it is gone.
  std::shared_ptr<Guarded<std::vector<std::string>>> errors_ =
      std::make_shared<Guarded<std::vector<std::string>>>();
  Kernel kernel_;
};

class Subject {
 public:
  Subject(PluginFiles files, Traits traits, bool isolated);

  const PluginFiles& files() const noexcept { return files_; }
  const Traits& traits() const noexcept { return traits_; }
  bool is_isolated() const noexcept { return isolated_; }

  /// The system of the traits, started when it is first asked for, and again after stop().
  RunningSystem& system();
  void stop();

  /// An endpoint of the traits, open, and past what is UNAVAILABLE at first.
  Endpoint open(const EndpointTraits& endpoint, std::chrono::nanoseconds at_most = patience());
  Result<Endpoint> open(std::string_view path);
  /// Has the system a second instance, with the keys of the traits, from its next start on. False:
  /// they tell none.
  bool add_twin();
  Result<Endpoint> open_of_twin(std::string_view path);

  /// The first endpoint of the traits that `fits`; throws Skipped, with `what` it lacks.
  template <class Fits>
  const EndpointTraits& endpoint(std::string_view what, Fits fits) const {
    for (const EndpointTraits& endpoint : traits_.endpoints) {
      if (fits(endpoint)) {
        return endpoint;
      }
    }
    throw Skipped(concat("its traits name no endpoint ", what));
  }
  const EndpointTraits& readable() const;
  const EndpointTraits& writable() const;
  const EndpointTraits& watchable() const;

  /// Has the endpoint make one message, if it is one that must be asked: the n-th of its values. A
  /// write may be held back or refused by a watcher that has no credit: `may_fail`.
  void stir(const EndpointTraits& endpoint, Endpoint& open, size_t n, bool may_fail = false);

 private:
  std::string manifest() const;

  const PluginFiles files_;
  const Traits traits_;
  const bool isolated_;
  bool has_twin_ = false;
  std::optional<RunningSystem> system_;
};

}  // namespace backplane::conformance
