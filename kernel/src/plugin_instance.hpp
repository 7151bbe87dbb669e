// SPDX-License-Identifier: Apache-2.0
// A plugin with one configuration: its life from create to destroy, each step within its time, or
// quarantine.
#pragma once

#include "backplane/kernel.h"
#include "backplane/plugin.h"
#include "backplane/service/state.h"
#include "executor.hpp"
#include "host.hpp"
#include "operation.hpp"

#include <nlohmann/json.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

namespace backplane::kernel {

class Kernel;

class Instance {
 public:
  // `plugin` outlives the instance. All rights are set in `host` before create.
  Instance(Kernel& kernel, std::string name, std::string plugin_id, const bp_plugin& plugin,
           nlohmann::json config);

  // ---- on the control thread ----
  bp_status create(bp_error& error);
  bp_status start(std::chrono::nanoseconds timeout, bp_error& error);
  // Nothing, unless it is started. What is open stays open, but nothing more can be opened.
  bp_status drain(std::chrono::nanoseconds timeout, bp_error& error);
  // Stop, close what is open, destroy; from any state, but drained if it was started. OK, or why it
  // had to be quarantined.
  bp_status end(std::chrono::nanoseconds timeout, bp_error& error);

  // ---- any thread ----
  // The plugin's open on behalf of `operation`, which has begun. PENDING: it pends in `opens`, and
  // is somebody else's from here on. Otherwise the caller finishes it; op.error is filled.
  bp_status open(std::string_view path, const bp_message* options, Operation& operation) noexcept;
  void cancel(bp_op& op) noexcept;
  void report_state(std::uint32_t state, std::string_view detail) noexcept;
  [[nodiscard]] std::uint32_t life() const noexcept {
    return life_.load(std::memory_order_acquire);
  }
  // Strings are good until the next call of visit.
  void describe(bp_instance_info& info, std::string& detail);

  const std::string plugin_id;
  bool made_by_url = false;     // constant once made
  std::string url_path_prefix;  // of an instance that a URL made: put before the rest of its URLs;
                                // constant once made
  Host host;
  PendingList opens;  // pending open operations

 private:
  enum class Step : std::uint8_t { kStart, kDrain, kStop };

  bp_status run(Step step, std::chrono::nanoseconds timeout, bp_error& error);
  void quarantine(std::string_view why);
  void wait_for_opens() noexcept;
  std::string leftovers(const Executor::Left& registered);

  const bp_plugin& plugin_;
  const nlohmann::json config_;
  void* self_ = nullptr;  // of the plugin; constant from create to destroy
  std::atomic<std::uint32_t> life_{BP_LIFE_LOADED};
  std::atomic<std::uint32_t> opening_{0};  // opens that may not be in `opens` yet
  PendingList steps_;
  bp_error said_{};  // by the present step; a step that was given up may still write here

  std::mutex state_mutex_;
  std::uint32_t state_ = BP_STATE_IDLE;  // guarded by state_mutex_
  std::string detail_;                   // guarded by state_mutex_
  std::int64_t next_reason_ = 0;  // likewise: when another reason for the state may be logged
};

}  // namespace backplane::kernel
