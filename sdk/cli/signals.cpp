// SPDX-License-Identifier: Apache-2.0
#include "signals.hpp"

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <unistd.h>

namespace backplane::cli {

Signals::Signals() {
  sigemptyset(&set_);
  sigaddset(&set_, SIGINT);
  sigaddset(&set_, SIGTERM);
  sigaddset(&set_, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &set_, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

std::optional<int> Signals::wait(std::chrono::nanoseconds at_most) const {
  const auto left = std::max(at_most, std::chrono::nanoseconds(0));
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
  const timespec timeout{seconds.count(), (left - seconds).count()};
  const int number = sigtimedwait(&set_, nullptr, &timeout);
  return number > 0 ? std::optional(number) : std::nullopt;  // else EAGAIN, or EINTR by a debugger
}

void Signals::end_at_next() {
  ender_ = std::thread([this] {
    while (!over_) {
      int number = 0;
      if (sigwait(&set_, &number) != 0 || number == SIGHUP) {
        continue;
      }
      constexpr std::string_view kText = "\nbackplane: ended by a second signal\n";
      (void)!write(STDERR_FILENO, kText.data(), kText.size());
      _exit(128 + number);
    }
  });
}

Signals::~Signals() {
  if (ender_.joinable()) {
    over_ = true;
    pthread_kill(ender_.native_handle(), SIGHUP);  // only wakes it
    ender_.join();
  }
}

}  // namespace backplane::cli
