// SPDX-License-Identifier: Apache-2.0
// Hosts: an older kernel, a newer one, one with less to offer, one that takes its time, one
// that takes none, and one that runs out of memory.
#include "footprint.hpp"
#include "other_host.hpp"
#include "use.hpp"
#include <backplane/backplane.h>

#include <array>
#include <atomic>
#include <climits>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <list>
#include <map>
#include <mutex>
#include <sys/mman.h>
#include <thread>

namespace backplane::conformance {
namespace {

constexpr size_t kPage = 4096;

/// A copy of a table that ends where the mapped memory ends.
const void* at_the_edge(const void* table, size_t size) {
  auto* const pages = static_cast<char*>(
      mmap(nullptr, 2 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  require(pages != MAP_FAILED && size <= kPage && mprotect(pages + kPage, kPage, PROT_NONE) == 0,
          "no memory for a table");
  char* const copy = pages + kPage - size;
  std::memcpy(copy, table, size);
  const auto said = static_cast<uint32_t>(size);
  std::memcpy(copy, &said, sizeof said);  // each begins with its size
  return copy;
}

/// The kernel of the first minor: its tables end where they ended then.
class OldHost : public OtherHost {
 public:
  using OtherHost::OtherHost;
  const void* service(std::string_view id, const void* table) override {
    static const std::map<std::string_view, size_t> sizes = {
        {BP_S_BUFFERS, BP_SIZE_TO(bp_buffers_service, allocate)},
        {BP_S_CREDENTIALS, BP_SIZE_TO(bp_credentials_service, get)},
        {BP_S_ENDPOINT, BP_SIZE_TO(bp_endpoint_service, verbs)},
        {BP_S_EXECUTOR, BP_SIZE_TO(bp_executor_service, on_loop)},
        {BP_S_LOG, BP_SIZE_TO(bp_log_service, write)},
        {BP_S_METRICS, BP_SIZE_TO(bp_metrics_service, set)},
        {BP_S_QUEUE, BP_SIZE_TO(bp_queue_service, close)},
        {BP_S_SHARED_MEMORY, BP_SIZE_TO(bp_shared_memory_service, subscriber_descriptor)},
        {BP_S_STATE, BP_SIZE_TO(bp_state_service, report)},
    };
    const auto size = sizes.find(id);
    return table != nullptr && size != sizes.end() ? at_the_edge(table, size->second) : nullptr;
  }
  uint32_t minor() const noexcept override { return 0; }
};

void an_old_one_is_enough(Subject& subject) {
  OldHost host(subject);
  if (host.needed_minor() != 0) {
    throw Skipped("it needs a newer minor of the ABI");
  }
  use_all(subject);
  subject.stop();
}

/// A kernel that is to come: longer tables, with slots that nobody of today may call.
class NewHost : public OtherHost {
 public:
  using OtherHost::OtherHost;
  const void* service(std::string_view, const void* table) override {
    if (table == nullptr) {
      return nullptr;
    }
    uint32_t size = 0;
    std::memcpy(&size, table, sizeof size);
    auto& copy = copies_.emplace_back();
    void (*const trap)() = [] { std::abort(); };
    for (size_t at = 0; at + sizeof trap <= copy.size(); at += sizeof trap) {
      std::memcpy(copy.data() + at, &trap, sizeof trap);
    }
    std::memcpy(copy.data(), table, size);
    const auto longer = static_cast<uint32_t>(copy.size());
    std::memcpy(copy.data(), &longer, sizeof longer);
    return copy.data();
  }
  uint32_t minor() const noexcept override { return BP_ABI_MINOR + 7; }

 private:
  struct alignas(std::max_align_t) Copy : std::array<char, 512> {};
  std::list<Copy> copies_;
};

void a_new_one_is_no_harm(Subject& subject) {
  NewHost host(subject);
  use_all(subject);
  subject.stop();
}

/// A kernel that has what the plugin needs, and nothing else.
class PoorHost : public OtherHost {
 public:
  using OtherHost::OtherHost;
  const void* service(std::string_view id, const void* table) override {
    return is_needed(id) ? table : nullptr;
  }
};

void what_is_optional_may_be_missing(Subject& subject) {
  PoorHost host(subject);
  use_all(subject);
  subject.stop();
}

// ---- one failure at a time ----

/// Of the calls that a host may refuse, the one that fails.
struct Trouble {
  std::atomic<int> left{INT_MAX};  // until it fails
  std::atomic<const char*> what{nullptr};

  bool strikes(const char* name) {
    if (left.fetch_sub(1) != 0) {
      return false;
    }
    what = name;
    return true;
  }
};
Trouble trouble;

template <class Answer>
Answer refusal() {
  if constexpr (std::is_pointer_v<Answer>) {
    return nullptr;
  } else {
    return BP_RESOURCE_EXHAUSTED;
  }
}

/// In the place of the function in a table's slot.
template <auto kSlot>
class Failing;
template <class Table, class Answer, class... Args, Answer (*Table::*kSlot)(Args...)>
class Failing<kSlot> {
 public:
  static void put_into(Table& table, const char* called) {
    name_ = called;
    real_ = std::exchange(table.*kSlot, &call);
  }

 private:
  static Answer call(Args... args) {
    return trouble.strikes(name_) ? refusal<Answer>() : real_(args...);
  }
  static inline const char* name_ = nullptr;
  static inline Answer (*real_)(Args...) = nullptr;
};

class FailingHost : public OtherHost {
 public:
  using OtherHost::OtherHost;
  const void* service(std::string_view id, const void* table) override {
    if (table == nullptr) {
      return nullptr;
    }
    if (id == BP_S_EXECUTOR) {
      executor_ = copy_of<bp_executor_service>(table);
      Failing<&bp_executor_service::post>::put_into(executor_, "post");
      Failing<&bp_executor_service::at>::put_into(executor_, "at");
      Failing<&bp_executor_service::watch_fd>::put_into(executor_, "watch_fd");
      return &executor_;
    }
    if (id == BP_S_ENDPOINT) {
      endpoint_ = copy_of<bp_endpoint_service>(table);
      Failing<&bp_endpoint_service::op_new>::put_into(endpoint_, "op_new");
      Failing<&bp_endpoint_service::open>::put_into(endpoint_, "open");
      Failing<&bp_endpoint_service::adopt>::put_into(endpoint_, "adopt");
      Failing<&bp_endpoint_service::submit>::put_into(endpoint_, "submit");
      return &endpoint_;
    }
    if (id == BP_S_BUFFERS) {
      buffers_ = copy_of<bp_buffers_service>(table);
      Failing<&bp_buffers_service::allocate>::put_into(buffers_, "allocate");
      return &buffers_;
    }
    if (id == BP_S_METRICS) {
      metrics_ = copy_of<bp_metrics_service>(table);
      Failing<&bp_metrics_service::define>::put_into(metrics_, "define");
      return &metrics_;
    }
    return table;
  }

 private:
  template <class Table>
  static Table copy_of(const void* table) {
    return *static_cast<const Table*>(table);
  }
  // Of the latest instance; all are alike.
  bp_executor_service executor_{};
  bp_endpoint_service endpoint_{};
  bp_buffers_service buffers_{};
  bp_metrics_service metrics_{};
};

/// Starts, uses and stops the subject, while its n-th call that may fail does. False: there is
/// none.
bool survives(Subject& subject, int n) {
  trouble.what = nullptr;
  trouble.left = n;
  bool runs = false;
  try {
    try {
      subject.system();
      runs = true;
    } catch (const Failure&) {
      // A start may fail: what counts is that nothing is left of it.
    }
    if (runs) {
      use_all_in_trouble(subject);
      trouble.left = INT_MAX;
      subject.stop();
    }
  } catch (const Failure& failure) {
    const char* const call = trouble.what.load();
    throw Failure(call == nullptr ? std::string(failure.what())
                                  : concat("when its call ", n + 1, " of the host fails, '", call,
                                           "': ", failure.what()));
  }
  return trouble.what.load() != nullptr;
}

void one_that_fails_once_is_survived(Subject& subject) {
  FailingHost host(subject);
  survives(subject, INT_MAX);
  const Footprint before = Footprint::now();
  // Each of the first calls, which are those of the start; then fewer and fewer.
  const auto end = std::chrono::steady_clock::now() + 2 * patience();
  for (int n = 0; survives(subject, n) && std::chrono::steady_clock::now() < end; n += 1 + n / 64) {
    require(soon([&] {
              const Footprint after = Footprint::now();
              return after.threads <= before.threads && after.descriptors <= before.descriptors;
            }),
            "when its call ", n + 1, " of the host fails, '", trouble.what.load(),
            "', it leaves a thread or a descriptor");
  }
}

// ---- nothing at once ----

/// A kernel that has no answer at once: what it could say right away another thread says later.
class LaterHost : public OtherHost {
 public:
  explicit LaterHost(const Subject& subject)
      : OtherHost(subject), thread_([this](const std::stop_token& stop) { complete_all(stop); }) {
    current_ = this;
  }
  const void* service(std::string_view id, const void* table) override {
    if (table == nullptr || id != BP_S_ENDPOINT) {
      return table;
    }
    endpoint_ = *static_cast<const bp_endpoint_service*>(table);
    real_submit_ = std::exchange(endpoint_.submit, &submit);
    real_open_ = std::exchange(endpoint_.open, &open);
    return &endpoint_;
  }

 private:
  static bp_status submit(const bp_host* host, bp_op* op) {
    return current_->later(op, real_submit_(host, op));
  }
  static bp_status open(const bp_host* host, bp_str address, const bp_message* options, bp_op* op) {
    return current_->later(op, real_open_(host, address, options, op));
  }
  bp_status later(bp_op* op, bp_status status) {
    if (status == BP_PENDING || op->done == nullptr) {
      return status;
    }
    op->status = status;
    const std::lock_guard lock(mutex_);
    completed_.push_back(op);
    changed_.notify_one();
    return BP_PENDING;
  }
  void complete_all(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (changed_.wait(lock, stop, [this] { return !completed_.empty(); })) {
      bp_op* const op = completed_.front();
      completed_.pop_front();
      lock.unlock();
      op->done(op);
      lock.lock();
    }
  }

  static inline LaterHost* current_ = nullptr;
  // Of the latest instance; all are alike.
  bp_endpoint_service endpoint_{};
  static inline decltype(bp_endpoint_service::submit) real_submit_ = nullptr;
  static inline decltype(bp_endpoint_service::open) real_open_ = nullptr;

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<bp_op*> completed_;
  std::jthread thread_;
};

void one_that_answers_later_is_waited_for(Subject& subject) {
  LaterHost host(subject);
  use_all(subject);
  subject.stop();
}

// ---- everything at once ----

/// A kernel that has the answer to every operation on another endpoint when the call returns: an
/// empty message, and of a watch its end.
class AtOnceHost : public OtherHost {
 public:
  using OtherHost::OtherHost;
  const void* service(std::string_view id, const void* table) override {
    if (table == nullptr || id != BP_S_ENDPOINT) {
      return table;
    }
    endpoint_ = *static_cast<const bp_endpoint_service*>(table);
    endpoint_.submit = [](const bp_host*, bp_op* op) {
      op->out = {};
      op->status = BP_OK;
      return bp_status{BP_OK};
    };
    return &endpoint_;
  }

 private:
  bp_endpoint_service endpoint_{};  // of the latest instance; all are alike
};

void one_that_answers_at_once_is_not_waited_for(Subject& subject) {
  AtOnceHost host(subject);
  use_all_in_trouble(subject);  // what an empty message is taken for is the subject's affair
  subject.stop();
}

constexpr std::array kTests = {
    Test{"hosts.an_old_one_is_enough", "tables of the first minor, and nothing behind them",
         &an_old_one_is_enough},
    Test{"hosts.a_new_one_is_no_harm", "longer tables of a newer minor", &a_new_one_is_no_harm},
    Test{"hosts.what_is_optional_may_be_missing", "only the services that it needs",
         &what_is_optional_may_be_missing},
    Test{"hosts.one_that_answers_later_is_waited_for",
         "no open and no operation on another endpoint is over when the call returns",
         &one_that_answers_later_is_waited_for},
    Test{"hosts.one_that_answers_at_once_is_not_waited_for",
         "every operation on another endpoint is over when the call returns",
         &one_that_answers_at_once_is_not_waited_for},
    Test{"hosts.one_that_fails_once_is_survived",
         "each call that may fail fails once: no crash, no hang, nothing left",
         &one_that_fails_once_is_survived},
};

}  // namespace

std::span<const Test> host_tests() noexcept { return kTests; }

}  // namespace backplane::conformance
