// SPDX-License-Identifier: Apache-2.0
// Resolver: the addresses of a host name, without blocking the loop.
#pragma once

#include "loop.hpp"
#include "unique_handle.hpp"

#include <algorithm>
#include <functional>
#include <netdb.h>
#include <string>
#include <thread>
#include <vector>

namespace backplane {

/// Numeric addresses and "localhost" are answered at once; for other names a thread asks the
/// system's resolver, and ends. One question at a time. Loop thread only; may be destroyed inside
/// `done`.
class Resolver {
 public:
  /// Numeric addresses, each once, at least one; or UNAVAILABLE.
  using Answer = Result<std::vector<std::string>>;
  using Done = std::function<void(const Answer&)>;

  /// `host` outlives it.
  explicit Resolver(const Host& host) : told_(host, [this] { tell(); }) {}
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;
  /// While it is busy this waits for the system's resolver, perhaps for seconds; `done` is not
  /// called any more.
  ~Resolver() { join(); }

  /// A question is under way; its `done` will be called.
  bool is_busy() const noexcept { return thread_.joinable(); }
  /// Calls `done` once on the loop, perhaps inside this call. Not while it is busy. Throws when
  /// there is no thread to be had.
  void resolve(const std::string& name, Done done) {
    if (name == "localhost") {  // RFC 6761, section 6.3: never asked for elsewhere
      done(std::vector<std::string>{"127.0.0.1", "::1"});
      return;
    }
    if (const Answer numeric = look_up(name, AI_NUMERICHOST)) {
      done(numeric);
      return;
    }
    done_ = std::move(done);
    thread_ = std::thread([this, name] {
      boundary([&] { answer_ = look_up(name, AI_ADDRCONFIG); },
               [&](const Status& status) { answer_ = status; });
      while (told_.post().is_error()) {
        std::this_thread::yield();  // no memory for a task: nobody else can say that it has ended
      }
    });
  }

 private:
  static Answer look_up(const std::string& name, int flags) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = flags;
    addrinfo* found = nullptr;
    const int error = getaddrinfo(name.c_str(), nullptr, &hints, &found);
    const UniqueHandle<addrinfo, freeaddrinfo> owner(found);
    std::vector<std::string> out;
    for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
      char text[NI_MAXHOST];
      if (getnameinfo(at->ai_addr, at->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST) ==
              0 &&
          std::find(out.begin(), out.end(), text) == out.end()) {
        out.emplace_back(text);
      }
    }
    if (out.empty()) {
      return Status(BP_UNAVAILABLE, "no address for '", name,
                    "': ", std::string_view(gai_strerror(error)));
    }
    return out;
  }
  void join() {
    if (thread_.joinable()) {
      thread_.join();
    }
  }

  // The thread's last act was to post this.
  void tell() {
    join();
    const Done done = std::move(done_);
    const Answer answer = std::move(answer_);
    done(answer);  // nothing of this is touched afterwards: it may be gone
  }

  Done done_;
  Answer answer_ = Status(BP_UNAVAILABLE);  // the thread's, until it is joined
  Wakeup told_;
  std::thread thread_;
};

}  // namespace backplane
