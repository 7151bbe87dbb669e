// SPDX-License-Identifier: Apache-2.0
// What the system gives, and nothing around it.
#include "message_link.hpp"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <climits>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdexcept>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace backplane::benchmark {
namespace {

using namespace std::chrono_literals;

// One message each way, and a count of them that says that it is there.
struct Direction {
  alignas(64) std::atomic<std::uint32_t> count;
  std::uint64_t number;  // begins the message
};

class SharedPair {
 public:
  explicit SharedPair(const LinkOptions& options)
      : stride_((sizeof(Direction) + options.size + 63) / 64 * 64) {
    const int file = shm_open(("/" + options.name).c_str(), O_RDWR | O_CREAT, 0600);
    if (file < 0 || posix_fallocate(file, 0, static_cast<off_t>(2 * stride_)) != 0) {
      throw std::runtime_error("cannot make shared memory");
    }
    void* const memory = mmap(nullptr, 2 * stride_, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (memory == MAP_FAILED) throw std::runtime_error("cannot map shared memory");
    char* const base = static_cast<char*>(memory);
    out = reinterpret_cast<Direction*>(base + (options.is_first ? 0 : stride_));
    in = reinterpret_cast<Direction*>(base + (options.is_first ? stride_ : 0));
  }

  Direction* out = nullptr;
  Direction* in = nullptr;

 private:
  std::size_t stride_;
};

class SpinLink final : public MessageLink {
 public:
  explicit SpinLink(const LinkOptions& options) : pair_(options) {}

  void send(std::uint64_t number) override {
    pair_.out->number = number;
    pair_.out->count.store(++sent_, std::memory_order_release);
  }
  std::optional<std::uint64_t> receive() override {
    const auto end = std::chrono::steady_clock::now() + 100ms;
    for (int i = 1;; ++i) {
      const std::uint32_t count = pair_.in->count.load(std::memory_order_acquire);
      if (count != received_) {
        received_ = count;
        return pair_.in->number;
      }
      if (i % 1024 == 0 && std::chrono::steady_clock::now() > end) return std::nullopt;
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    }
  }

 private:
  SharedPair pair_;
  std::uint32_t sent_ = 0;
  std::uint32_t received_ = 0;
};

class FutexLink final : public MessageLink {
 public:
  explicit FutexLink(const LinkOptions& options) : pair_(options) {}

  void send(std::uint64_t number) override {
    pair_.out->number = number;
    pair_.out->count.store(++sent_, std::memory_order_release);
    syscall(SYS_futex, &pair_.out->count, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
  }
  std::optional<std::uint64_t> receive() override {
    const timespec at_most{0, 100'000'000};
    while (pair_.in->count.load(std::memory_order_acquire) == received_) {
      if (syscall(SYS_futex, &pair_.in->count, FUTEX_WAIT, received_, &at_most, nullptr, 0) != 0 &&
          errno == ETIMEDOUT) {
        return std::nullopt;
      }
    }
    received_ = pair_.in->count;
    return pair_.in->number;
  }

 private:
  SharedPair pair_;
  std::uint32_t sent_ = 0;
  std::uint32_t received_ = 0;
};

class UnixSocketLink final : public MessageLink {
 public:
  explicit UnixSocketLink(const LinkOptions& options) : bytes_(options.size) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    options.name.copy(name.sun_path + 1, sizeof name.sun_path - 1);
    const auto size = static_cast<socklen_t>(sizeof name.sun_family + 1 + options.name.size());
    socket_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const auto* const raw = reinterpret_cast<const sockaddr*>(&name);
    if (options.is_first) {
      const auto end = std::chrono::steady_clock::now() + 10s;
      while (connect(socket_, raw, size) != 0) {
        if (std::chrono::steady_clock::now() > end) throw std::runtime_error("nobody listens");
        std::this_thread::sleep_for(1ms);
      }
    } else {
      const int listening = socket_;
      if (bind(listening, raw, size) != 0 || listen(listening, 1) != 0) {
        throw std::runtime_error("cannot listen");
      }
      socket_ = accept(listening, nullptr, nullptr);
      close(listening);
    }
    const timeval tenth{0, 100'000};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &tenth, sizeof tenth);
  }
  ~UnixSocketLink() override { close(socket_); }

  void send(std::uint64_t number) override {
    *reinterpret_cast<std::uint64_t*>(bytes_.data()) = number;
    for (std::size_t sent = 0; sent < bytes_.size();) {
      const ssize_t n = ::send(socket_, bytes_.data() + sent, bytes_.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) throw std::runtime_error("the other is gone");
      sent += static_cast<std::size_t>(n);
    }
  }
  std::optional<std::uint64_t> receive() override {
    for (std::size_t received = 0; received < bytes_.size();) {
      const ssize_t n = recv(socket_, bytes_.data() + received, bytes_.size() - received, 0);
      if (n < 0 && errno == EAGAIN && received == 0) return std::nullopt;
      if (n == 0) throw std::runtime_error("the other is gone");
      received += n > 0 ? static_cast<std::size_t>(n) : 0;
    }
    return *reinterpret_cast<const std::uint64_t*>(bytes_.data());
  }

 private:
  std::vector<char> bytes_;
  int socket_ = -1;
};

}  // namespace

std::unique_ptr<MessageLink> spin_link(const LinkOptions& options) {
  return std::make_unique<SpinLink>(options);
}
std::unique_ptr<MessageLink> futex_link(const LinkOptions& options) {
  return std::make_unique<FutexLink>(options);
}
std::unique_ptr<MessageLink> unix_socket_link(const LinkOptions& options) {
  return std::make_unique<UnixSocketLink>(options);
}

}  // namespace backplane::benchmark
