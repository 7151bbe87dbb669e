// SPDX-License-Identifier: Apache-2.0
// The tables of host services as full local copies: what this host lacks is a stub that answers
// UNIMPLEMENTED, so that nobody tests for NULL.
#pragma once

#include <backplane/host.h>
#include <backplane/service/buffers.h>
#include <backplane/service/credentials.h>
#include <backplane/service/endpoint.h>
#include <backplane/service/executor.h>
#include <backplane/service/log.h>
#include <backplane/service/metrics.h>
#include <backplane/service/shared_memory.h>
#include <backplane/service/state.h>

#include <algorithm>
#include <cstring>
#include <type_traits>

namespace backplane {

namespace detail {

template <class Function>
struct Stub;
template <class R, class... Args>
struct Stub<R (*)(Args...)> {
  static R call(Args...) noexcept {
    if constexpr (std::is_same_v<R, bp_status>) {
      return BP_UNIMPLEMENTED;
    } else if constexpr (!std::is_void_v<R>) {
      return R{};
    }
  }
};

template <class... Slots>
void fill(Slots&... slots) noexcept {
  ((slots = slots != nullptr ? slots : static_cast<Slots>(&Stub<Slots>::call)), ...);
}

inline void fill_holes(bp_endpoint_service& t) noexcept {
  fill(t.op_new, t.op_free, t.open, t.adopt, t.retain, t.close, t.submit, t.submit_n, t.cancel,
       t.credit, t.ack, t.complete, t.deliver, t.verbs);
}
inline void fill_holes(bp_executor_service& t) noexcept {
  fill(t.post, t.at, t.watch_fd, t.change_fd, t.remove, t.on_loop);
}
inline void fill_holes(bp_log_service& t) noexcept { fill(t.write); }
inline void fill_holes(bp_metrics_service& t) noexcept { fill(t.define, t.add, t.set); }
inline void fill_holes(bp_state_service& t) noexcept { fill(t.report); }
inline void fill_holes(bp_buffers_service& t) noexcept { fill(t.allocate); }
inline void fill_holes(bp_credentials_service& t) noexcept { fill(t.get); }
inline void fill_holes(bp_shared_memory_service& t) noexcept {
  fill(t.open_memory, t.open_channel, t.share_memory, t.share_channel, t.memory_adopt,
       t.memory_close, t.memory_data, t.memory_size, t.memory_grow, t.memory_refresh,
       t.memory_mutex, t.memory_descriptor, t.mutex_lock, t.mutex_repaired, t.mutex_unlock,
       t.channel_adopt, t.channel_close, t.channel_descriptor, t.channel_get_info, t.publisher_open,
       t.publisher_close, t.publisher_loan, t.publisher_publish, t.subscriber_open,
       t.subscriber_close, t.subscriber_receive, t.subscriber_release, t.subscriber_descriptor);
}

}  // namespace detail

/// The service `id` of the host, complete. [control]
template <class Table>
Table fetch_service(const bp_host* host, const char* id) noexcept {
  Table local{};
  if (const auto* offered = static_cast<const Table*>(host->get_service(host, id))) {
    std::memcpy(&local, offered, std::min<size_t>(offered->struct_size, sizeof local));
  }
  local.struct_size = sizeof local;
  detail::fill_holes(local);
  return local;
}

/// All that an instance may use.
struct Services {
  explicit Services(const bp_host* host) noexcept
      : endpoint(fetch_service<bp_endpoint_service>(host, BP_S_ENDPOINT)),
        executor(fetch_service<bp_executor_service>(host, BP_S_EXECUTOR)),
        log(fetch_service<bp_log_service>(host, BP_S_LOG)),
        metrics(fetch_service<bp_metrics_service>(host, BP_S_METRICS)),
        state(fetch_service<bp_state_service>(host, BP_S_STATE)),
        buffers(fetch_service<bp_buffers_service>(host, BP_S_BUFFERS)),
        credentials(fetch_service<bp_credentials_service>(host, BP_S_CREDENTIALS)),
        shared_memory(fetch_service<bp_shared_memory_service>(host, BP_S_SHARED_MEMORY)) {}

  bp_endpoint_service endpoint;
  bp_executor_service executor;
  bp_log_service log;
  bp_metrics_service metrics;
  bp_state_service state;
  bp_buffers_service buffers;
  bp_credentials_service credentials;
  bp_shared_memory_service shared_memory;
};

}  // namespace backplane
