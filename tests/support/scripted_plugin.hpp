// SPDX-License-Identifier: Apache-2.0
// A plugin that does what the test says, linked into the test, and a kernel that runs one instance
// of it, named `it`.
#pragma once

#include "backplane/backplane.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace backplane::test {

// What is empty succeeds at once. One at a time in a process; it outlives the kernel.
class Script {
 public:
  Script() { current_ = this; }
  ~Script() { current_ = nullptr; }
  Script(const Script&) = delete;
  Script& operator=(const Script&) = delete;

  static Script& current() { return *current_; }
  // The entry, to be given to bp_kernel_add_plugin, and the manifest that belongs to it.
  static bp_status entry(const bp_offer* offer, const bp_plugin** out, bp_error* error);
  static std::string manifest(const std::string& more = {});

  std::function<bp_status(const bp_value& config, bp_error* error)> create;
  std::function<bp_status(bp_op*)> start;
  std::function<bp_status(bp_op*)> drain;
  std::function<bp_status(bp_op*)> stop;
  std::function<void(bp_op*)> cancel_step;  // of open and the life cycle
  std::function<bp_status(std::string_view path, bp_op*, bp_endpoint* out)> open;
  std::function<bp_status(bp_op*)> submit;
  std::function<std::uint32_t(bp_op* const*, std::uint32_t)> submit_n;
  std::function<void(bp_op*)> cancel;
  std::function<void(bp_op*, std::uint32_t)> credit;
  std::function<void(bp_op*, std::uint64_t, bp_status)> ack;
  std::function<void(void* self)> close;

  // The endpoint that `open` gives if it is empty: all verbs, `self` NULL.
  static bp_endpoint endpoint(void* self = nullptr, std::uint32_t verbs = UINT32_MAX);

  const bp_host* host = nullptr;  // of the instance, from create on
  std::atomic<int> closed{0};
  std::atomic<int> destroyed{0};

 private:
  static inline Script* current_ = nullptr;
};

class ScriptedKernel {
 public:
  // `manifest`: the system manifest; the default has the instance `it`. Throws on an error.
  explicit ScriptedKernel(const std::string& manifest = "[instances.it]\nplugin = \"scripted\"\n",
                          const std::string& plugin_manifest_more = {});
  ~ScriptedKernel();
  ScriptedKernel(const ScriptedKernel&) = delete;
  ScriptedKernel& operator=(const ScriptedKernel&) = delete;

  bp_status start(bp_error* error = nullptr);
  bp_status drain() { return bp_kernel_drain(kernel, nullptr); }
  bp_status stop(bp_error* error = nullptr) { return bp_kernel_stop(kernel, error); }

  // An address that opens inline.
  bp_ref open(std::string_view address);
  bp_op* new_op(std::uint16_t verb, bp_ref target);
  void free_op(bp_op* op) { service->op_free(host, op); }
  bp_status submit(bp_op* op) { return service->submit(host, op); }

  // Log records so far that contain `text`.
  int logged(std::string_view text);

  bp_kernel* kernel = nullptr;
  const bp_host* host = nullptr;
  const bp_endpoint_service* service = nullptr;

 private:
  std::mutex mutex_;
  std::vector<std::string> log_;  // guarded by mutex_
};

inline std::string text(const bp_error& error) { return {error.message, error.message_len}; }

// The monotonic time that far from now, as deadlines have it.
inline std::int64_t in(std::chrono::nanoseconds time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch() + time)
      .count();
}

}  // namespace backplane::test
