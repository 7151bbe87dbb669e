// SPDX-License-Identifier: Apache-2.0
#include "plugins/isolation/host/far_services.hpp"

#include "host.hpp"
#include "kernel.hpp"
#include "services.hpp"
#include <backplane/sdk/boundary.hpp>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace backplane::isolation {
namespace {

using namespace std::chrono_literals;

constexpr auto kTogether = 100ms;

FarServices* far = nullptr;

template <class Body>
bp_status guarded(bp_error* error, Body body) noexcept {
  return boundary(error, body);
}

bp_status metrics_define(const bp_host* host, bp_str name, uint32_t kind, const bp_pair* labels,
                         uint32_t n, uint64_t* id) {
  return guarded(nullptr, [&] { return far->define(host, name, kind, labels, n, id); });
}
void metrics_add(const bp_host*, uint64_t id, int64_t delta) { far->change(id, delta, false); }
void metrics_set(const bp_host*, uint64_t id, int64_t value) { far->change(id, value, true); }
constexpr bp_metrics_service kMetrics = {BP_SIZE_TO(bp_metrics_service, set), 0, metrics_define,
                                         metrics_add, metrics_set};

void state_report(const bp_host*, uint32_t state, bp_str detail) {
  guarded(nullptr, [&] { far->report(state, detail); });
}
constexpr bp_state_service kState = {BP_SIZE_TO(bp_state_service, report), 0, state_report};

bp_status credentials_get(const bp_host*, bp_str name, bp_str field, uint32_t flags,
                          bp_buffer** out, bp_error* error) {
  return guarded(error, [&] { return far->credential(name, field, flags, out, error); });
}
constexpr bp_credentials_service kCredentials = {BP_SIZE_TO(bp_credentials_service, get), 0,
                                                 credentials_get};

bp_status open_memory(const bp_host* host, bp_str key, const bp_memory_options* options,
                      bp_memory** out, bp_error* error) {
  *out = nullptr;
  return guarded(error, [&] { return far->open_memory(host, key, options, out, error); });
}
bp_status open_channel(const bp_host* host, bp_str key, const bp_channel_options* options,
                       bp_channel** out, bp_error* error) {
  *out = nullptr;
  return guarded(error, [&] { return far->open_channel(host, key, options, out, error); });
}
/// What the caller's headers had of a sized struct; adopting looks at the rest.
template <class Options>
Options known_part(const Options* options) {
  Options out{};
  if (options != nullptr) {
    std::memcpy(&out, options, std::min<size_t>(options->struct_size, sizeof out));
  }
  return out;
}
/// Adopting knows a descriptor, and who has asked a key.
bp_status about(bp_str key, bp_status status, bp_error* error) {
  if (status >= 0 || error == nullptr) {
    return status;
  }
  return Status::from(status, *error)
      .with_context("'", backplane::to_view(key), "' of this kernel")
      .to(error);
}
/// The kernel's own, but for those two.
const bp_shared_memory_service kSharedMemory = [] {
  bp_shared_memory_service out = *bp_shared_memory();
  out.open_memory = open_memory;
  out.open_channel = open_channel;
  return out;
}();

/// A secret is wiped with its last owner.
struct Secret {
  bp_buffer base;
  std::atomic<uint32_t> owners;
  int descriptor;
  std::string text;
};
void secret_retain(bp_buffer* buffer) {
  reinterpret_cast<Secret*>(buffer)->owners.fetch_add(1, std::memory_order_relaxed);
}
void secret_release(bp_buffer* buffer) {
  auto* const secret = reinterpret_cast<Secret*>(buffer);
  if (secret->owners.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    explicit_bzero(secret->text.data(), secret->text.size());
    if (secret->descriptor >= 0) {
      ::close(secret->descriptor);
    }
    delete secret;
  }
}
constexpr bp_buffer_ops kSecretOps = {BP_SIZE_TO(bp_buffer_ops, release), BP_BUFFER_HEAP,
                                      secret_retain, secret_release};

bp_buffer* new_secret(std::string text, int descriptor) {
  auto* const secret = new Secret{{&kSecretOps, nullptr, 0, 0, 0}, 1, descriptor, std::move(text)};
  secret->base.data = secret->text.data();
  secret->base.len = secret->base.cap = secret->text.size();
  return &secret->base;
}

/// The content as a file that libraries can open by its path.
bp_buffer* as_file(std::string_view content) {
  UniqueFd file(memfd_create("bp-credential", MFD_CLOEXEC));
  if (!file ||
      ::write(file.get(), content.data(), content.size()) != static_cast<ssize_t>(content.size())) {
    throw Error(BP_RESOURCE_EXHAUSTED, "no memory for a credential");
  }
  bp_buffer* const path = new_secret(concat("/proc/self/fd/", file.get()), file.get());
  static_cast<void>(file.release());
  return path;
}

}  // namespace

