// SPDX-License-Identifier: Apache-2.0
// Host: what the kernel gives one instance: log, metrics, state, credentials, buffers, and the
// endpoint's side of operations. The loop is in loop.hpp, the caller's side of operations in
// endpoint.hpp.
#pragma once

#include "boundary.hpp"
#include "operation.hpp"
#include "services.hpp"

namespace backplane {

/// A metric that only grows. Cheap to copy; a default one counts nothing. [any]
class Counter {
 public:
  Counter() noexcept = default;
  void add(uint64_t n = 1) const noexcept {
    if (services_ != nullptr) {
      services_->metrics.add(host_, id_, static_cast<int64_t>(n));
    }
  }

 private:
  friend class Host;
  Counter(const bp_host* host, const Services* services, uint64_t id) noexcept
      : host_(host), services_(services), id_(id) {}
  const bp_host* host_ = nullptr;
  const Services* services_ = nullptr;
  uint64_t id_ = 0;
};

/// A metric that goes up and down. [any]
class Gauge {
 public:
  Gauge() noexcept = default;
  void set(int64_t value) const noexcept {
    if (services_ != nullptr) {
      services_->metrics.set(host_, id_, value);
    }
  }
  void add(int64_t delta) const noexcept {
    if (services_ != nullptr) {
      services_->metrics.add(host_, id_, delta);
    }
  }

 private:
  friend class Host;
  Gauge(const bp_host* host, const Services* services, uint64_t id) noexcept
      : host_(host), services_(services), id_(id) {}
  const bp_host* host_ = nullptr;
  const Services* services_ = nullptr;
  uint64_t id_ = 0;
};

/// host.log().info("connected", {{"url", url}, {"attempt", 3}}); no secret is ever logged. [any]
class Log {
 public:
  bool enabled(uint32_t level) const noexcept { return level <= *host_->log_level; }
  void error(std::string_view text, Pairs fields = {}) const noexcept {
    write(BP_LOG_ERROR, text, fields);
  }
  void warning(std::string_view text, Pairs fields = {}) const noexcept {
    write(BP_LOG_WARNING, text, fields);
  }
  void info(std::string_view text, Pairs fields = {}) const noexcept {
    write(BP_LOG_INFO, text, fields);
  }
  void debug(std::string_view text, Pairs fields = {}) const noexcept {
    write(BP_LOG_DEBUG, text, fields);
  }
  void trace(std::string_view text, Pairs fields = {}) const noexcept {
    write(BP_LOG_TRACE, text, fields);
  }
  void write(uint32_t level, std::string_view text, Pairs fields) const noexcept {
    if (enabled(level)) {
      services_->log.write(host_, level, to_str(text), fields.begin(),
                           static_cast<uint32_t>(fields.size()));
    }
  }

 private:
  friend class Host;
  Log(const bp_host* host, const Services* services) noexcept : host_(host), services_(services) {}
  const bp_host* host_;
  const Services* services_;
};

/// Made once for each instance, on the control thread; neither copied nor moved, so that others may
/// keep its address.
class Host {
 public:
  explicit Host(const bp_host* host) noexcept : host_(host), services_(host) {}
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  std::string_view instance() const noexcept { return to_view(host_->instance); }
  /// The name of the system; empty: it has none, or the kernel is older than that.
  std::string_view system() const noexcept {
    return host_->struct_size >= BP_SIZE_TO(bp_host, system) ? to_view(host_->system)
                                                             : std::string_view();
  }
  Log log() const noexcept { return Log(host_, &services_); }

  /// "messages_received_total", {{"topic", topic}}: names and labels as in service/metrics.h. A bad
  /// one is logged and counts nothing; that is a mistake in the plugin.
  Counter counter(std::string_view name, Pairs labels = {}) const {
    const auto id = define(name, BP_METRIC_COUNTER, labels);
    return id ? Counter(host_, &services_, *id) : Counter();
  }
  Gauge gauge(std::string_view name, Pairs labels = {}) const {
    const auto id = define(name, BP_METRIC_GAUGE, labels);
    return id ? Gauge(host_, &services_, *id) : Gauge();
  }

  /// How the instance is doing: BP_STATE_*, and why and what happens next. [any]
  void report(uint32_t state, std::string_view detail) const noexcept {
    services_.state.report(host_, state, to_str(detail));
  }

  /// A field of a credential, "tls" and "key"; wiped when the last owner lets it go. Reads a file.
  /// [any]
  Result<Buffer> credential(std::string_view name, std::string_view field,
                            uint32_t flags = 0) const {
    bp_buffer* out = nullptr;
    bp_error error{};
    const bp_status status =
        services_.credentials.get(host_, to_str(name), to_str(field), flags, &out, &error);
    if (status < 0) {
      return Status::from(status, error)
          .with_context("credential '", name, "', field '", field, "'");
    }
    return Buffer::adopt(out);
  }

  /// A buffer of the kernel, which counts who still holds some. [any]
  Result<Buffer> buffer(size_t size) const {
    bp_buffer* out = nullptr;
    const bp_status status = services_.buffers.allocate(host_, size, &out);
    if (status < 0) {
      return Status(status, "no buffer of ", size, " bytes");
    }
    return Buffer::adopt(out);
  }

  /// Finishes a pending operation; its `out` is set. Exactly once; the caller does not touch `op`
  /// (nor an endpoint that may be closed by it) afterwards. [any]
  void complete(Op op, const Status& status) const noexcept {
    services_.endpoint.complete(host_, op, status.to(op->error));
  }
  /// Sets the answer and completes. [any]
  template <class Answer>
  void complete_with(Op op, Answer&& answer) const noexcept {
    const bp_status status =
        boundary(op->error, [&] { return op.reply(std::forward<Answer>(answer)); });
    services_.endpoint.complete(host_, op, status);
  }
  /// Feeds a WATCH or BROWSE, serially for each operation. PENDING: there is not that much credit,
  /// and nothing was delivered. An error ends it: complete with it. [any]
  Status deliver(Op op, MessageView message) const noexcept {
    return Status(services_.endpoint.deliver(host_, op, &message.raw(), 1));
  }
  Status deliver(Op op, std::span<const bp_message> messages) const noexcept {
    return Status(services_.endpoint.deliver(host_, op, messages.data(),
                                             static_cast<uint32_t>(messages.size())));
  }

  const bp_host* raw() const noexcept { return host_; }
  const Services& services() const noexcept { return services_; }

 private:
  std::optional<uint64_t> define(std::string_view name, uint32_t kind, Pairs labels) const {
    uint64_t id = 0;
    const bp_status status = services_.metrics.define(host_, to_str(name), kind, labels.begin(),
                                                      static_cast<uint32_t>(labels.size()), &id);
    if (status < 0 && status != BP_UNIMPLEMENTED) {
      log().warning("a metric was refused", {{"metric", name}, {"status", status_name(status)}});
    }
    return status < 0 ? std::nullopt : std::optional(id);
  }

  const bp_host* host_;
  Services services_;
};

}  // namespace backplane
