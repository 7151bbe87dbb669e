// SPDX-License-Identifier: Apache-2.0
#include "scripted_plugin.hpp"

#include <chrono>
#include <stdexcept>
#include <thread>

namespace backplane::test {
namespace {

Script& script() { return Script::current(); }

bp_status submit(bp_op* op) { return script().submit ? script().submit(op) : BP_OK; }
std::uint32_t submit_n(bp_op* const* ops, std::uint32_t n) {
  return script().submit_n ? script().submit_n(ops, n) : 0;
}
void cancel(bp_op* op) {
  if (script().cancel) script().cancel(op);
}
void credit(bp_op* op, std::uint32_t n) {
  if (script().credit) script().credit(op, n);
}
void ack(bp_op* op, std::uint64_t seq, bp_status status) {
  if (script().ack) script().ack(op, seq, status);
}
void close_endpoint(void* self) {
  ++script().closed;
  if (script().close) script().close(self);
}
constexpr bp_endpoint_ops kOps = {
    BP_SIZE_TO(bp_endpoint_ops, close), 0, submit, submit_n, cancel, credit, ack, close_endpoint};

bp_status create(const bp_host* host, const bp_value* config, void** instance, bp_error* error) {
  script().host = host;
  *instance = &script();
  return script().create ? script().create(*config, error) : BP_OK;
}
bp_status start(void*, bp_op* op) { return script().start ? script().start(op) : BP_OK; }
bp_status drain(void*, bp_op* op) { return script().drain ? script().drain(op) : BP_OK; }
bp_status stop(void*, bp_op* op) { return script().stop ? script().stop(op) : BP_OK; }
void destroy(void*) { ++script().destroyed; }
bp_status open(void*, bp_str path, const bp_message*, bp_op* op, bp_endpoint* out) {
  if (script().open) return script().open({path.ptr, static_cast<std::size_t>(path.len)}, op, out);
  *out = Script::endpoint();
  return BP_OK;
}
void cancel_step(void*, bp_op* op) {
  if (script().cancel_step) script().cancel_step(op);
}

constexpr const char* kNeeds[] = {BP_S_ENDPOINT, nullptr};
constexpr bp_plugin kPlugin = {BP_SIZE_TO(bp_plugin, cancel),
                               BP_ABI_MINOR,
                               0,
                               BP_STR("scripted"),
                               BP_STR("1.0.0"),
                               BP_PLUGIN_MULTI_INSTANCE,
                               kNeeds,
                               create,
                               start,
                               drain,
                               stop,
                               destroy,
                               open,
                               cancel_step};

}  // namespace

bp_status Script::entry(const bp_offer*, const bp_plugin** out, bp_error*) {
  *out = &kPlugin;
  return BP_OK;
}

std::string Script::manifest(const std::string& more) {
  return R"(manifest_version = 1
id = "scripted"
version = "1.0.0"
description = "Does what a test says"
license = "Apache-2.0"
status = "draft"
security_posture = "local"
[services]
needed = ["bp.endpoint/1"]
optional = ["bp.executor/1", "bp.credentials/1", "bp.state/1", "bp.buffers/1", "bp.metrics/1", "bp.log/1", "bp.shared_memory/1"]
[[schemes]]
name = "scripted"
config_key = "url"
[config]
type = "object"
additionalProperties = false
[config.properties.url]
type = "string"
description = "where it is"
[config.properties.credentials]
type = "string"
description = "who it is"
x-backplane-credential = true
[config.properties.shared]
type = "array"
description = "what it shares"
items = { type = "string", x-backplane-shared-memory = true }
)" + more;
}

bp_endpoint Script::endpoint(void* self, std::uint32_t verbs) { return {&kOps, self, verbs, 0}; }

ScriptedKernel::ScriptedKernel(const std::string& manifest,
                               const std::string& plugin_manifest_more) {
  bp_kernel_options options{};
  options.struct_size = BP_SIZE_TO(bp_kernel_options, user);
  options.plugin_folders = BP_STR("/nonexistent");
  options.manifest_folders = BP_STR("/nonexistent");
  options.log_level = BP_LOG_TRACE;
  options.user = this;
  options.log = [](void* user, const bp_log_record* record) {
    auto* self = static_cast<ScriptedKernel*>(user);
    const std::lock_guard lock(self->mutex_);
    self->log_.emplace_back(record->message.ptr, record->message.len);
  };
  bp_error error{};
  const auto check = [&](bp_status status) {
    if (status == BP_OK) return;
    bp_kernel_destroy(kernel);
    throw std::runtime_error(std::string(error.message, error.message_len));
  };
  check(bp_kernel_create(&options, &kernel, &error));
  const std::string plugin_manifest = Script::manifest(plugin_manifest_more);
  check(bp_kernel_add_plugin(kernel, Script::entry,
                             {plugin_manifest.data(), plugin_manifest.size()}, &error));
  check(bp_kernel_load_text(kernel, BP_STR("test"), {manifest.data(), manifest.size()}, nullptr,
                            nullptr, &error));
  host = bp_kernel_host(kernel);
  service = static_cast<const bp_endpoint_service*>(host->get_service(host, BP_S_ENDPOINT));
}

ScriptedKernel::~ScriptedKernel() { bp_kernel_destroy(kernel); }

bp_status ScriptedKernel::start(bp_error* error) { return bp_kernel_start(kernel, error); }

bp_ref ScriptedKernel::open(std::string_view address) {
  bp_op* const op = service->op_new(host);
  bp_error error{};
  op->error = &error;
  const bp_status status = service->open(host, {address.data(), address.size()}, nullptr, op);
  const bp_ref ref = status == BP_OK ? op->out.body.as.u : 0;
  service->op_free(host, op);
  if (status != BP_OK) throw std::runtime_error(std::string(error.message, error.message_len));
  return ref;
}

bp_op* ScriptedKernel::new_op(std::uint16_t verb, bp_ref target) {
  bp_op* const op = service->op_new(host);
  op->verb = verb;
  op->target = target;
  op->done = [](bp_op*) {};
  return op;
}

int ScriptedKernel::logged(std::string_view text) {
  const std::lock_guard lock(mutex_);
  int count = 0;
  for (const std::string& line : log_) count += line.find(text) != std::string::npos ? 1 : 0;
  return count;
}

}  // namespace backplane::test
