// SPDX-License-Identifier: Apache-2.0
#include "plugin_instance.hpp"

#include "backplane/service/log.h"
#include "config_value.hpp"
#include "kernel.hpp"

#include <semaphore>
#include <thread>
#include <utility>

namespace backplane::kernel {
namespace {

using namespace std::chrono_literals;

// After its deadline an operation is cancelled; who has not completed it this much later will not.
constexpr auto kGrace = 2s;

// How long after another reason for the same state the next one is not logged.
constexpr auto kBetweenReasons = 1min;

std::string_view name_of_state(std::uint32_t state) {
  switch (state) {
    case BP_STATE_IDLE:
      return "idle";
    case BP_STATE_CONNECTING:
      return "connecting";
    case BP_STATE_UP:
      return "up";
    case BP_STATE_DEGRADED:
      return "degraded";
    case BP_STATE_DOWN:
      return "down";
    default:
      return "unknown";
  }
}

}  // namespace

Instance::Instance(Kernel& kernel, std::string name, std::string id, const bp_plugin& plugin,
                   nlohmann::json config)
    : plugin_id(std::move(id)),
      host(kernel, this, std::move(name)),
      plugin_(plugin),
      config_(std::move(config)) {}

bp_status Instance::create(bp_error& error) {
  const ConfigValue config(config_);
  error = bp_error{};
  const bp_status status = plugin_.create(&host.base, &config.value(), &self_, &error);
  if (status != BP_OK) {
    life_.store(BP_LIFE_FAILED, std::memory_order_release);
    if (error.message_len == 0) set_error(&error, status, "create failed without a reason");
    return status < 0 ? status : BP_INTERNAL;
  }
  life_.store(BP_LIFE_CREATED, std::memory_order_release);
  return BP_OK;
}

bp_status Instance::start(std::chrono::nanoseconds timeout, bp_error& error) {
  const bp_status status = run(Step::kStart, timeout, error);
  life_.store(status == BP_OK ? BP_LIFE_STARTED : BP_LIFE_FAILED, std::memory_order_release);
  return status;
}

bp_status Instance::run(Step step, std::chrono::nanoseconds timeout, bp_error& error) {
  error = bp_error{};
  Operation* const operation = OperationPool::take();
  if (operation == nullptr) return set_error(&error, BP_RESOURCE_EXHAUSTED, "no memory");
  std::binary_semaphore done(0);
  bp_op& op = operation->op;
  op.error = &said_;
  op.user = &done;
  op.done = [](bp_op* finished) { static_cast<std::binary_semaphore*>(finished->user)->release(); };
  op.deadline_ns = monotonic_now() + timeout.count();
  operation->begin(Operation::Kind::kLifeCycle, &host);
  operation->provider = &host;
  bp_status status = BP_INTERNAL;
  switch (step) {
    case Step::kStart:
      status = plugin_.start(self_, &op);
      break;
    case Step::kDrain:
      status = plugin_.drain(self_, &op);
      break;
    case Step::kStop:
      status = plugin_.stop(self_, &op);
      break;
  }
  if (status != BP_PENDING) {
    op.status = status;
    if (!operation->finish_inline())
      host.breach("a life cycle call used complete() and did not return PENDING");
  } else {
    operation->pend_in(steps_);
    if (!done.try_acquire_for(timeout + kGrace)) {
      operation->abandon(BP_DEADLINE_EXCEEDED,
                         "it did not complete in time, nor after being cancelled");
      done.acquire();
    }
    status = op.status;
  }
  if (status < 0) {
    fill_error(&said_, status);
    error = said_;
  }
  if (!operation->abandoned()) OperationPool::give(operation);
  return status;
}

void Instance::wait_for_opens() noexcept {
  opens.close_and_cancel();
  // The plugin's open never blocks, so neither does this for longer than a scheduling delay.
  while (opening_.load(std::memory_order_acquire) != 0) std::this_thread::yield();
}

std::string Instance::leftovers(const Executor::Left& registered) {
  std::string text;
  const auto add = [&](std::int64_t count, std::string_view what) {
    if (count != 0)
      text += (text.empty() ? "" : ", ") + std::to_string(count) + " " + std::string(what);
  };
  add(host.counters.value(Count::kPending), "pending operations of its endpoints");
  add(static_cast<std::int64_t>(opens.size()), "pending opens");
  add(host.counters.value(Count::kLiveOperations), "operations that it made and did not free");
  add(static_cast<std::int64_t>(registered.timers), "timers");
  add(static_cast<std::int64_t>(registered.descriptors), "watched descriptors");
  return text;
}

bp_status Instance::drain(std::chrono::nanoseconds timeout, bp_error& error) {
  if (life() != BP_LIFE_STARTED) return BP_OK;
  life_.store(BP_LIFE_DRAINING, std::memory_order_release);
  wait_for_opens();
  const bp_status status = run(Step::kDrain, timeout, error);
  if (status < 0)
    host.kernel.log(&host, BP_LOG_WARNING, "drain: " + std::string(message_of(error)));
  return status;
}

bp_status Instance::end(std::chrono::nanoseconds timeout, bp_error& error) {
  error = bp_error{};
  if (self_ == nullptr || life() == BP_LIFE_QUARANTINED) return BP_OK;
  wait_for_opens();
  if (life() != BP_LIFE_CREATED) {
    bp_error stop_error{};
    const bp_status status = run(Step::kStop, timeout, stop_error);
    if (status < 0) {
      quarantine("stop: " + std::string(message_of(stop_error)));
      error = stop_error;
      return status;
    }
  }
  life_.store(BP_LIFE_STOPPED, std::memory_order_release);
  host.table().close_all_of(&host);
  // The stop may have been completed inside a task that has yet to return, and close may post
  // tasks; what is removed from the loop may be in its last run.
  Executor& executor = host.kernel.executor();
  Executor::Left registered;
  const auto leaves_the_loop = [&] {
    if (!executor.settle(timeout) || !opens.wait_until_empty(timeout) ||
        !host.table().wait_until_closed(&host, timeout.count()))
      return false;
    registered = executor.remove_all_of(&host.base);
    return executor.settle(timeout);
  };
  if (!leaves_the_loop()) {
    const std::string left = leftovers(registered);
    quarantine("stop completed, but left " + (left.empty() ? "a task that does not end" : left));
    return set_error(&error, BP_FAILED_PRECONDITION, "stop left something behind");
  }
  plugin_.destroy(self_);
  self_ = nullptr;
  life_.store(BP_LIFE_DESTROYED, std::memory_order_release);
  // Operations at rest may live as long as the objects that use them: they count from here on.
  if (const std::string left = leftovers(registered); !left.empty()) {
    host.kernel.log(&host, BP_LOG_WARNING, "it is destroyed, but left " + left);
  }
  return BP_OK;
}

void Instance::quarantine(std::string_view why) {
  life_.store(BP_LIFE_QUARANTINED, std::memory_order_release);
  host.table().quarantine(&host);
  opens.abandon_all();
  host.kernel.log(
      &host, BP_LOG_ERROR,
      "quarantined: its endpoints answer UNAVAILABLE and its memory stays; restart the process. " +
          std::string(why));
}

bp_status Instance::open(std::string_view path, const bp_message* options,
                         Operation& operation) noexcept {
  opening_.fetch_add(1, std::memory_order_acq_rel);
  bp_status status = BP_UNAVAILABLE;
  if (const std::uint32_t now = life(); now == BP_LIFE_STARTED) {
    operation.provider = &host;
    operation.opened = bp_endpoint{};
    operation.opening.store(this, std::memory_order_release);
    status = plugin_.open(self_, str(path), options, &operation.op, &operation.opened);
    if (status == BP_PENDING) operation.pend_in(opens);
  } else {
    set_error(operation.op.error, status,
              "instance '" + host.name + "' " +
                  (now < BP_LIFE_STARTED     ? "has not started yet"
                   : now == BP_LIFE_DRAINING ? "is draining: it takes no new work"
                                             : "has stopped or failed"));
  }
  opening_.fetch_sub(1, std::memory_order_acq_rel);
  return status;
}

void Instance::cancel(bp_op& op) noexcept { plugin_.cancel(self_, &op); }

void Instance::report_state(std::uint32_t state, std::string_view detail) noexcept {
  const bool is_well = state == BP_STATE_UP || state == BP_STATE_IDLE;
  std::uint32_t level = is_well ? BP_LOG_INFO : BP_LOG_WARNING;
  bool is_told = false;
  {
    const std::lock_guard lock(state_mutex_);
    const std::int64_t now = monotonic_now();
    if (state_ != state) {
      is_told = true;
      next_reason_ = now;
      // Nothing has failed yet.
      if (state == BP_STATE_CONNECTING && state_ == BP_STATE_IDLE) level = BP_LOG_INFO;
    } else if (!is_well && detail_ != detail && now >= next_reason_) {
      is_told = true;
      next_reason_ = now + std::chrono::nanoseconds(kBetweenReasons).count();
    }
    state_ = state;
    detail_.assign(detail);
  }
  if (is_told) {
    host.kernel.log(
        &host, level,
        std::string(name_of_state(state)).append(detail.empty() ? "" : ": ").append(detail));
  }
}

void Instance::describe(bp_instance_info& info, std::string& detail) {
  {
    const std::lock_guard lock(state_mutex_);
    detail = detail_;
    info.state = state_;
  }
  info.struct_size = BP_SIZE_TO(bp_instance_info, buffers);
  info.life = life();
  info.name = str(host.name);
  info.plugin = str(plugin_id);
  info.detail = str(detail);
  info.operations = static_cast<std::uint64_t>(host.counters.value(Count::kOperations));
  info.pending = static_cast<std::uint64_t>(host.counters.value(Count::kPending));
  info.failed = static_cast<std::uint64_t>(host.counters.value(Count::kFailed));
  info.delivered = static_cast<std::uint64_t>(host.counters.value(Count::kDelivered));
  info.open_references = host.table().open_slots_of(&host);
  info.buffers = static_cast<std::uint64_t>(host.buffers->load(std::memory_order_relaxed));
}

}  // namespace backplane::kernel
