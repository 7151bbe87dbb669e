// SPDX-License-Identifier: Apache-2.0
// What does an operation cost on its way through the kernel, against a direct call of the same
// function in the same library?
#include "backplane/backplane.h"
#include "bench.hpp"

#include <array>
#include <dlfcn.h>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>

namespace backplane::benchmark {
namespace {

constexpr int kOperations = 400'000;

std::string text_of(const bp_error& error) { return {error.message, error.message_len}; }

bp_value number(double value) {
  bp_value out{};
  out.tag = BP_T_FLOAT;
  out.aux = 64;
  out.as.f = value;
  return out;
}
bp_value count_of(std::uint64_t value) {
  bp_value out{};
  out.tag = BP_T_UINT;
  out.aux = 64;
  out.as.u = value;
  return out;
}
bp_value string(const char* text, std::uint32_t length) {
  bp_value out{};
  out.tag = BP_T_STRING;
  out.len = length;
  out.as.s = text;
  return out;
}

// A kernel that has loaded the plugin, and the same library's functions without a kernel.
class Bed {
 public:
  Bed() {
    const std::string folder = BP_BENCH_PLUGIN_FOLDER;
    bp_kernel_options options{};
    options.struct_size = BP_SIZE_TO(bp_kernel_options, user);
    options.plugin_folders = {folder.data(), folder.size()};
    options.manifest_folders = options.plugin_folders;
    options.log_level = BP_LOG_WARNING;
    bp_error error{};
    check(bp_kernel_create(&options, &kernel_, &error), error);
    static constexpr char kText[] = "[instances.bench]\nplugin = \"bench\"\n";
    check(bp_kernel_load_text(kernel_, BP_STR("bench"), BP_STR(kText), nullptr, nullptr, &error),
          error);
    check(bp_kernel_start(kernel_, &error), error);
    host = bp_kernel_host(kernel_);
    service = static_cast<const bp_endpoint_service*>(host->get_service(host, BP_S_ENDPOINT));
  }
  ~Bed() { bp_kernel_destroy(kernel_); }
  Bed(const Bed&) = delete;
  Bed& operator=(const Bed&) = delete;

  bp_ref open(const char* address) const {
    bp_error error{};
    bp_op* const op = service->op_new(host);
    op->error = &error;
    check(service->open(host, {address, std::char_traits<char>::length(address)}, nullptr, op),
          error);
    const bp_ref ref = op->out.body.as.u;
    service->op_free(host, op);
    return ref;
  }

  static void check(bp_status status, const bp_error& error) {
    if (status != BP_OK)
      throw std::runtime_error("status " + std::to_string(status) + ": " + text_of(error));
  }

  const bp_host* host = nullptr;
  const bp_endpoint_service* service = nullptr;

 private:
  bp_kernel* kernel_ = nullptr;
};

// What a plugin gets that is called without a kernel: completion and delivery go straight to the
// caller.
const bp_host* direct_host() {
  static constexpr bp_endpoint_service kService = [] {
    bp_endpoint_service service{};
    service.struct_size = BP_SIZE_TO(bp_endpoint_service, deliver);
    service.complete = [](const bp_host*, bp_op* op, bp_status) { op->done(op); };
    service.deliver = [](const bp_host*, bp_op* op, const bp_message* messages, std::uint32_t n) {
      return op->sink->next(op, messages, n);
    };
    return service;
  }();
  static const bp_host kHost = [] {
    bp_host host{};
    host.struct_size = BP_SIZE_TO(bp_host, get_service);
    host.get_service = [](const bp_host*, const char*) -> const void* { return &kService; };
    return host;
  }();
  return &kHost;
}

// Endpoints of an instance, called through their own tables.
class Direct {
 public:
  Direct() {
    const std::string file = std::string(BP_BENCH_PLUGIN_FOLDER) + "/libbackplane_bench.so";
    void* const library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) throw std::runtime_error(dlerror());
    const auto entry = reinterpret_cast<bp_plugin_entry>(dlsym(library, "bp_plugin_entry_1"));
    bp_offer offer{};
    offer.struct_size = BP_SIZE_TO(bp_offer, kernel_version);
    bp_error error{};
    Bed::check(entry(&offer, &plugin_, &error), error);
    void* instance = nullptr;
    const bp_value config{};
    Bed::check(plugin_->create(direct_host(), &config, &instance, &error), error);
    instance_.reset(instance, plugin_->destroy);
  }

  bp_endpoint open(const char* path) const {
    bp_endpoint endpoint{};
    bp_error error{};
    const bp_str text{path, std::char_traits<char>::length(path)};
    Bed::check(plugin_->open(instance_.get(), text, nullptr, nullptr, &endpoint), error);
    return endpoint;
  }

