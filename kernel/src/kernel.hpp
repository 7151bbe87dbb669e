// SPDX-License-Identifier: Apache-2.0
// The object that owns everything: no part of the kernel is global, so that two kernels in one
// process do not know each other.
#pragma once

#include "backplane/kernel.h"
#include "control_thread.hpp"
#include "credentials.hpp"
#include "deadline_queue.hpp"
#include "endpoint_table.hpp"
#include "executor.hpp"
#include "host.hpp"
#include "metrics.hpp"
#include "plugin_catalogue.hpp"
#include "plugin_instance.hpp"
#include "plugin_library.hpp"
#include "shared_memory_service.hpp"
#include "system_manifest.hpp"

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

namespace backplane::kernel {

struct Address;

// Design notes: threads. Life cycle calls run on the control thread, one at a time. Opening,
// submitting and completing run on the callers' threads. The loop runs plugins' sockets and timers,
// deadlines, and the reclaiming of endpoints. Lock order: instances_mutex_ before any lock of an
// instance; no plugin code is called with a lock of the kernel held.
class Kernel {
 public:
  explicit Kernel(const bp_kernel_options& options);
  // After shut_down() only.
  ~Kernel();
  // Stops everything. False: code of a plugin is still running or may come back, and this object
  // must never be destroyed.
  bool shut_down();
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;

  Kernel* kept_before = nullptr;  // of those that are never destroyed, the one before

  // ---- embedding, see kernel.h ----
  bp_status discover(std::string_view plugin_folders, std::string_view manifest_folders,
                     bp_error* error);
  bp_status add_plugin(bp_plugin_entry entry, std::string_view manifest, bp_error* error);
  using Report = std::function<void(const Diagnostic&)>;
  bp_status load(const std::string& path, const Report& report, bp_error* error);
  bp_status load_text(const std::string& name, std::string_view text, const Report& report,
                      bp_error* error);
  bp_status start(bp_error* error);
  bp_status drain(bp_error* error);
  bp_status stop(bp_error* error);
  void visit_instances(const std::function<void(const bp_instance_info&)>& visit);
  void visit_plugins(const std::function<void(const bp_plugin_info&)>& visit);
  [[nodiscard]] const bp_host* application() const noexcept { return &application_.base; }

  // ---- for the host of an isolated plugin ----
  // Makes it findable, with all its rights set; in the place of one that failed.
  Instance& publish(std::unique_ptr<Instance> instance);
  // From now on that instance is asked for whatever another one opens. Before these are created.
  void open_outside_with(Instance& instance) noexcept { outside_ = &instance; }

  // ---- for the parts ----
  // Opens on behalf of an operation that has begun. Any thread.
  bp_status open(const Host& caller, std::string_view address, const bp_message* options,
                 Operation& operation);
  // Turns operation.opened into a reference in op.out.
  bp_status reference_opened(Operation& operation) noexcept;
  // On an error the endpoint is untouched.
  bp_status adopt(const Host& provider, const bp_endpoint& endpoint, std::uint32_t verbs,
                  bp_ref& out, bp_error* error) noexcept;
  void log(const Host* host, std::uint32_t level, std::string_view message,
           const bp_pair* fields = nullptr, std::uint32_t n_fields = 0) noexcept;
  [[nodiscard]] const std::uint32_t* log_level() const noexcept { return &log_level_; }
  // The name of the system; empty: it has none, or is not loaded yet.
  [[nodiscard]] std::string_view system() const noexcept {
    return manifest_ ? std::string_view(manifest_->options.name) : std::string_view();
  }
  [[nodiscard]] bool checked() const noexcept { return (flags_ & BP_KERNEL_CHECKED) != 0; }
  Executor& executor() noexcept { return executor_; }
  DeadlineQueue& deadlines() noexcept { return deadlines_; }
  EndpointTable& table() noexcept { return table_; }
  Metrics& metrics() noexcept { return metrics_; }
  const Credentials& credentials() const noexcept { return credentials_; }
  SharedNames& shared_names() noexcept { return shared_names_; }

 private:
  bp_status refuse_after_start(bp_error* error);
  bool has_quarantined();
  bool is_loaded(const std::string& plugin);
  // The name of one that lives; empty: there is none.
  std::string instance_of_plugin(const std::string& plugin);
  bp_status accept(std::optional<SystemManifest> manifest, const Diagnostics& diagnostics,
                   const Report& report, bp_error* error);
  bp_status start_all(bp_error& error);
  bp_status drain_all(bp_error& error);
  bp_status stop_all(bp_error& error);
  // Every plugin that the system uses. Each refusal is logged, the first is the error.
  bp_status map_plugins(const SystemManifest& system, bp_error& error);
  const bp_plugin* map_plugin(const PluginManifest& manifest, bp_error& error);
  using Step = bp_status (Instance::*)(std::chrono::nanoseconds timeout, bp_error& error);
  bp_status each_started(Step step, bp_error& error);
  bp_status refuse_on_loop(bp_error* error) const;
  bp_status end_by(bp_status (Kernel::*job)(bp_error&), bp_error* error);
  std::unique_ptr<Instance> make_instance(const std::string& name, const PluginManifest& manifest,
                                          nlohmann::json config, bp_error& error);
  std::unique_ptr<Instance> make_isolated(const InstanceManifest& declared, bp_error& error);
  static bp_status open_on(Instance& instance, std::string_view path, const bp_message* options,
                           Operation& operation) noexcept;
  bp_status open_url(const Address& address, const bp_message* options, Operation& operation);
  bp_status open_on_made(const std::string& url, std::string_view path, const bp_message* options,
                         Operation& operation) noexcept;
  Instance* instance_of_url(const std::string& url, bp_error& error);
  bp_status begin(Instance& instance, std::chrono::nanoseconds timeout, bp_error& error);
  Instance* find_instance(std::string_view name);

  const std::uint32_t flags_;
  const bool level_given_;
  std::uint32_t log_level_;  // plugins read it; written atomically
  void (*const log_)(void*, const bp_log_record*);
  void* const log_user_;

  Executor executor_;
  DeadlineQueue deadlines_;
  EndpointTable table_;
  Metrics metrics_;
  Credentials credentials_;
  SharedNames shared_names_;

  PluginCatalogue plugins_;  // on the control thread once started
  std::map<std::string, bp_plugin_entry, std::less<>> linked_;  // likewise
  std::optional<SystemManifest> manifest_;                      // likewise
  bool manifest_refused_ = false;  // the last that was to be loaded; before the start
  Host application_;               // behind manifest_, whose name it asks for

  std::map<std::string, std::unique_ptr<PluginLibrary>, std::less<>>
      libraries_;                   // written on the control thread, with instances_mutex_
  std::vector<Instance*> started_;  // on the control thread, in the order of start

  Instance* outside_ = nullptr;  // constant once started

  std::shared_mutex instances_mutex_;
  std::map<std::string, std::unique_ptr<Instance>, std::less<>>
      instances_;  // guarded by instances_mutex_
  std::vector<std::unique_ptr<Instance>>
      failed_instances_;  // likewise: somebody may still know them

  std::mutex control_mutex_;
  std::optional<ControlThread> control_;  // made by the first start; guarded by control_mutex_
  std::atomic<bool> ending_{false};       // set before the job that drains is posted
};

}  // namespace backplane::kernel
