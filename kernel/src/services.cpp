// SPDX-License-Identifier: Apache-2.0
#include "services.hpp"

#include "backplane/service/buffers.h"
#include "backplane/service/credentials.h"
#include "backplane/service/executor.h"
#include "backplane/service/log.h"
#include "backplane/service/metrics.h"
#include "backplane/service/queue.h"
#include "backplane/service/shared_memory.h"
#include "backplane/service/state.h"
#include "completion_queue.hpp"
#include "credentials.hpp"
#include "dispatch.hpp"
#include "executor.hpp"
#include "host.hpp"
#include "kernel.hpp"
#include "message_copy.hpp"
#include "metrics.hpp"
#include "plugin_instance.hpp"
#include "shared_memory_service.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <new>

namespace backplane::kernel {
namespace {

// ---- bp.log/1 ----
void log_write(const bp_host* host, std::uint32_t level, bp_str message, const bp_pair* fields,
               std::uint32_t n) {
  const Host& owner = Host::of(host);
  if (level <= *host->log_level) owner.kernel.log(&owner, level, view(message), fields, n);
}
constexpr bp_log_service kLog = {BP_SIZE_TO(bp_log_service, write), 0, log_write};

// ---- bp.metrics/1 ----
bp_status metrics_define(const bp_host* host, bp_str name, std::uint32_t kind,
                         const bp_pair* labels, std::uint32_t n, std::uint64_t* id) {
  const Host& owner = Host::of(host);
  return guarded([&] { return owner.kernel.metrics().define(owner, name, kind, labels, n, *id); });
}
void metrics_add(const bp_host* host, std::uint64_t id, std::int64_t delta) {
  Host::of(host).kernel.metrics().add(id, delta);
}
void metrics_set(const bp_host* host, std::uint64_t id, std::int64_t value) {
  Host::of(host).kernel.metrics().set(id, value);
}
constexpr bp_metrics_service kMetrics = {BP_SIZE_TO(bp_metrics_service, set), 0, metrics_define,
                                         metrics_add, metrics_set};

// ---- bp.executor/1 ----
Executor& executor_of(const bp_host* host) { return Host::of(host).kernel.executor(); }
bp_status executor_post(const bp_host* host, void (*run)(void*), void* user) {
  return executor_of(host).post(run, user);
}
bp_status executor_at(const bp_host* host, std::int64_t time_ns, void (*run)(void*), void* user,
                      std::uint64_t* id) {
  return executor_of(host).at(host, time_ns, run, user, id);
}
bp_status executor_watch(const bp_host* host, std::int32_t fd, std::uint32_t events,
                         void (*run)(void*, std::uint32_t), void* user, std::uint64_t* id) {
  return executor_of(host).watch_fd(host, fd, events, run, user, id);
}
bp_status executor_change(const bp_host* host, std::uint64_t id, std::uint32_t events) {
  return executor_of(host).change_fd(id, events);
}
bp_status executor_remove(const bp_host* host, std::uint64_t id) {
  return executor_of(host).remove(id);
}
std::uint32_t executor_on_loop(const bp_host* host) { return executor_of(host).on_loop() ? 1 : 0; }
constexpr bp_executor_service kExecutor = {BP_SIZE_TO(bp_executor_service, on_loop),
                                           0,
                                           executor_post,
                                           executor_at,
                                           executor_watch,
                                           executor_change,
                                           executor_remove,
                                           executor_on_loop};

// ---- bp.buffers/1 ----
// A heap buffer that its instance's count knows until it is released. The count lives as long as
// the kernel's hosts do, and a buffer may outlive both: it keeps the count alive.
struct CountedBuffer {
  bp_buffer buffer{};
  std::atomic<std::uint32_t> owners{1};
  std::shared_ptr<std::atomic<std::int64_t>> count;
};
void counted_retain(bp_buffer* buffer) {
  reinterpret_cast<CountedBuffer*>(buffer)->owners.fetch_add(1, std::memory_order_relaxed);
}
void counted_release(bp_buffer* buffer) {
  auto* counted = reinterpret_cast<CountedBuffer*>(buffer);
  if (counted->owners.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  counted->count->fetch_sub(1, std::memory_order_relaxed);
  counted->~CountedBuffer();
  std::free(counted);
}
constexpr bp_buffer_ops kCountedOps = {BP_SIZE_TO(bp_buffer_ops, release), BP_BUFFER_HEAP,
                                       counted_retain, counted_release};
constexpr std::size_t kCountedHeader = (sizeof(CountedBuffer) + 15) / 16 * 16;

bp_status buffers_allocate(const bp_host* host, std::uint64_t length, bp_buffer** out) {
  if (length > SIZE_MAX / 2) return BP_RESOURCE_EXHAUSTED;
  void* const memory = std::aligned_alloc(16, (kCountedHeader + length + 15) / 16 * 16);
  if (memory == nullptr) return BP_RESOURCE_EXHAUSTED;
  auto* counted = new (memory) CountedBuffer;
  counted->buffer.ops = &kCountedOps;
  counted->buffer.data = static_cast<char*>(memory) + kCountedHeader;
  counted->buffer.len = length;
  counted->buffer.cap = length;
  counted->count = Host::of(host).buffers;
  counted->count->fetch_add(1, std::memory_order_relaxed);
  *out = &counted->buffer;
  return BP_OK;
}
constexpr bp_buffers_service kBuffers = {BP_SIZE_TO(bp_buffers_service, allocate), 0,
                                         buffers_allocate};

// ---- bp.credentials/1 ----
bp_status credentials_get(const bp_host* host, bp_str name, bp_str field, std::uint32_t flags,
                          bp_buffer** out, bp_error* error) {
  const Host& owner = Host::of(host);
  return guarded([&]() -> bp_status {
    const std::string wanted(view(name));
    if (owner.instance != nullptr && std::find(owner.credentials.begin(), owner.credentials.end(),
                                               wanted) == owner.credentials.end()) {
      return set_error(error, BP_PERMISSION_DENIED,
                       "the configuration of '" + owner.name + "' does not name the credential '" +
                           wanted + "'");
    }
    if ((flags & ~BP_CREDENTIAL_AS_FILE) != 0)
      return set_error(error, BP_UNIMPLEMENTED, "unknown flag of bp.credentials/1");
    std::string exposed;
    const bp_status status = owner.kernel.credentials().get(
        wanted, view(field), (flags & BP_CREDENTIAL_AS_FILE) != 0, out, error, &exposed);
    if (!exposed.empty()) {
      owner.kernel.log(
          &owner, BP_LOG_WARNING,
          "'" + exposed + "' holds a secret and everybody can read it: chmod o-r '" + exposed + "'",
          nullptr, 0);
    }
    return status;
  });
}
constexpr bp_credentials_service kCredentials = {BP_SIZE_TO(bp_credentials_service, get), 0,
                                                 credentials_get};

// ---- bp.state/1 ----
void state_report(const bp_host* host, std::uint32_t state, bp_str detail) {
  const Host& owner = Host::of(host);
  if (owner.instance != nullptr) owner.instance->report_state(state, view(detail));
}
constexpr bp_state_service kState = {BP_SIZE_TO(bp_state_service, report), 0, state_report};

// ---- bp.queue/1 ----
CompletionQueue& queue_of(bp_queue* queue) { return *reinterpret_cast<CompletionQueue*>(queue); }

bp_status queue_open(const bp_host*, bp_queue** out, std::int32_t* fd) {
  return guarded([&] {
    auto queue = std::make_unique<CompletionQueue>();
    *fd = queue->descriptor();
    *out = reinterpret_cast<bp_queue*>(queue.release());
    return BP_OK;
  });
}
// Runs `start`; what pends will give an event here.
template <typename Start>
bp_status through_queue(bp_queue* queue, Start start) {
  queue_of(queue).begin();
  const bp_status status = start();
  if (status != BP_PENDING) queue_of(queue).end_without_event();
  return status;
}
bp_status queue_submit(const bp_host* host, bp_queue* queue, bp_op* op) {
  return through_queue(queue, [&] { return submit_to(host, op, &queue_of(queue)); });
}
bp_status queue_open_address(const bp_host* host, bp_queue* queue, bp_str address,
                             const bp_message* options, bp_op* op) {
  return through_queue(queue,
                       [&] { return open_to(host, address, options, op, &queue_of(queue)); });
}
std::uint32_t queue_poll(const bp_host*, bp_queue* queue, bp_event* out, std::uint32_t n,
                         std::int64_t timeout_ns) {
  return queue_of(queue).poll(out, n, timeout_ns);
}
void queue_release(const bp_host*, bp_queue*, const bp_event* events, std::uint32_t n) {
  CompletionQueue::release(events, n);
}
bp_status queue_close(const bp_host*, bp_queue* queue) {
  if (!queue_of(queue).idle()) return BP_FAILED_PRECONDITION;
  delete &queue_of(queue);
  return BP_OK;
}
constexpr bp_queue_service kQueue = {BP_SIZE_TO(bp_queue_service, close),
                                     0,
                                     queue_open,
                                     queue_submit,
                                     queue_open_address,
                                     queue_poll,
                                     queue_release,
                                     queue_close};

struct Entry {
  std::string_view id;
  const void* table;
};
const std::array<Entry, 9>& entries() {
  static const std::array<Entry, 9> all = {{{BP_S_ENDPOINT, &kEndpointService},
                                            {BP_S_EXECUTOR, &kExecutor},
                                            {BP_S_QUEUE, &kQueue},
                                            {BP_S_LOG, &kLog},
                                            {BP_S_METRICS, &kMetrics},
                                            {BP_S_BUFFERS, &kBuffers},
                                            {BP_S_CREDENTIALS, &kCredentials},
                                            {BP_S_SHARED_MEMORY, &kSharedMemoryService},
                                            {BP_S_STATE, &kState}}};
  return all;
}

}  // namespace

const void* get_service(const bp_host* host, const char* id) {
  const Host& owner = Host::of(host);
  const std::string_view wanted(id);
  if (owner.instance != nullptr &&
      std::find(owner.services.begin(), owner.services.end(), wanted) == owner.services.end())
    return nullptr;
  for (const Entry& entry : entries()) {
    if (entry.id == wanted) return entry.table;
  }
  return nullptr;
}

bool has_service(std::string_view id) {
  return std::any_of(entries().begin(), entries().end(),
                     [&](const Entry& entry) { return entry.id == id; });
}

}  // namespace backplane::kernel
