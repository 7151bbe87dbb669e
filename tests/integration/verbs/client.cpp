// SPDX-License-Identifier: Apache-2.0
#include "integration/verbs/client.hpp"

#include "fake_plugin.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <utility>

namespace backplane::test {

namespace {

bp_str str(std::string_view text) { return {text.data(), text.size()}; }

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

std::int64_t monotonic_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

std::string text_of(const bp_value& value) {
  if (value.tag != BP_T_STRING) return "<no string>";
  return {value.as.s, value.len};
}

// ---- Kept ----

Kept::Kept(const bp_message& message) {
  if (!copy_message(&message, &message_)) throw std::runtime_error("cannot copy a message");
}

Kept::Kept(Kept&& other) noexcept
    : message_(std::exchange(other.message_, message_of(value_null()))) {}

Kept::~Kept() { drop_message(&message_); }

// ---- Operation ----

Operation::Operation(Fixture& fixture, std::uint16_t verb, bp_ref target, std::uint16_t flags)
    : fixture_(fixture), op_(fixture.endpoints().op_new(fixture.host())) {
  if (op_ == nullptr) throw std::bad_alloc();
  in_ = message_of(value_null());
  op_->verb = verb;
  op_->flags = flags;
  op_->target = target;
  op_->error = &error_;
  op_->done = on_done;
  op_->user = this;
}

Operation::~Operation() {
  if (!finished()) {
    cancel();
    wait();
  }
  if (op_->out.owner != nullptr) op_->out.owner->ops->release(op_->out.owner);
  fixture_.endpoints().op_free(fixture_.host(), op_);
}

Operation& Operation::body(bp_value body) {
  in_.body = body;
  return *this;
}

Operation& Operation::header(std::uint32_t id, bp_value value) {
  headers_.push_back(::header(id, value));
  return *this;
}

Operation& Operation::meta(const char* name, bp_value value) {
  headers_.push_back(metadata(name, value));
  return *this;
}

Operation& Operation::message_flags(std::uint32_t flags) {
  in_.flags = flags;
  return *this;
}

Operation& Operation::time(std::int64_t time_ns) {
  in_.time_ns = time_ns;
  return *this;
}

Operation& Operation::scratch(void* memory, std::uint64_t size) {
  op_->scratch = memory;
  op_->scratch_len = size;
  return *this;
}

Operation& Operation::deadline(std::chrono::nanoseconds budget) {
  op_->deadline_ns = monotonic_ns() + budget.count();
  return *this;
}

Operation& Operation::credit(std::uint32_t n) {
  op_->credit = n;
  return *this;
}

void Operation::prepare() {
  if (op_->out.owner != nullptr) op_->out.owner->ops->release(op_->out.owner);
  op_->out = message_of(value_null());
  in_.headers = headers_.data();
  in_.n_headers = static_cast<std::uint32_t>(headers_.size());
  op_->in = &in_;
  const std::lock_guard lock(mutex_);
  under_way_ = true;
}

bp_status Operation::note(bp_status status) {
  if (status != BP_PENDING) {
    const std::lock_guard lock(mutex_);
    under_way_ = false;
  }
  return status;
}

bp_status Operation::submit() {
  prepare();
  return note(fixture_.endpoints().submit(fixture_.host(), op_));
}

bp_status Operation::run() {
  const bp_status status = submit();
  return status == BP_PENDING ? wait() : status;
}

bp_status Operation::wait() {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, kPatience, [this] { return !under_way_; })) {
    ADD_FAILURE() << "the operation did not complete";
    return BP_PENDING;
  }
  return op_->status;
}

void Operation::cancel() { fixture_.endpoints().cancel(fixture_.host(), op_); }

bool Operation::finished() {
  const std::lock_guard lock(mutex_);
  return !under_way_;
}

int Operation::completions() {
  const std::lock_guard lock(mutex_);
  return completions_;
}

void Operation::on_done(bp_op* op) {
  auto* self = static_cast<Operation*>(op->user);
  const std::lock_guard lock(self->mutex_);
  self->under_way_ = false;
  ++self->completions_;
  self->changed_.notify_all();
}

// ---- Watch ----

Watch::Watch(Fixture& fixture, bp_ref target, std::uint16_t flags, std::uint16_t verb)
    : Operation(fixture, verb, target, flags) {
  static const bp_sink kSink = {BP_SIZE_TO(bp_sink, next), 0, next};
  op_->sink = &kSink;
}

Watch::~Watch() {
  // Before the members that `next` uses are gone.
  if (!finished()) {
    cancel();
    wait();
  }
}

void Watch::grant(std::uint32_t n) { fixture_.endpoints().credit(fixture_.host(), op_, n); }

void Watch::ack(std::uint64_t seq, bp_status status) {
  fixture_.endpoints().ack(fixture_.host(), op_, seq, status);
}

void Watch::await(std::size_t n) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, kPatience, [&] { return received_.size() >= n; })) {
    ADD_FAILURE() << "only " << received_.size() << " of " << n << " messages came";
  }
}

std::size_t Watch::count() {
  const std::lock_guard lock(mutex_);
  return received_.size();
}

std::size_t Watch::largest_batch() {
  const std::lock_guard lock(mutex_);
  return largest_batch_;
}

const bp_message& Watch::at(std::size_t i) {
  const std::lock_guard lock(mutex_);
  return *received_.at(i);
}

bp_status Watch::next(bp_op* op, const bp_message* messages, std::uint32_t n) {
  auto* self = static_cast<Watch*>(static_cast<Operation*>(op->user));
  const bp_status status = self->on_next ? self->on_next(messages, n) : BP_OK;
  const std::lock_guard lock(self->mutex_);
  for (std::uint32_t i = 0; i < n; ++i) self->received_.emplace_back(messages[i]);
  self->largest_batch_ = std::max<std::size_t>(self->largest_batch_, n);
  self->changed_.notify_all();
  return status;
}

