// SPDX-License-Identifier: Apache-2.0
// What does the wall cost? A read of the same plugin in a process of its own, against two processes
// that only wake each other, over a socket pair and by a futex.
#include "bench.hpp"
#include "plugin_kernel.hpp"
#include "support/processes.hpp"

#include <atomic>
#include <condition_variable>
#include <csignal>
#include <fstream>
#include <linux/futex.h>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

namespace backplane::benchmark {
namespace {

constexpr int kBusy = 20'000;
constexpr int kIdle = 300;
constexpr int kPipelined = 100'000;
constexpr int kOutstanding = 64;
constexpr std::size_t kSize = 64;  // of a message of the baselines

void pause_a_little() {
  const timespec pause{0, 1'000'000};
  nanosleep(&pause, nullptr);
}

/// `round` does one round trip.
template <class Round>
std::vector<Metric> round_trips(const std::string& prefix, int count, bool idle, Round round) {
  std::vector<std::int64_t> latencies;
  latencies.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    if (idle) pause_a_little();
    const std::int64_t start = now_ns();
    round();
    latencies.push_back(now_ns() - start);
  }
  return percentiles(prefix, latencies);
}

std::vector<Metric> together(std::vector<std::vector<Metric>> parts) {
  std::vector<Metric> all;
  for (auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

Metric rate(int count, std::int64_t start) {
  return {"read_outstanding64_rate", count * 1e9 / static_cast<double>(now_ns() - start), {}};
}

// ---- the plugin ----

/// Reads, one or many at a time; the application goes on inside `done`.
class Reader {
 public:
  explicit Reader(const std::string& isolation)
      : kernel_(started_kernel("[instances.bench]\nplugin = \"bench\"\n" + isolation)),
        value_(kernel_.open("bench:value").value()) {}

  std::vector<Metric> measure() {
    return together({latencies("read", kBusy, false),
                     latencies("read_idle", kIdle, true),
                     {pipelined()},
                     memory()});
  }

 private:
  // Blocks this thread once for all of them.
  void run(int count, int outstanding, std::vector<std::int64_t>* latencies) {
    left_ = count;
    to_start_ = count;
    latencies_ = latencies;
    for (int i = 0; i < outstanding; ++i) start();
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return left_ == 0; });
  }
  void start() {
    if (to_start_.fetch_sub(1) <= 0) return;
    const std::int64_t started = latencies_ != nullptr ? now_ns() : 0;
    value_.read<double>().then([this, started](const Result<double>& result) {
      result.or_throw();
      if (latencies_ != nullptr) latencies_->push_back(now_ns() - started);
      if (left_.fetch_sub(1) == 1) {
        const std::lock_guard lock(mutex_);
        changed_.notify_all();
        return;
      }
      start();
    });
  }
  std::vector<Metric> latencies(const std::string& prefix, int count, bool idle) {
    std::vector<std::int64_t> all;
    all.reserve(static_cast<std::size_t>(count));
    if (!idle) {
      run(count, 1, &all);
    } else {
      for (int i = 0; i < count; ++i) {
        pause_a_little();
        run(1, 1, &all);
      }
    }
    return percentiles(prefix, all);
  }
  Metric pipelined() {
    const std::int64_t start = now_ns();
    run(kPipelined, kOutstanding, nullptr);
    return rate(kPipelined, start);
  }
  /// PSS of the host; nothing without one.
  std::vector<Metric> memory() {
    if (const pid_t host = test::host_of("bench")) {
      std::ifstream rollup("/proc/" + std::to_string(host) + "/smaps_rollup");
      std::string word;
      while (rollup >> word) {
        double kib = 0;
        if (word == "Pss:" && rollup >> kib) return {{"instance_pss_bytes", kib * 1024, {}}};
      }
    }
    return {};
  }

  Kernel kernel_;
  Endpoint value_;
  std::atomic<int> left_{0};
  std::atomic<int> to_start_{0};
  std::vector<std::int64_t>* latencies_ = nullptr;
  std::mutex mutex_;
  std::condition_variable changed_;
};

// ---- two processes and nothing else ----

class Echo {
 public:
  explicit Echo(const std::function<void()>& serve) : child_(fork()) {
    if (child_ == 0) {
      serve();
      _exit(0);
    }
  }
  ~Echo() {
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
  }
  Echo(const Echo&) = delete;
  Echo& operator=(const Echo&) = delete;

