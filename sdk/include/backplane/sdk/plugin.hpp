// SPDX-License-Identifier: Apache-2.0
// Plugin: the base of an instance, and the one macro that makes a C++ class a plugin.
#pragma once

#include "config.hpp"
#include "endpoint_object.hpp"
#include "host.hpp"
#include <backplane/plugin.h>

#include <memory>

namespace backplane {

/// The operation of an open, with the place where the endpoint goes.
class OpenOp : public Op {
 public:
  OpenOp(bp_op* op, bp_endpoint* out) noexcept : Op(op), out_(out) {}
  /// Fills the endpoint and returns OK: `return op.give(std::make_unique<Topic>(...));`. When open
  /// is pending: give, then Host::complete.
  template <class T>
  Status give(std::unique_ptr<T> object, uint32_t verbs = verbs_of<T>()) noexcept {
    *out_ = make_endpoint(std::move(object), verbs);
    return Status::ok();
  }
  /// Where an endpoint goes that is made by other means; valid until completion.
  bp_endpoint* place() const noexcept { return out_; }

 private:
  bp_endpoint* out_;
};

/// An instance. The constructor is create(): reads its configuration, may throw Error, submits
/// nothing, starts no thread. The destructor is destroy(). start, drain, stop and open return OK,
/// an error, or Status::pending(), and then call host().complete(op, status) once. They may throw
/// Error. Threads and meaning: backplane/plugin.h.
class Plugin {
 public:
  explicit Plugin(const bp_host* host) : host_(host) {}
  virtual ~Plugin() = default;
  Plugin(const Plugin&) = delete;
  Plugin& operator=(const Plugin&) = delete;

  /// [control]
  virtual Status start(Op) { return Status::ok(); }
  virtual Status drain(Op) { return Status::ok(); }
  virtual Status stop(Op) { return Status::ok(); }
  /// `path` is borrowed for the call, `options` until completion. [any]
  virtual Status open(std::string_view path, MessageView options, OpenOp op) = 0;
  /// Asks a pending start, drain, stop or open to complete soon. [any]
  virtual void cancel(Op) noexcept {}

  const Host& host() const noexcept { return host_; }

 private:
  Host host_;
};

namespace detail {

/// The C functions of a plugin whose instances are of class T.
template <class T>
struct PluginTable {
  static Plugin& object(void* instance) noexcept { return *static_cast<Plugin*>(instance); }

  static bp_status create(const bp_host* host, const bp_value* config, void** instance,
                          bp_error* error) noexcept {
    return boundary(error, [&] {
      Plugin* plugin = new T(host, Config(config != nullptr ? ValueView(*config) : ValueView()));
      *instance = plugin;
    });
  }
  static bp_status start(void* instance, bp_op* op) noexcept {
    return boundary(op->error, [&] { return object(instance).start(op); });
  }
  static bp_status drain(void* instance, bp_op* op) noexcept {
    return boundary(op->error, [&] { return object(instance).drain(op); });
  }
  static bp_status stop(void* instance, bp_op* op) noexcept {
    return boundary(op->error, [&] { return object(instance).stop(op); });
  }
  static void destroy(void* instance) noexcept { delete static_cast<Plugin*>(instance); }
  static bp_status open(void* instance, bp_str path, const bp_message* options, bp_op* op,
                        bp_endpoint* out) noexcept {
    return boundary(op->error,
                    [&] { return object(instance).open(to_view(path), options, OpenOp(op, out)); });
  }
  static void cancel(void* instance, bp_op* op) noexcept { object(instance).cancel(op); }

  static constexpr bp_plugin describe(std::string_view id, std::string_view version, uint64_t flags,
                                      const char* const* needs) noexcept {
    return {BP_SIZE_TO(bp_plugin, cancel),
            BP_ABI_MINOR,
            0,
            {id.data(), id.size()},
            {version.data(), version.size()},
            flags,
            needs,
            &create,
            &start,
            &drain,
            &stop,
            &destroy,
            &open,
            &cancel};
  }
};

inline bp_status enter(const bp_plugin& plugin, const bp_offer* offer, const bp_plugin** out,
                       bp_error* error) noexcept {
  return boundary(error, [&] {
    if (offer->minor_max < plugin.minor_needed) {
      return Status(BP_FAILED_PRECONDITION, "plugin '", to_view(plugin.id), "' needs ABI ",
                    BP_ABI_MAJOR, ".", plugin.minor_needed, ", this kernel has up to ",
                    BP_ABI_MAJOR, ".", offer->minor_max, ": use a newer kernel");
    }
    *out = &plugin;
    return Status::ok();
  });
}

}  // namespace detail
}  // namespace backplane

/// The plugin's one symbol. `Type` is a Plugin with a constructor (const bp_host*, const
/// backplane::Config&); after the flags (BP_PLUGIN_*) come the ids of the services that it needs,
/// as in its manifest:
///
///     BACKPLANE_PLUGIN(MqttPlugin, "mqtt", "0.1.0", BP_PLUGIN_MULTI_INSTANCE, BP_S_ENDPOINT,
///     BP_S_EXECUTOR)
#define BACKPLANE_PLUGIN(Type, id, version, flags, ...)                                \
  extern "C" bp_status bp_plugin_entry_1(const bp_offer* offer, const bp_plugin** out, \
                                         bp_error* error) {                            \
    static constexpr const char* kNeeds[] = {__VA_ARGS__ __VA_OPT__(, ) nullptr};      \
    static constexpr bp_plugin kPlugin =                                               \
        ::backplane::detail::PluginTable<Type>::describe(id, version, flags, kNeeds);  \
    return ::backplane::detail::enter(kPlugin, offer, out, error);                     \
  }                                                                                    \
  static_assert(true)
