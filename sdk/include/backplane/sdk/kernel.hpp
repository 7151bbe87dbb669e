// SPDX-License-Identifier: Apache-2.0
// Kernel: the embedding API of backplane/kernel.h as an object. Link libbackplane.
#pragma once

#include "endpoint.hpp"
#include "unique_handle.hpp"
#include <backplane/kernel.h>

namespace backplane {

/// A record of the log; borrowed for the call.
struct LogRecord {
  Time time;
  uint32_t level = BP_LOG_INFO;
  std::string_view instance;
  std::string_view message;
  std::span<const bp_pair> fields;
};

/// A mistake in a manifest.
struct Diagnostic {
  std::string file;
  uint32_t line = 0;  // from 1; 0: unknown
  uint32_t column = 0;
  uint32_t severity = BP_DIAGNOSTIC_ERROR;
  std::string message;
};

struct KernelOptions {
  std::string plugin_folders{};    // colon-separated; empty: those of this installation
  std::string manifest_folders{};  // likewise
  uint32_t log_level = BP_LOG_INFO;
  uint32_t flags = 0;  // BP_KERNEL_*
  std::function<void(const LogRecord&)> log =
      {};  // empty: lines on standard error. Any thread; must not throw
};

struct InstanceInfo {
  std::string name, plugin;
  uint32_t life = BP_LIFE_LOADED;
  uint32_t state = BP_STATE_IDLE;
  std::string detail;
  uint64_t operations = 0, pending = 0, failed = 0, delivered = 0, open_references = 0, buffers = 0;
};

struct MetricInfo {
  std::string instance, name;
  std::vector<std::pair<std::string, std::string>> labels;
  uint32_t kind = BP_METRIC_COUNTER;
  int64_t value = 0;
};

struct PluginInfo {
  std::string id, version, description, schemes, library, manifest;
  bool loaded = false;
};

/// Owns a kernel. Endpoints, subscriptions and registrations made with it must be gone before it.
/// Movable. All functions [any]; those that block say so.
class Kernel {
 public:
  using Report = std::function<void(const Diagnostic&)>;

  /// Reads the manifests of the installed plugins.
  static Result<Kernel> create(KernelOptions options = {}) {
    auto log = std::make_unique<LogFunction>(std::move(options.log));
    bp_kernel_options raw{};
    raw.struct_size = BP_SIZE_TO(bp_kernel_options, user);
    raw.flags = options.flags;
    raw.plugin_folders = to_str(options.plugin_folders);
    raw.manifest_folders = to_str(options.manifest_folders);
    raw.log_level = options.log_level;
    raw.log = *log ? &forward : nullptr;
    raw.user = log.get();
    bp_error error{};
    bp_kernel* kernel = nullptr;
    if (const bp_status status = bp_kernel_create(&raw, &kernel, &error); status < 0) {
      return Status::from(status, error);
    }
    return Kernel(kernel, std::move(log));
  }
  Kernel(Kernel&&) noexcept = default;
  Kernel& operator=(Kernel&&) = delete;

  static std::string_view version() noexcept { return to_view(bp_kernel_version()); }

  /// A plugin that is linked into the application, with the text of its manifest. Before load.
  Status add_plugin(bp_plugin_entry entry, std::string_view manifest) {
    return call([&](bp_error* error) {
      return bp_kernel_add_plugin(kernel_.get(), entry, to_str(manifest), error);
    });
  }
  /// Checks and takes a system manifest; `report` gets every mistake, the status tells of the
  /// first. Nothing is started.
  Status load(std::string_view path, const Report& report = {}) {
    return call([&](bp_error* error) {
      return bp_kernel_load(kernel_.get(), to_str(path), report ? &diagnose : nullptr, user(report),
                            error);
    });
  }
  /// The same from memory; `name` stands for the file in diagnostics.
  Status load_text(std::string_view name, std::string_view text, const Report& report = {}) {
    return call([&](bp_error* error) {
      return bp_kernel_load_text(kernel_.get(), to_str(name), to_str(text),
                                 report ? &diagnose : nullptr, user(report), error);
    });
  }
  /// Blocks until all instances have started; on an error nothing runs.
  Status start() {
    return call([&](bp_error* error) { return bp_kernel_start(kernel_.get(), error); });
  }
  /// Has all instances finish their work and take nothing new; what is open stays open. Blocks;
  /// idempotent.
  Status drain() {
    return call([&](bp_error* error) { return bp_kernel_drain(kernel_.get(), error); });
  }
  /// Drains and stops all instances. Blocks; idempotent. The destructor does it too.
  Status stop() {
    return call([&](bp_error* error) { return bp_kernel_stop(kernel_.get(), error); });
  }

