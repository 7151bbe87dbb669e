// SPDX-License-Identifier: Apache-2.0
#include "stdin_writer.hpp"

#include <cerrno>
#include <csignal>
#include <ctime>

namespace backplane::process {
namespace {

std::string_view payload_of(Op op) {
  const auto payload = op.in().body().payload();
  return payload ? std::string_view(reinterpret_cast<const char*>(payload->data()), payload->size())
                 : std::string_view();
}

/// write() without SIGPIPE, whatever this process does with that signal.
ssize_t write_quietly(int fd, std::string_view bytes) {
  sigset_t pipe_signal;
  sigset_t before;
  sigset_t pending;
  sigemptyset(&pipe_signal);
  sigaddset(&pipe_signal, SIGPIPE);
  sigpending(&pending);
  pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
  const ssize_t n = ::write(fd, bytes.data(), bytes.size());
  const int error = errno;
  if (n < 0 && error == EPIPE && sigismember(&pending, SIGPIPE) == 0) {
    const timespec now{};
    sigtimedwait(&pipe_signal, nullptr, &now);
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return n;
}

}  // namespace

void StdinWriter::open(UniqueFd pipe) {
  pipe_ = std::move(pipe);
  auto state = state_.lock();
  state->open = static_cast<bool>(pipe_);
  state->last = false;
}

void StdinWriter::close(const Status& status) {
  std::deque<Op> waiting;
  {
    auto state = state_.lock();
    waiting.swap(state->waiting);
    *state = State{};
  }
  watch_.reset();
  pipe_.reset();
  for (const Op op : waiting) {
    host_.complete(op, status);
  }
}

Status StdinWriter::write(Op op) {
  const ValueView body = op.in().body();
  const bool last = op.in().is_last();
  if (!body.payload() && !(last && body.is_null())) {
    return Status(BP_INVALID_ARGUMENT, "standard input takes a string or bytes, not a ",
                  body.type_name());
  }
  {
    auto state = state_.lock();
    if (!state->open || state->last) {
      return Status(BP_FAILED_PRECONDITION,
                    state->last
                        ? "standard input was closed"
                        : "no command with a standard input runs: it needs stdin = \"pipe\"");
    }
    const size_t size = payload_of(op).size();
    if (!state->waiting.empty() && state->bytes + size > kMostBytes) {
      return Status(BP_RESOURCE_EXHAUSTED, state->bytes, " bytes wait for the child to read them");
    }
    state->bytes += size;
    state->last = last;
    state->waiting.push_back(op);
  }
  if (Status status = pump_.post(); status.is_error()) {
    auto state = state_.lock();
    const auto at = std::find(state->waiting.begin(), state->waiting.end(), op);
    if (at == state->waiting.end()) {
      return Status::pending();  // somebody else has completed it
    }
    state->waiting.erase(at);
    return status;
  }
  return Status::pending();
}

void StdinWriter::cancel(Op op) noexcept {
  {
    auto state = state_.lock();
    const auto at = std::find(state->waiting.begin(), state->waiting.end(), op);
    if (at == state->waiting.end()) {
      return;
    }
    const std::string_view payload = payload_of(op);
    if (at == state->waiting.begin() && state->written > 0) {
      state->rest = payload.substr(state->written);
      state->written = 0;
    }
    state->bytes -= payload.size();
    state->waiting.erase(at);
  }
  host_.complete(op, Status(BP_CANCELLED));
}

std::string_view StdinWriter::next(State& state) {
  return !state.rest.empty()      ? std::string_view(state.rest)
         : !state.waiting.empty() ? payload_of(state.waiting.front()).substr(state.written)
                                  : std::string_view();
}

void StdinWriter::pump() {
  for (;;) {
    Op done;
    Status outcome;
    {
      auto state = state_.lock();
      if (!pipe_ || (state->rest.empty() && state->waiting.empty())) {
        break;
      }
      // Under the lock, because a cancel frees the bytes; the pipe does not block.
      const std::string_view bytes = next(*state);
      const ssize_t n = bytes.empty() ? 0 : write_quietly(pipe_.get(), bytes);
      if (n < 0 && errno == EINTR) {
        continue;
      }
      if (n < 0 && errno == EAGAIN) {
        if (!watch_) {
          watch_ = std::make_unique<FdWatch>(host_, pipe_.get(), BP_FD_WRITE,
                                             [this](uint32_t) { static_cast<void>(pump_.post()); });
        }
        return;
      }
      if (n < 0) {
        outcome = Status(BP_UNAVAILABLE, "the child has closed its standard input");
        state->rest.clear();
      } else if (!state->rest.empty()) {
        state->rest.erase(0, static_cast<size_t>(n));
        continue;
      } else if (static_cast<size_t>(n) < bytes.size()) {
        state->written += static_cast<size_t>(n);
        continue;
      }
      if (!state->waiting.empty()) {
        done = state->waiting.front();
        state->bytes -= payload_of(done).size();
        state->waiting.pop_front();
      }
      state->written = 0;
    }
    if (done != nullptr) {
      host_.complete(done, outcome);
    }
  }
  watch_.reset();
  if (state_.lock()->last) {
    pipe_.reset();
  }
}

}  // namespace backplane::process
