// SPDX-License-Identifier: Apache-2.0
// The plugin `opcua` through the kernel: reads and writes by the C API with operations that are
// kept, as a plugin would; watches by the SDK.
#include "backplane/sdk/kernel.hpp"
#include "opcua_side.hpp"
#include "plugin_kernel.hpp"

#include <array>
#include <atomic>
#include <semaphore>
#include <stdexcept>
#include <thread>

namespace backplane::benchmark {
namespace {

using std::chrono::seconds;

std::string manifest(const OpcuaOptions& options) {
  const OpcuaSecurity& security = options.security;
  const std::string instance = concat(
      "[instances.plant]\nplugin = \"opcua\"\nrequest_timeout_s = 60\nurl = "
      "\"opc.tcp://127.0.0.1:",
      options.port, "\"\n");
  if (!security.is_secured()) return instance + "security_mode = \"none\"\n";
  return concat(
      instance,
      "security_mode = \"sign_and_encrypt\"\nsecurity_policy = \"Basic256Sha256\"\npki = \"",
      security.pki,
      "\"\ncredentials = \"own\"\n[credentials.own]\ncertificate = \"@file:", security.certificate,
      "\"\nkey = \"@file:", security.key, "\"\n");
}

ValueView list_of(Arena& arena, unsigned nodes) {
  ListBuilder list(arena);
  for (unsigned i = 0; i < nodes; ++i) list.add(arena.copy(concat("ns=1;s=N", i)));
  return list.view();
}
/// What a read of a list of so many nodes says.
OwnedMessage read_of(unsigned nodes) {
  MessageBuilder message;
  message.header(BP_H_OPTIONS, message.arena().map({{"nodes", list_of(message.arena(), nodes)}}));
  return OwnedMessage(message.view());
}

class Plugin final : public OpcuaSide {
 public:
  explicit Plugin(const OpcuaOptions& options)
      : options_(options), kernel_(started_kernel(manifest(options))) {
    for (unsigned i = 0; i < std::max(options.nodes, options.items); ++i)
      nodes_.push_back(kernel_.open(concat("plant:ns=1;s=N", i)).value());
    go_ = kernel_.open("plant:ns=1;s=Go").value();
    objects_ = kernel_.open("plant:/").value();
    nodes_.front().read().within(seconds(kOpcuaPatienceSeconds)).value();
    std::vector<bp_ref> each;
    for (unsigned i = 0; i < options.nodes; ++i) each.push_back(nodes_[i].ref());
    // More than one: by an operation for all of them, unless each is to have its own.
    const bool is_list = options.nodes > 1 && !options.is_each;
    for (unsigned i = 0; i < options.outstanding; ++i) {
      reads_.push_back(is_list ? request(BP_V_READ, {objects_.ref()}, &list_.view().raw())
                               : request(BP_V_READ, each, nullptr));
      writes_.push_back(request(BP_V_WRITE, options.writes_nodes ? each : std::vector{go_.ref()},
                                &value_.view().raw()));
    }
  }
  ~Plugin() override {
    for (const auto* const requests : {&reads_, &writes_}) {
      for (const auto& request : *requests)
        for (bp_op* const op : request->ops) service().op_free(kernel_.host().raw(), op);
    }
  }

  void run(OpcuaWork& work) override {
    work_ = &work;
    post(kernel_.host(), [this] { work_->begin(); }).or_throw();
    if (!over_.try_acquire_for(seconds(kOpcuaPatienceSeconds))) {
      post(kernel_.host(), [this] { end(); }).or_throw();  // nobody uses the work after this
      over_.acquire();
      throw std::runtime_error("opcua: the plugin's work does not end");
    }
    if (failure_ != BP_OK)
      throw std::runtime_error(concat("opcua: a request failed with status ", failure_));
  }

  void read() override { submit(reads_); }
  void write() override { submit(writes_); }

