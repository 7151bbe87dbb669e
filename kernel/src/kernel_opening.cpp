// SPDX-License-Identifier: Apache-2.0
// Opening: from the text of an address to an instance, perhaps one that is made for it, and to a
// reference.
#include "address.hpp"
#include "did_you_mean.hpp"
#include "error.hpp"
#include "kernel.hpp"

#include <algorithm>
#include <utility>

namespace backplane::kernel {
namespace {

// Of an instance made for a URL, without a manifest.
constexpr std::chrono::nanoseconds kStartTimeout = std::chrono::seconds(30);

constexpr const char* kNotStarted = "the kernel has not been started";
constexpr const char* kStopping = "the kernel is stopping";

bp_status refuse(Operation& operation, bp_status status, const std::string& why) {
  operation.op.status = set_error(operation.op.error, status, why);
  operation.finish_inline();
  return status;
}

}  // namespace

Instance* Kernel::find_instance(std::string_view name) {
  const std::shared_lock lock(instances_mutex_);
  const auto found = instances_.find(name);
  return found == instances_.end() ? nullptr : found->second.get();
}

bp_status Kernel::open(const Host& caller, std::string_view text, const bp_message* options,
                       Operation& operation) {
  operation.provider = &application_;
  operation.opening.store(nullptr, std::memory_order_relaxed);
  const std::optional<Address> address = parse_address(text);
  if (!address) {
    return refuse(operation, BP_INVALID_ARGUMENT,
                  "'" + std::string(text) +
                      "' is no address, expected instance:path or scheme://authority/path");
  }
  if (outside_ != nullptr && caller.instance != nullptr && caller.instance != outside_) {
    operation.open_verbs = UINT32_MAX;  // who opens it there knows what is allowed
    return open_on(*outside_, text, options, operation);
  }
  operation.open_verbs = with_flags(caller.permissions.verbs_on(text));
  if (operation.open_verbs == 0) {
    return refuse(operation, BP_PERMISSION_DENIED,
                  "'" + caller.name + "' may not open '" + std::string(text) +
                      "': no permission of its plugin and its [instances] entry grants it");
  }
  if (address->is_url()) return open_url(*address, options, operation);
  if (Instance* const instance = find_instance(address->target); instance != nullptr) {
    return open_on(*instance, address->rest, options, operation);
  }
  {
    const std::lock_guard lock(control_mutex_);
    if (!control_) return refuse(operation, BP_FAILED_PRECONDITION, kNotStarted);
  }
  std::vector<std::string> names;
  {
    const std::shared_lock lock(instances_mutex_);
    for (const auto& [name, known] : instances_) names.push_back(name);
  }
  return refuse(operation, BP_NOT_FOUND, unknown_word("instance", address->target, names));
}

bp_status Kernel::open_on(Instance& instance, std::string_view path, const bp_message* options,
                          Operation& operation) noexcept {
  bp_status status = instance.open(path, options, operation);
  if (status == BP_PENDING) return status;
  if (status == BP_OK) status = instance.host.kernel.reference_opened(operation);
  if (status < 0) fill_error(operation.op.error, status);
  operation.op.status = status;
  if (!operation.finish_inline())
    instance.host.breach("open called complete() and did not return PENDING");
  return status;
}

bp_status Kernel::open_url(const Address& address, const bp_message* options,
                           Operation& operation) {
  Instance* const instance = find_instance(address.target);
  if (instance != nullptr && instance->life() == BP_LIFE_STARTED) {
    return open_on(*instance, instance->url_path_prefix + std::string(address.rest), options,
                   operation);
  }
  const std::lock_guard lock(control_mutex_);
  if (!control_) return refuse(operation, BP_FAILED_PRECONDITION, kNotStarted);
  // It would wait until all have drained, and who drains may wait for it.
  if (ending_) return refuse(operation, BP_UNAVAILABLE, kStopping);
  // Until then it is as if the plugin's open had not returned: a cancel waits in the operation.
  control_->post([this, url = std::string(address.target), rest = std::string(address.rest),
                  options, &operation] {
    const bp_status status = open_on_made(url, rest, options, operation);
    if (status != BP_PENDING) operation.finish_later(status);
  });
  return BP_PENDING;
}

// On the control thread.
bp_status Kernel::open_on_made(const std::string& url, std::string_view path,
                               const bp_message* options, Operation& operation) noexcept {
  return guarded([&] {
    bp_op& op = operation.op;
    if (operation.cancel_requested()) return BP_CANCELLED;
    if (op.deadline_ns != 0 && op.deadline_ns <= monotonic_now())
      return set_deadline_error(op.error);
    bp_error problem{};
    Instance* const instance = instance_of_url(url, problem);
    if (instance == nullptr) {
      if (op.error != nullptr) *op.error = problem;
      return problem.code;
    }
    return instance->open(instance->url_path_prefix + std::string(path), options, operation);
  });
}

// On the control thread.
Instance* Kernel::instance_of_url(const std::string& url, bp_error& error) {
  if (Instance* const instance = find_instance(url); instance != nullptr &&
                                                     instance->life() != BP_LIFE_FAILED &&
                                                     instance->life() != BP_LIFE_DESTROYED)
    return instance;
  if (ending_) {
    set_error(&error, BP_UNAVAILABLE, kStopping);
    return nullptr;
  }
  Diagnostics diagnostics;
  const std::string whole = url + "/";
  const std::optional<Address> address = parse_address(whole);
  std::optional<UrlTarget> resolved;
  if (address) resolved = plugins_.resolve(*address, SourcePosition{url, 0, 0}, diagnostics);
  if (!resolved) {
    const std::vector<std::string> schemes = plugins_.schemes();
    const bool unknown =
        address && std::find(schemes.begin(), schemes.end(), address->scheme) == schemes.end();
    set_error(&error, unknown ? BP_NOT_FOUND : BP_INVALID_ARGUMENT, diagnostics.first_error());
    return nullptr;
  }
  if (!resolved->plugin->multi_instance) {
    if (const std::string other = instance_of_plugin(resolved->plugin->id); !other.empty()) {
      set_error(&error, BP_FAILED_PRECONDITION,
                "plugin '" + resolved->plugin->id + "' runs once, and is '" + other +
                    "': open that one's addresses");
      return nullptr;
    }
  }
  std::unique_ptr<Instance> made =
      make_instance(url, *resolved->plugin, std::move(resolved->config.config), error);
  if (made == nullptr) return nullptr;
  made->made_by_url = true;
  made->host.services = resolved->plugin->services();
  made->url_path_prefix = resolved->path;
  for (const CredentialUse& use : resolved->config.credentials)
    made->host.credentials.push_back(use.name);
  for (const SharedMemoryUse& use : resolved->config.shared_memory)
    made->host.shared_memory.push_back(use.key);
  Instance& instance = publish(std::move(made));
  const auto timeout =
      manifest_ ? std::chrono::nanoseconds(manifest_->options.start_timeout) : kStartTimeout;
  if (begin(instance, timeout, error) == BP_OK) return &instance;
  bp_error ignored{};
  instance.end(timeout, ignored);
  std::erase(started_, &instance);
  return nullptr;
}

std::string Kernel::instance_of_plugin(const std::string& plugin) {
  const std::shared_lock lock(instances_mutex_);
  for (const auto& [name, instance] : instances_) {
    const std::uint32_t life = instance->life();
    if (instance->plugin_id == plugin && life != BP_LIFE_FAILED && life != BP_LIFE_DESTROYED)
      return name;
  }
  return {};
}

bp_status Kernel::reference_opened(Operation& operation) noexcept {
  Instance* const instance = operation.opening.load(std::memory_order_acquire);
  bp_ref ref = 0;
  const bp_status status =
      adopt(instance->host, operation.opened, operation.opened.verbs & operation.open_verbs, ref,
            operation.op.error);
  if (status != BP_OK) {
    std::string ignored;
    if (const auto* const ops = table_.normalise(operation.opened.ops, ignored); ops != nullptr)
      ops->close(operation.opened.self);
    return status;
  }
  operation.op.out.body = bp_value{};
  operation.op.out.body.tag = BP_T_REF;
  operation.op.out.body.as.u = ref;
  return BP_OK;
}

bp_status Kernel::adopt(const Host& provider, const bp_endpoint& endpoint, std::uint32_t verbs,
                        bp_ref& out, bp_error* error) noexcept {
  try {
    std::string problem;
    const bp_endpoint_ops* const ops = table_.normalise(endpoint.ops, problem);
    if (ops == nullptr) {
      provider.breach(problem);
      return set_error(error, BP_INTERNAL,
                       "an endpoint of '" + provider.name + "' is refused: " + problem);
    }
    verbs &= with_flags(UINT32_MAX);
    if (verbs == 0) {
      return set_error(error, BP_PERMISSION_DENIED,
                       "none of the endpoint's verbs is granted to the caller");
    }
    out = table_.insert(ops, endpoint.self, verbs, &provider);
    if (out != 0) return BP_OK;
    return set_error(error, BP_RESOURCE_EXHAUSTED, "the table of open endpoints is full");
  } catch (const std::exception&) {
    return set_error(error, BP_RESOURCE_EXHAUSTED, "no memory");
  }
}

}  // namespace backplane::kernel
