// SPDX-License-Identifier: Apache-2.0
// FarServices: the services of the other process, as the isolated plugin gets them: state, metrics,
// credentials, shared memory. The others are this kernel's own, and its log goes over the link as a
// whole.
#pragma once

#include "metrics.hpp"
#include "plugins/isolation/link/peer.hpp"
#include <backplane/sdk/loop.hpp>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>

namespace backplane::kernel {
struct Host;
}

namespace backplane::isolation {

/// Design notes. Counting is an addition here; what has changed goes over the link together, a
/// moment later, and before a step of the life cycle is answered. A credential, or what has
/// a name in the other kernel, is asked for with the caller waiting, who may be the loop: then the
/// answer is read by the waiting itself.
/// One in a process: the tables of services have no place for a context.
class FarServices {
 public:
  FarServices();
  ~FarServices();

  /// The peer, once there is one; `host` is whose loop is used.
  void connect(const Host& host, Peer& peer);
  /// Nobody uses the services any more, and the host is about to go.
  void disconnect() noexcept;
  /// Of bp_host.get_service for the plugin's instance.
  static const void* get_service(const bp_host* host, const char* id);
  /// What has changed goes out now.
  void flush();

  bp_status define(const bp_host* host, bp_str name, uint32_t kind, const bp_pair* labels,
                   uint32_t n_labels, uint64_t* id);
  void change(uint64_t id, int64_t by, bool set) noexcept;
  void report(uint32_t state, bp_str detail);
  bp_status credential(bp_str name, bp_str field, uint32_t flags, bp_buffer** out, bp_error* error);
  bp_status open_memory(const bp_host* host, bp_str key, const bp_memory_options* options,
                        bp_memory** out, bp_error* error);
  bp_status open_channel(const bp_host* host, bp_str key, const bp_channel_options* options,
                         bp_channel** out, bp_error* error);

 private:
  struct Metric {
    std::atomic<int64_t> value{0};
    int64_t told = 0;  // guarded by mutex_
  };
  static constexpr size_t kMostMetrics = 4096;

  bp_status ask(const Peer::Fill& fill, bp_error* error,
                const std::function<void(const Peer::Answered&)>& read);
  bp_status ask_for_shared(bp_str key, UniqueFd& out, bp_error* error,
                           const std::function<void(wire::Shared::Builder)>& options);

  Peer* peer_ = nullptr;        // constant once connected
  const Host* host_ = nullptr;  // likewise
  std::unique_ptr<Timer> timer_;
  std::atomic<bool> changed_{false};
  std::array<std::atomic<Metric*>, kMostMetrics> metrics_{};  // by number, from 1
  std::mutex mutex_;
  std::map<uint64_t, uint64_t> numbers_;       // by this kernel's id; guarded by mutex_
  std::deque<std::unique_ptr<Metric>> owned_;  // guarded by mutex_
};

}  // namespace backplane::isolation