// ---- Handler ----

const bp_endpoint_ops Handler::kOps = {
    BP_SIZE_TO(bp_endpoint_ops, close), 0, submit, nullptr, cancel, credit, ack, close};

Handler::Handler(Fixture& fixture, std::uint32_t verbs) : fixture_(fixture) {
  const bp_endpoint endpoint = {&kOps, this, verbs, 0};
  if (fixture.endpoints().adopt(fixture.host(), &endpoint, &ref_) != BP_OK) {
    throw std::runtime_error("cannot adopt a handler");
  }
}

Handler::~Handler() {
  release();
  await_close();
}

void Handler::release() {
  if (ref_ != 0) fixture_.endpoints().close(fixture_.host(), ref_);
  ref_ = 0;
}

bp_ref Handler::give_away() { return std::exchange(ref_, 0); }

void Handler::await_close() {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, kPatience, [this] { return closed_; })) {
    ADD_FAILURE() << "the handler was not closed";
  }
}

bp_status Handler::submit(bp_op* op) { return static_cast<Handler*>(op->self)->on_submit(op); }

void Handler::cancel(bp_op* op) { static_cast<Handler*>(op->self)->on_cancel(op); }

void Handler::credit(bp_op* op, std::uint32_t n) {
  static_cast<Handler*>(op->self)->on_credit(op, n);
}

void Handler::ack(bp_op* /*op*/, std::uint64_t /*seq*/, bp_status /*status*/) {}

void Handler::close(void* self) {
  auto* handler = static_cast<Handler*>(self);
  const std::lock_guard lock(handler->mutex_);
  handler->closed_ = true;
  handler->changed_.notify_all();
}

// ---- Fixture ----

std::string form_name(const testing::TestParamInfo<Form>& info) {
  return info.param == Form::kLinked   ? "Linked"
         : info.param == Form::kLoaded ? "Loaded"
                                       : "Isolated";
}

void Fixture::SetUp() {
  const std::string folder = BP_TEST_BUILD_DIR "/tests/fake_plugin";
  const std::string isolation =
      ":" BP_TEST_BUILD_DIR "/plugins:" BP_TEST_BUILD_DIR "/plugin_manifests";
  const std::string used = GetParam() == Form::kLoaded     ? folder
                           : GetParam() == Form::kIsolated ? folder + isolation
                                                           : folder + "/none";
  bp_error error{};
  const auto said = [&error] { return std::string(error.message, error.message_len); };
  bp_kernel_options options{};
  options.struct_size = BP_SIZE_TO(bp_kernel_options, user);
  options.flags = BP_KERNEL_CHECKED;
  options.plugin_folders = str(used);
  options.manifest_folders = str(used);
  ASSERT_EQ(bp_kernel_create(&options, &kernel_, &error), BP_OK) << said();
  if (GetParam() == Form::kLinked) {
    const std::string manifest =
        read_file(BP_TEST_SOURCE_DIR "/tests/support/fake_plugin/fake.toml");
    ASSERT_EQ(bp_kernel_add_plugin(kernel_, fake_plugin_entry, str(manifest), &error), BP_OK)
        << said();
  }
  const std::string system =
      "[system]\nname = \"verbs\"\n[instances.fake]\nplugin = \"fake\"\n" +
      std::string(GetParam() == Form::kIsolated ? "isolation = \"process\"\n" : "") + config();
  ASSERT_EQ(bp_kernel_load_text(kernel_, str("verbs.toml"), str(system), nullptr, nullptr, &error),
            BP_OK)
      << said();
  ASSERT_EQ(bp_kernel_start(kernel_, &error), BP_OK) << said();
  host_ = bp_kernel_host(kernel_);
  endpoints_ = static_cast<const bp_endpoint_service*>(host_->get_service(host_, BP_S_ENDPOINT));
  ASSERT_NE(endpoints_, nullptr);
}

void Fixture::TearDown() {
  if (kernel_ == nullptr) return;
  if (endpoints_ != nullptr) {
    for (const bp_ref ref : opened_) endpoints_->close(host_, ref);
  }
  bp_error error{};
  EXPECT_EQ(bp_kernel_stop(kernel_, &error), BP_OK)
      << std::string(error.message, error.message_len);
  bp_kernel_destroy(kernel_);
}

bp_status Fixture::try_open(std::string_view path, bp_ref* out) {
  const std::string address = "fake:" + std::string(path);
  Operation operation(*this, 0, 0);
  operation.prepare();
  bp_status status =
      operation.note(endpoints_->open(host_, str(address), nullptr, operation.raw()));
  if (status == BP_PENDING) status = operation.wait();
  if (status == BP_OK) *out = operation.out().body.as.u;
  return status;
}

bp_ref Fixture::open(std::string_view path) {
  bp_ref ref = 0;
  EXPECT_EQ(try_open(path, &ref), BP_OK) << path;
  if (ref != 0) opened_.push_back(ref);
  return ref;
}

void Fixture::close(bp_ref ref) {
  std::erase(opened_, ref);
  endpoints_->close(host_, ref);
}

void Fixture::barrier() {
  EXPECT_EQ(Operation(*this, BP_V_CALL, open("session/interact")).run(), BP_OK);
}

bp_status Fixture::call(bp_ref target, const char* method, bp_value body) {
  return Operation(*this, BP_V_CALL, target)
      .header(BP_H_METHOD, value_text(method))
      .body(body)
      .run();
}

}  // namespace backplane::test