  /// kernel.open("sensors:/line1/temperature").value(), kernel.open("mqtt://localhost/plant/#").
  Operation<Endpoint> open(std::string_view address, Pairs options = {}) const {
    return open_address(*host_, address, options);
  }
  /// The application's own host: log, metrics, loop.
  const Host& host() const noexcept { return *host_; }

  std::vector<InstanceInfo> instances() const {
    std::vector<InstanceInfo> out;
    bp_kernel_visit_instances(
        kernel_.get(),
        [](void* to, const bp_instance_info* info) {
          static_cast<std::vector<InstanceInfo>*>(to)->push_back(
              {text(info->name), text(info->plugin), info->life, info->state, text(info->detail),
               info->operations, info->pending, info->failed, info->delivered,
               info->open_references, info->buffers});
        },
        &out);
    return out;
  }
  std::vector<MetricInfo> metrics() const {
    std::vector<MetricInfo> out;
    bp_kernel_visit_metrics(
        kernel_.get(),
        [](void* to, const bp_metric_info* info) {
          MetricInfo metric{text(info->instance), text(info->name), {}, info->kind, info->value};
          for (const auto [key, value] : ValueView::map({info->labels, info->n_labels}).entries()) {
            metric.labels.emplace_back(key.get<std::string>().value_or(""),
                                       value.get<std::string>().value_or(""));
          }
          static_cast<std::vector<MetricInfo>*>(to)->push_back(std::move(metric));
        },
        &out);
    return out;
  }
  std::vector<PluginInfo> plugins() const {
    std::vector<PluginInfo> out;
    bp_kernel_visit_plugins(
        kernel_.get(),
        [](void* to, const bp_plugin_info* info) {
          static_cast<std::vector<PluginInfo>*>(to)->push_back(
              {text(info->id), text(info->version), text(info->description), text(info->schemes),
               text(info->library), text(info->manifest),
               (info->flags & BP_PLUGIN_INFO_LOADED) != 0});
        },
        &out);
    return out;
  }

  bp_kernel* raw() const noexcept { return kernel_.get(); }

 private:
  using LogFunction = std::function<void(const LogRecord&)>;

  Kernel(bp_kernel* kernel, std::unique_ptr<LogFunction> log)
      : log_(std::move(log)),
        host_(std::make_unique<Host>(bp_kernel_host(kernel))),
        kernel_(kernel) {}

  static std::string text(bp_str from) { return std::string(to_view(from)); }
  static void* user(const Report& report) noexcept { return const_cast<Report*>(&report); }
  static void forward(void* to, const bp_log_record* record) noexcept {
    boundary(nullptr, [&] {
      (*static_cast<LogFunction*>(to))({Time(std::chrono::nanoseconds(record->time_ns)),
                                        record->level,
                                        to_view(record->instance),
                                        to_view(record->message),
                                        {record->fields, record->n_fields}});
    });
  }
  static void diagnose(void* to, const bp_diagnostic* found) noexcept {
    boundary(nullptr, [&] {
      (*static_cast<const Report*>(to))(
          {text(found->file), found->line, found->column, found->severity, text(found->message)});
    });
  }
  template <class Function>
  static Status call(const Function& function) {
    bp_error error{};
    const bp_status status = function(&error);
    return Status::from(status, error);
  }

  // Both outlive the kernel, which logs and completes operations to its end.
  std::unique_ptr<LogFunction> log_;
  std::unique_ptr<Host> host_;
  UniqueHandle<bp_kernel, bp_kernel_destroy> kernel_;
};

}  // namespace backplane