 private:
  const pid_t child_;
};

class UnixSocket {
 public:
  UnixSocket() {
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends_) != 0)
      throw std::runtime_error("no socket pair");
    echo_.emplace([this] {
      char block[4096];
      for (;;) {
        const ssize_t n = read(ends_[1], block, sizeof block);
        if (n <= 0 || write(ends_[1], block, static_cast<std::size_t>(n)) != n) return;
      }
    });
  }
  ~UnixSocket() {
    echo_.reset();
    close(ends_[0]);
    close(ends_[1]);
  }
  std::vector<Metric> measure() {
    const auto round = [this] {
      char block[kSize] = {};
      if (write(ends_[0], block, kSize) != kSize || read(ends_[0], block, kSize) != kSize)
        throw std::runtime_error("the echo has gone");
    };
    return together({round_trips("read", kBusy, false, round),
                     round_trips("read_idle", kIdle, true, round),
                     {pipelined()}});
  }

 private:
  Metric pipelined() {
    char block[kSize * kOutstanding] = {};
    const std::int64_t start = now_ns();
    std::size_t to_send = kSize * kPipelined;
    std::size_t to_come = to_send;
    ssize_t now = sizeof block;
    while (to_come != 0) {
      const std::size_t sent = std::min<std::size_t>(static_cast<std::size_t>(now), to_send);
      if (sent != 0 && write(ends_[0], block, sent) != static_cast<ssize_t>(sent))
        throw std::runtime_error("the echo has gone");
      to_send -= sent;
      now = read(ends_[0], block, sizeof block);
      to_come -= static_cast<std::size_t>(now);
    }
    return rate(kPipelined, start);
  }
  int ends_[2] = {-1, -1};
  std::optional<Echo> echo_;
};

class Futex {
 public:
  Futex()
      : words_(static_cast<std::atomic<std::uint32_t>*>(
            mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {
    echo_.emplace([this] {
      for (std::uint32_t turn = 1;; ++turn) {
        wait(words_[0], turn);
        set(words_[16], turn);
      }
    });
  }
  ~Futex() {
    echo_.reset();
    munmap(words_, 4096);
  }
  std::vector<Metric> measure() {
    const auto round = [this] {
      set(words_[0], ++turn_);
      wait(words_[16], turn_);
    };
    return together(
        {round_trips("read", kBusy, false, round), round_trips("read_idle", kIdle, true, round)});
  }

 private:
  static void set(std::atomic<std::uint32_t>& word, std::uint32_t value) {
    word.store(value, std::memory_order_release);
    syscall(SYS_futex, &word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
  }
  static void wait(std::atomic<std::uint32_t>& word, std::uint32_t value) {
    std::uint32_t now = 0;
    while ((now = word.load(std::memory_order_acquire)) != value) {
      syscall(SYS_futex, &word, FUTEX_WAIT, now, nullptr, nullptr, 0);
    }
  }
  std::atomic<std::uint32_t>* const words_;
  std::uint32_t turn_ = 0;
  std::optional<Echo> echo_;
};

}  // namespace

std::vector<Experiment> host_experiments() {
  Experiment experiment{"host",
                        {"read_p50", "read_p99", "read_p999", "read_idle_p50", "read_idle_p99",
                         "read_idle_p999", "read_outstanding64_rate", "instance_pss_bytes"},
                        {}};
  experiment.prepare = [] {
    const auto side = [](const std::string& name, auto subject) {
      return Side{name, [subject] { return subject->measure(); }};
    };
    // Those that fork without executing come before there are threads.
    const auto socket = std::make_shared<UnixSocket>();
    const auto futex = std::make_shared<Futex>();
    return std::vector<Side>{side("", std::make_shared<Reader>("isolation = \"process\"\n")),
                             side("unix_socket", socket), side("futex", futex)};
  };
  return {experiment, host_kill_experiment()};
}

}  // namespace backplane::benchmark