FarServices::FarServices() { far = this; }
FarServices::~FarServices() { far = nullptr; }

void FarServices::connect(const Host& host, Peer& peer) {
  host_ = &host;
  peer_ = &peer;
  timer_ = std::make_unique<Timer>(host, [this] { flush(); });
}

void FarServices::disconnect() noexcept {
  timer_.reset();
  peer_ = nullptr;
  host_ = nullptr;
}

const void* FarServices::get_service(const bp_host* host, const char* id) {
  const void* const own = kernel::get_service(host, id);
  const std::string_view wanted(id);
  if (own == nullptr) {
    return nullptr;
  }
  return wanted == BP_S_METRICS         ? &kMetrics
         : wanted == BP_S_STATE         ? static_cast<const void*>(&kState)
         : wanted == BP_S_CREDENTIALS   ? &kCredentials
         : wanted == BP_S_SHARED_MEMORY ? &kSharedMemory
                                        : own;
}

// ---- metrics ----

// This kernel checks name, kind and labels, and knows which are the same.
bp_status FarServices::define(const bp_host* host, bp_str name, uint32_t kind,
                              const bp_pair* labels, uint32_t n_labels, uint64_t* id) {
  kernel::Host& owner = kernel::Host::of(host);
  uint64_t local = 0;
  const bp_status status =
      owner.kernel.metrics().define(owner, name, kind, labels, n_labels, local);
  if (status < 0) {
    return status;
  }
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = numbers_.find(local); found != numbers_.end()) {
      *id = found->second;
      return BP_OK;
    }
    if (owned_.size() == kMostMetrics) {
      return BP_RESOURCE_EXHAUSTED;
    }
    owned_.push_back(std::make_unique<Metric>());
    *id = owned_.size();
    numbers_[local] = *id;
    metrics_[*id - 1].store(owned_.back().get(), std::memory_order_release);
  }
  FrameBuilder frame;
  auto metric = frame.root().initMetric();
  metric.setId(*id);
  metric.setKind(kind);
  metric.setName(to_data(backplane::to_view(name)));
  auto pairs = metric.initLabels(n_labels);
  for (unsigned i = 0; i < n_labels; ++i) {  // define has seen that they are strings
    const auto put = [](wire::Value::Builder out, const bp_value& text) {
      out.setTag(BP_T_STRING);
      out.setBytes(to_data({text.as.s, text.len}));
    };
    put(pairs[i].initKey(), labels[i].key);
    put(pairs[i].initValue(), labels[i].val);
  }
  peer_->tell(frame);
  return BP_OK;
}

void FarServices::change(uint64_t id, int64_t by, bool set) noexcept {
  Metric* const metric =
      id == 0 || id > kMostMetrics ? nullptr : metrics_[id - 1].load(std::memory_order_acquire);
  if (metric == nullptr) {
    return;
  }
  if (set) {
    metric->value.store(by, std::memory_order_relaxed);
  } else {
    metric->value.fetch_add(by, std::memory_order_relaxed);
  }
  if (!changed_.load(std::memory_order_relaxed) && !changed_.exchange(true)) {
    static_cast<void>(timer_->after(kTogether));
  }
}

void FarServices::flush() {
  changed_.store(false);
  const std::lock_guard lock(mutex_);
  std::vector<std::pair<uint64_t, int64_t>> values;
  for (size_t i = 0; i < owned_.size(); ++i) {
    Metric& metric = *owned_[i];
    const int64_t value = metric.value.load(std::memory_order_relaxed);
    if (value != metric.told) {
      metric.told = value;
      values.emplace_back(i + 1, value);
    }
  }
  if (values.empty()) {
    return;
  }
  FrameBuilder frame(64 + values.size() * 2);
  auto list = frame.root().initMetricValues(static_cast<unsigned>(values.size()));
  for (unsigned i = 0; i < list.size(); ++i) {
    list[i].setId(values[i].first);
    list[i].setValue(values[i].second);
  }
  peer_->tell(frame);
}

// ---- state and credentials ----

void FarServices::report(uint32_t state, bp_str detail) {
  FrameBuilder frame;
  auto out = frame.root().initState();
  out.setState(state);
  out.setDetail(to_data(backplane::to_view(detail)));
  peer_->tell(frame);
}

