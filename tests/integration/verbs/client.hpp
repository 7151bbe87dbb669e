// SPDX-License-Identifier: Apache-2.0
// What the tests of the verbs share: a kernel with one instance of the fake plugin, and the C API
// with the memory it needs. Not the SDK: these tests prove the ABI.
#pragma once

#include "backplane/kernel.h"
#include "backplane/service/endpoint.h"
#include "copy.h"
#include "values.h"

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace backplane::test {

constexpr std::chrono::seconds kPatience{10};

std::int64_t monotonic_ns();
std::string text_of(const bp_value& value);

// A message that owns what it points to.
class Kept {
 public:
  explicit Kept(const bp_message& message);
  Kept(Kept&& other) noexcept;
  Kept& operator=(Kept&&) = delete;
  Kept(const Kept&) = delete;
  Kept& operator=(const Kept&) = delete;
  ~Kept();

  const bp_message& operator*() const { return message_; }
  const bp_message* operator->() const { return &message_; }

 private:
  bp_message message_{};
};

class Fixture;

// One operation, and whoever waits for it. Cancelled and waited for at its end if it still pends.
class Operation {
 public:
  Operation(Fixture& fixture, std::uint16_t verb, bp_ref target, std::uint16_t flags = 0);
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;
  virtual ~Operation();

  // What goes in; `body` and what the headers point to stay the caller's until completion.
  Operation& body(bp_value body);
  Operation& header(std::uint32_t id, bp_value value);
  Operation& meta(const char* name, bp_value value);
  Operation& message_flags(std::uint32_t flags);
  Operation& time(std::int64_t time_ns);
  Operation& scratch(void* memory, std::uint64_t size);
  Operation& deadline(std::chrono::nanoseconds budget);
  Operation& credit(std::uint32_t n);

  // PENDING or the outcome. May be called again after completion.
  bp_status submit();
  // Submits, and waits for the outcome.
  bp_status run();
  // The outcome; a failure of the test, and PENDING, if it does not come.
  bp_status wait();
  void cancel();
  [[nodiscard]] bool finished();

  [[nodiscard]] const bp_message& out() const { return op_->out; }
  [[nodiscard]] const bp_error& error() const { return error_; }
  [[nodiscard]] std::string error_text() const { return {error_.message, error_.message_len}; }
  [[nodiscard]] bp_op* raw() { return op_; }
  // Counts calls of `done`.
  [[nodiscard]] int completions();
  // For submit_n and open: the operation is under way by another call.
  void prepare();
  bp_status note(bp_status status);

 protected:
  Fixture& fixture_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bp_op* op_;

 private:
  static void on_done(bp_op* op);

  bp_message in_{};
  std::vector<bp_pair> headers_;
  bp_error error_{};
  bool under_way_ = false;  // guarded by mutex_
  int completions_ = 0;     // guarded by mutex_
};

// A WATCH or BROWSE that keeps what comes.
class Watch : public Operation {
 public:
  Watch(Fixture& fixture, bp_ref target, std::uint16_t flags = 0, std::uint16_t verb = BP_V_WATCH);
  ~Watch() override;

  void grant(std::uint32_t n);
  void ack(std::uint64_t seq, bp_status status);
  // Waits until n messages have come in all; a failure of the test if they do not.
  void await(std::size_t n);
  [[nodiscard]] std::size_t count();
  [[nodiscard]] std::size_t largest_batch();
  // Message i of those that came.
  const bp_message& at(std::size_t i);
  // Runs inside `next`, before the batch is kept; its result is that of `next`.
  std::function<bp_status(const bp_message*, std::uint32_t)> on_next;

 private:
  static bp_status next(bp_op* op, const bp_message* messages, std::uint32_t n);

  std::vector<Kept> received_;     // guarded by mutex_
  std::size_t largest_batch_ = 0;  // guarded by mutex_
};

// An endpoint of the application. Lives until the kernel has closed it.
class Handler {
 public:
  Handler(Fixture& fixture, std::uint32_t verbs);
  Handler(const Handler&) = delete;
  Handler& operator=(const Handler&) = delete;
  ~Handler();

  [[nodiscard]] bp_ref ref() const { return ref_; }
  // Gives up the handler's own reference; the kernel closes the endpoint when nobody uses it any
  // more.
  void release();
  // Hands the own reference over to somebody who will close it.
  [[nodiscard]] bp_ref give_away();
  void await_close();

  std::function<bp_status(bp_op*)> on_submit;
  std::function<void(bp_op*)> on_cancel = [](bp_op*) {};
  std::function<void(bp_op*, std::uint32_t)> on_credit = [](bp_op*, std::uint32_t) {};

 private:
  static bp_status submit(bp_op* op);
  static void cancel(bp_op* op);
  static void credit(bp_op* op, std::uint32_t n);
  static void ack(bp_op* op, std::uint64_t seq, bp_status status);
  static void close(void* self);
  static const bp_endpoint_ops kOps;

  Fixture& fixture_;
  bp_ref ref_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool closed_ = false;  // guarded by mutex_
};

// The parameter says how the plugin gets into the kernel.
enum class Form { kLinked, kLoaded, kIsolated };
std::string form_name(const testing::TestParamInfo<Form>& info);

class Fixture : public testing::TestWithParam<Form> {
 public:
  [[nodiscard]] const bp_host* host() const { return host_; }
  [[nodiscard]] const bp_endpoint_service& endpoints() const { return *endpoints_; }

 protected:
  void SetUp() override;
  void TearDown() override;

  // Starts the kernel with one instance `fake`; `config` is TOML for it. SetUp does so with an
  // empty one.
  virtual std::string config() const { return {}; }
  // A reference to fake:PATH, closed at the end of the test unless forgotten.
  bp_ref open(std::string_view path);
  bp_status try_open(std::string_view path, bp_ref* out);
  void close(bp_ref ref);
  // After it, the pump of the plugin has advanced everything that pended before.
  void barrier();
  bp_status call(bp_ref target, const char* method, bp_value body);

 private:
  bp_kernel* kernel_ = nullptr;
  const bp_host* host_ = nullptr;
  const bp_endpoint_service* endpoints_ = nullptr;
  std::vector<bp_ref> opened_;
};

}  // namespace backplane::test