 private:
  const bp_plugin* plugin_ = nullptr;
  std::shared_ptr<void> instance_;
};

// ns and allocations per operation of a loop body.
template <typename Body>
Metric time_loop(const std::string& name, int operations, Body body) {
  const std::uint64_t allocated = allocations();
  const std::int64_t start = now_ns();
  for (int i = 0; i < operations; ++i) body(i);
  const std::int64_t end = now_ns();
  const std::uint64_t allocated_after = allocations();
  return {name, static_cast<double>(end - start) / operations,
          static_cast<double>(allocated_after - allocated) / operations};
}

// One operation, submitted again and again through `call`.
template <typename Call>
Measure repeat(std::shared_ptr<Bed> bed, const std::string& name, std::uint16_t verb,
               std::shared_ptr<const bp_message> in, Call call) {
  std::shared_ptr<bp_op> op(bed->service->op_new(bed->host),
                            [bed](bp_op* made) { bed->service->op_free(bed->host, made); });
  op->verb = verb;
  op->in = in.get();
  return [bed, name, in, op, call] {
    return std::vector<Metric>{time_loop(name, kOperations, [&](int) {
      if (call(op.get()) != BP_OK) throw std::runtime_error(name + " failed");
    })};
  };
}

Experiment inline_operation(const std::string& name, std::uint16_t verb,
                            std::shared_ptr<const bp_message> in) {
  Experiment experiment;
  experiment.name = "dispatch";
  experiment.cases = {name};
  experiment.repetitions = 9;
  experiment.prepare = [name, verb, in] {
    auto bed = std::make_shared<Bed>();
    auto direct = std::make_shared<Direct>();
    const bp_endpoint value = direct->open("value");
    const bp_ref ref = bed->open("bench:value");
    const bp_endpoint_service* service = bed->service;
    const bp_host* host = bed->host;
    return std::vector<Side>{
        {"", repeat(bed, name, verb, in,
                    [service, host, ref](bp_op* op) {
                      op->target = ref;
                      return service->submit(host, op);
                    })},
        {"direct_call", repeat(bed, name, verb, in, [direct, value](bp_op* op) {
           op->self = value.self;
           return value.ops->submit(op);
         })}};
  };
  return experiment;
}

std::shared_ptr<const bp_message> message(bp_value body, const bp_pair* headers = nullptr,
                                          std::uint32_t n_headers = 0) {
  auto out = std::make_shared<bp_message>();
  out->body = body;
  out->headers = headers;
  out->n_headers = n_headers;
  out->time_ns = BP_TIME_NONE;
  return out;
}

// A map of four and three headers: what a structured sample looks like.
std::shared_ptr<const bp_message> structured_message() {
  static const std::array<bp_pair, 4> kBody = {{{string("temperature", 11), number(21.5)},
                                                {string("pressure", 8), number(1013.2)},
                                                {string("unit", 4), string("Cel", 3)},
                                                {string("count", 5), count_of(7)}}};
  static const std::array<bp_pair, 3> kHeaders = {
      {{count_of(BP_H_CONTENT_TYPE), string("application/json", 16)},
       {count_of(BP_H_QOS), count_of(1)},
       {string("line", 4), string("1", 1)}}};
  bp_value map{};
  map.tag = BP_T_MAP;
  map.len = kBody.size();
  map.as.map = kBody.data();
  return message(map, kHeaders.data(), kHeaders.size());
}

Experiment random_endpoint(std::uint32_t endpoints) {
  const std::string name = "read_of_" + std::to_string(endpoints) + "_ns";
  Experiment experiment{"dispatch", {name}, {}, 5};
  experiment.prepare = [name, endpoints] {
    auto bed = std::make_shared<Bed>();
    auto direct = std::make_shared<Direct>();
    const bp_endpoint value = direct->open("value");
    auto refs = std::make_shared<std::vector<bp_ref>>();
    for (std::uint32_t i = 0; i < endpoints; ++i) refs->push_back(bed->open("bench:value"));
    std::shuffle(refs->begin(), refs->end(), std::mt19937(1));
    const bp_endpoint_service* service = bed->service;
    const bp_host* host = bed->host;
    auto next = std::make_shared<std::uint32_t>(0);
    return std::vector<Side>{
        {"", repeat(bed, name, BP_V_READ, nullptr,
                    [service, host, refs, next](bp_op* op) {
                      op->target = (*refs)[(*next)++ % refs->size()];
                      return service->submit(host, op);
                    })},
        {"direct_call", repeat(bed, name, BP_V_READ, nullptr, [direct, value](bp_op* op) {
           op->self = value.self;
           return value.ops->submit(op);
         })}};
  };
  return experiment;
}

// op_new, fill, submit, op_free for each read: what a caller that keeps no operation pays.
Experiment fresh_operation() {
  Experiment experiment{"dispatch", {"read_fresh_op_ns"}, {}, 9};
  experiment.prepare = [] {
    auto bed = std::make_shared<Bed>();
    auto direct = std::make_shared<Direct>();
    const bp_endpoint value = direct->open("value");
    const bp_ref ref = bed->open("bench:value");
    return std::vector<Side>{
        {"",
         [bed, ref] {
           return std::vector<Metric>{time_loop("read_fresh_op_ns", kOperations, [&](int) {
             bp_op* const op = bed->service->op_new(bed->host);
             op->verb = BP_V_READ;
             op->target = ref;
             if (bed->service->submit(bed->host, op) != BP_OK)
               throw std::runtime_error("read failed");
             bed->service->op_free(bed->host, op);
           })};
         }},
        {"direct_call",
         repeat(bed, "read_fresh_op_ns", BP_V_READ, nullptr, [direct, value](bp_op* op) {
           op->self = value.self;
           return value.ops->submit(op);
         })}};
  };
  return experiment;
}

using Submit = std::function<bp_status(bp_op*)>;

// Submits through the kernel, or through an endpoint's own table.
Submit through(const std::shared_ptr<Bed>& bed, const char* address) {
  return [bed, ref = bed->open(address)](bp_op* op) {
    op->target = ref;
    return bed->service->submit(bed->host, op);
  };
}
Submit through(const std::shared_ptr<Direct>& direct, const char* path) {
  return [direct, endpoint = direct->open(path)](bp_op* op) {
    op->self = endpoint.self;
    return endpoint.ops->submit(op);
  };
}

std::shared_ptr<bp_op> new_operation(const std::shared_ptr<Bed>& bed, std::uint16_t verb) {
  std::shared_ptr<bp_op> op(bed->service->op_new(bed->host),
                            [bed](bp_op* made) { bed->service->op_free(bed->host, made); });
  op->verb = verb;
  return op;
}

// A call that pends, and a second one that completes it.
Experiment pending_call() {
  Experiment experiment{"dispatch", {"call_pending_ns"}, {}, 9};
  experiment.prepare = [] {
    auto bed = std::make_shared<Bed>();
    auto direct = std::make_shared<Direct>();
    const auto measure = [bed](const Submit& later, const Submit& finish) -> Measure {
      return [bed, later, finish] {
        int completed = 0;
        const std::shared_ptr<bp_op> call = new_operation(bed, BP_V_CALL);
        call->user = &completed;
        call->done = [](bp_op* op) { ++*static_cast<int*>(op->user); };
        const std::shared_ptr<bp_op> kick = new_operation(bed, BP_V_CALL);
        const Metric metric = time_loop("call_pending_ns", kOperations, [&](int) {
          later(call.get());
          finish(kick.get());
        });
        if (completed != kOperations) throw std::runtime_error("a completion is missing");
        return std::vector<Metric>{metric};
      };
    };
    return std::vector<Side>{
        {"", measure(through(bed, "bench:later"), through(bed, "bench:finish"))},
        {"direct_call", measure(through(direct, "later"), through(direct, "finish"))}};
  };
  return experiment;
}

// A message from a plugin to a watcher, in batches.
Experiment watch(std::uint32_t batch) {
  const std::string name = "watch_batch_" + std::to_string(batch) + "_ns";
  Experiment experiment{"dispatch", {name}, {}, 9};
  experiment.prepare = [name, batch] {
    auto bed = std::make_shared<Bed>();
    auto direct = std::make_shared<Direct>();
    const auto measure = [bed, batch, name](const Submit& later, const Submit& feed,
                                            bool cancel) -> Measure {
      return [bed, batch, name, later, feed, cancel] {
        static constexpr bp_sink kSink = {
            BP_SIZE_TO(bp_sink, next), 0,
            [](bp_op* op, const bp_message*, std::uint32_t n) -> bp_status {
              *static_cast<std::uint64_t*>(op->user) += n;
              return BP_OK;
            }};
        std::uint64_t received = 0;
        const std::shared_ptr<bp_op> stream = new_operation(bed, BP_V_WATCH);
        stream->credit = UINT32_MAX;
        stream->sink = &kSink;
        stream->user = &received;
        stream->done = [](bp_op*) {};
        later(stream.get());
        const std::shared_ptr<const bp_message> size = message(count_of(batch));
        const std::shared_ptr<bp_op> kick = new_operation(bed, BP_V_WRITE);
        kick->in = size.get();
        const int batches = kOperations / static_cast<int>(batch);
        Metric metric = time_loop(name, batches, [&](int) { feed(kick.get()); });
        metric.value /= batch;
        if (cancel) bed->service->cancel(bed->host, stream.get());
        if (received != static_cast<std::uint64_t>(batches) * batch)
          throw std::runtime_error("a message is missing");
        return std::vector<Metric>{metric};
      };
    };
    return std::vector<Side>{
        {"", measure(through(bed, "bench:later"), through(bed, "bench:feed"), true)},
        {"direct_call", measure(through(direct, "later"), through(direct, "feed"), false)}};
  };
  return experiment;
}

}  // namespace

std::vector<Experiment> dispatch_experiments() {
  return {inline_operation("read_f64_ns", BP_V_READ, nullptr),
          inline_operation("write_f64_ns", BP_V_WRITE, message(number(21.5))),
          inline_operation("write_map_4_headers_3_ns", BP_V_WRITE, structured_message()),
          random_endpoint(1024),
          random_endpoint(65536),
          fresh_operation(),
          pending_call(),
          watch(1),
          watch(8),
          watch(64)};
}

}  // namespace backplane::benchmark