/// Asks, and waits for the answer, of which `read` takes what it wants on the loop.
bp_status FarServices::ask(const Peer::Fill& fill, bp_error* error,
                           const std::function<void(const Peer::Answered&)>& read) {
  struct Shared {
    std::mutex mutex;
    std::condition_variable came;
    bool is_there = false;
    bp_status status = BP_OK;
    bp_error error{};
  };
  const auto shared = std::make_shared<Shared>();
  const uint64_t number =
      peer_->ask(fill, [shared, &read](const Peer::Answered* answer, const Status& why) {
        const std::lock_guard lock(shared->mutex);
        shared->status = answer != nullptr ? read_failure(answer->frame, &shared->error)
                                           : why.to(&shared->error);
        if (shared->status == BP_OK) {
          read(*answer);
        }
        shared->is_there = true;
        shared->came.notify_all();
      });
  if (on_loop(*host_)) {
    peer_->wait_on_loop(number);
  }
  std::unique_lock lock(shared->mutex);
  shared->came.wait(lock, [&] { return shared->is_there; });
  if (shared->status < 0 && error != nullptr) {
    *error = shared->error;
  }
  return shared->status;
}

bp_status FarServices::credential(bp_str name, bp_str field, uint32_t flags, bp_buffer** out,
                                  bp_error* error) {
  if ((flags & ~BP_CREDENTIAL_AS_FILE) != 0) {
    return Status(BP_UNIMPLEMENTED, "unknown flag of bp.credentials/1").to(error);
  }
  std::string content;
  const bp_status status = ask(
      [&](wire::Frame::Builder frame, uint64_t op, Outgoing&) {
        auto credential = frame.initCredential();
        credential.setOp(op);
        credential.setName(to_data(backplane::to_view(name)));
        credential.setField(to_data(backplane::to_view(field)));
      },
      error,
      [&](const Peer::Answered& answer) {
        content.assign(to_view(answer.frame.getMessage().getBody().getBytes()));
      });
  if (status == BP_OK) {
    *out = (flags & BP_CREDENTIAL_AS_FILE) != 0 ? as_file(content) : new_secret(content, -1);
    explicit_bzero(content.data(), content.size());
  }
  return status;
}

// ---- shared memory ----

/// What is named is the other kernel's, which gives its descriptor.
bp_status FarServices::ask_for_shared(bp_str key, UniqueFd& out, bp_error* error,
                                      const std::function<void(wire::Shared::Builder)>& options) {
  const bp_status status = ask(
      [&](wire::Frame::Builder frame, uint64_t op, Outgoing&) {
        auto shared = frame.initShared();
        shared.setOp(op);
        shared.setKey(to_data(backplane::to_view(key)));
        options(shared);
      },
      error,
      [&](const Peer::Answered& answer) {
        if (answer.descriptors.size() == 1) {
          out = std::move(answer.descriptors.front());
        }
      });
  return status == BP_OK && !out
             ? Status(BP_DATA_LOSS, "an answer without its descriptor").to(error)
             : status;
}

bp_status FarServices::open_memory(const bp_host* host, bp_str key,
                                   const bp_memory_options* options, bp_memory** out,
                                   bp_error* error) {
  if (key.len == 0) {
    return bp_shared_memory()->open_memory(host, key, options, out, error);
  }
  const auto known = known_part(options);
  UniqueFd descriptor;
  const bp_status status = ask_for_shared(key, descriptor, error, [&](auto shared) {
    shared.setWhich(known.which);
    shared.setSize(known.size);
    shared.setPermissions(known.permissions);
    shared.setFlags(known.flags);
  });
  return status < 0 ? status
                    : about(key, bp_memory_adopt(descriptor.get(), options, out, error), error);
}

bp_status FarServices::open_channel(const bp_host* host, bp_str key,
                                    const bp_channel_options* options, bp_channel** out,
                                    bp_error* error) {
  if (key.len == 0) {
    return bp_shared_memory()->open_channel(host, key, options, out, error);
  }
  const auto known = known_part(options);
  UniqueFd descriptor;
  const bp_status status = ask_for_shared(key, descriptor, error, [&](auto shared) {
    shared.setChannel(true);
    shared.setWhich(known.which);
    shared.setSize(known.sample_size);
    shared.setPermissions(known.permissions);
    shared.setFlags(known.flags);
    shared.setCapacity(known.capacity);
    shared.setHeld(known.held);
    shared.setPublishers(known.publishers);
    shared.setSubscribers(known.subscribers);
  });
  return status < 0 ? status
                    : about(key, bp_channel_adopt(descriptor.get(), options, out, error), error);
}

}  // namespace backplane::isolation