  void watch() override {
    heard_ = 0;
    StackArena arena;
    MapBuilder options(arena);
    options.add("sampling_ns", static_cast<std::int64_t>(options_.sampling_ms * 1e6));
    options.add("publishing_ns", static_cast<std::int64_t>(options_.publishing_ms * 1e6));
    options.add("queue", options_.queue);
    if (options_.is_each) {
      for (unsigned i = 0; i < options_.items; ++i) watch(nodes_[i], options.view());
    } else {
      options.add("nodes", list_of(arena, options_.items));
      watch(objects_, options.view());
    }
    const std::int64_t end = now() + std::int64_t{kOpcuaPatienceSeconds} * 1'000'000'000;
    while (heard_ < options_.items) {
      if (now() > end) throw std::runtime_error("opcua: not every item has told its value");
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  void leave() override {
    subscriptions_.clear();
    // Answered behind what each of them has sent.
    nodes_.front().read().within(seconds(kOpcuaPatienceSeconds)).value();
  }
  std::uint64_t idle(double s) override {
    const std::uint64_t before = heard_;
    std::this_thread::sleep_for(std::chrono::duration<double>(s));
    return heard_ - before;
  }

 private:
  static constexpr std::size_t kScratch = 256;
  // One that goes out as one: what is submitted in a turn of the loop.
  struct Request {
    Plugin* side;
    std::vector<bp_op*> ops;
    std::size_t left = 0;
    std::vector<std::array<std::byte, kScratch>> scratch{};  // of each operation, for its answer
  };

  static std::int64_t now() { return monotonic_ns(); }

  void watch(const Endpoint& endpoint, ValueView options) {
    const Pair header(BP_H_OPTIONS, options);
    WatchOptions watching;
    watching.headers = {static_cast<const bp_pair*>(&header), 1};
    const auto hear = [this](MessageView message) {
      look_at(message);
      // Nobody else writes to it.
      heard_.store(heard_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
      go_on(&OpcuaWork::notified);
    };
    subscriptions_.push_back(endpoint.watch(hear, std::move(watching)).value());
  }
  const bp_endpoint_service& service() const { return kernel_.host().services().endpoint; }

  std::unique_ptr<Request> request(std::uint16_t verb, const std::vector<bp_ref>& targets,
                                   const bp_message* in) {
    auto out = std::make_unique<Request>(Request{this, {}, 0});
    out->scratch.resize(targets.size());
    for (std::size_t i = 0; i < targets.size(); ++i) {
      bp_op* const op = service().op_new(kernel_.host().raw());
      op->verb = verb;
      op->target = targets[i];
      op->in = in;
      op->user = out.get();
      op->scratch = out->scratch[i].data();
      op->scratch_len = kScratch;
      op->done = [](bp_op* ended) {
        auto& of = *static_cast<Request*>(ended->user);
        of.side->done(of, ended, ended->status);
      };
      out->ops.push_back(op);
    }
    return out;
  }
  void submit(std::vector<std::unique_ptr<Request>>& free) {
    Request* const request = free.back().release();
    free.pop_back();
    request->left = request->ops.size();
    for (bp_op* const op : request->ops) {
      const bp_status status = service().submit(kernel_.host().raw(), op);
      if (status != BP_PENDING) done(*request, op, status);
    }
  }
  void done(Request& request, bp_op* op, bp_status status) {
    if (status >= 0 && op->verb == BP_V_READ) look_at(op->out);
    static_cast<void>(Buffer::adopt(std::exchange(op->out.owner, nullptr)));
    if (status < 0) failure_ = status;
    if (--request.left != 0) return;
    auto& free = request.ops.front()->verb == BP_V_READ ? reads_ : writes_;
    free.emplace_back(&request);
    failure_ == BP_OK ? go_on(&OpcuaWork::answered) : end();
  }

  void look_at(MessageView message) {
    const bp_value& body = message.raw().body;
    if (body.tag != BP_T_LIST) return look_at(body, !message.header(BP_H_STATUS));
    for (std::uint32_t i = 0; i < body.len; ++i) {
      const bp_value* const fields = body.as.list[i].as.list;
      look_at(fields[0], fields[1].as.u == 0);
    }
  }
  void look_at(const bp_value& value, bool is_good) {
    if (is_good && value.tag == BP_T_FLOAT) {
      last_ = value.as.f;
    } else {
      failure_ = BP_DATA_LOSS;
    }
  }

  void go_on(bool (OpcuaWork::*event)()) {
    if (work_ != nullptr && (work_->*event)()) end();
  }
  void end() {
    if (work_ == nullptr) return;
    work_ = nullptr;
    over_.release();
  }

  // Before the kernel: operations that are under way at its end are completed by it.
  const OpcuaOptions options_;
  const OwnedMessage value_{MessageView(MessageBuilder(ValueView(1.0)).view())};
  const OwnedMessage list_ = read_of(options_.nodes);
  OpcuaWork* work_ = nullptr;  // on the loop, while it is under way
  bp_status failure_ = BP_OK;
  double last_ = 0;
  std::atomic<std::uint64_t> heard_{0};
  std::counting_semaphore<> over_{0};

  Kernel kernel_;
  std::vector<Endpoint> nodes_;
  Endpoint go_;
  Endpoint objects_;
  std::vector<std::unique_ptr<Request>> reads_;  // that are free
  std::vector<std::unique_ptr<Request>> writes_;
  std::vector<Subscription> subscriptions_;
};

}  // namespace

std::unique_ptr<OpcuaSide> opcua_plugin(const OpcuaOptions& options) {
  return std::make_unique<Plugin>(options);
}

}  // namespace backplane::benchmark
