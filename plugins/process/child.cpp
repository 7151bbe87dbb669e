// SPDX-License-Identifier: Apache-2.0
// Design notes. This process has many threads, so it never runs code of its own between fork and
// exec: it starts the guard as a companion, which has one thread, and the guard forks.
#include "child.hpp"

#include <backplane/sdk/companion.hpp>

#include <sys/syscall.h>
#include <sys/wait.h>

namespace backplane::process {
namespace {

constexpr auto kGraceMost = std::chrono::seconds(2);  // when this process has died

void set_nonblocking(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }

/// The guard with `ends` as its descriptors 0, 1, ...: pid.
pid_t spawn_guard(const Options& options, const std::array<int, kGuardSocket + 1>& ends) {
  const auto grace = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::min<std::chrono::nanoseconds>(options.stop_timeout, kGraceMost));
  std::vector<std::string> arguments = {"backplane-guard", std::to_string(options.stop_signal),
                                        std::to_string(grace.count()), options.folder};
  arguments.insert(arguments.end(), options.command.begin(), options.command.end());
  return companion::spawn(guard_path(), arguments, options.environment, ends);
}

Status failure_of(const GuardReport& report, const Options& options) {
  const std::string_view why = strerrordesc_np(report.error);
  const bool folder = report.step == GuardStep::kFolder;
  const bool missing = report.error == ENOENT || report.error == ENOTDIR;
  return Status(missing                  ? BP_NOT_FOUND
                : report.error == EACCES ? BP_PERMISSION_DENIED
                                         : BP_UNAVAILABLE,
                "cannot ", folder ? "enter 'cwd' " : "execute ",
                folder ? options.folder : options.command.front(), ": ", why)
      .with_native(report.error, "errno");
}

}  // namespace

std::string ExitRecord::text() const {
  if (!known) {
    return "was ended with its guard";
  }
  return WIFEXITED(wait_status) ? concat("exited with code ", WEXITSTATUS(wait_status))
                                : concat("was ended by ", signal_name(WTERMSIG(wait_status)));
}

std::string guard_path() { return companion::path("backplane-guard"); }

Child::Child(const Host& host, const Options& options, ChildEvents events)
    : options_(options),
      events_(std::move(events)),
      outputs_{Output{"stdout", {}, LineReader(options.line_max)},
               Output{"stderr", {}, LineReader(options.line_max)}} {
  companion::Pipe out = companion::make_pipe();
  companion::Pipe err = companion::make_pipe();
  companion::Pipe socket = companion::make_socket_pair(SOCK_SEQPACKET);
  companion::Pipe in;
  if (options.stdin_pipe) {
    in = companion::make_pipe();
  } else {
    in.read = companion::high(open("/dev/null", O_RDONLY | O_CLOEXEC));
  }
  const pid_t guard =
      spawn_guard(options, {in.read.get(), out.write.get(), err.write.get(), socket.write.get()});
  guard_.reset(static_cast<int>(syscall(SYS_pidfd_open, guard, 0)));
  stdin_ = std::move(in.write);
  socket_ = std::move(socket.read);
  outputs_[0].fd = std::move(out.read);
  outputs_[1].fd = std::move(err.read);
  if (stdin_) {
    set_nonblocking(stdin_.get());
  }
  // From here on the guard ends by itself when this throws: its socket closes.
  if (!guard_) {
    companion::throw_errno("no pidfd", errno);
  }
  socket_watch_ = std::make_unique<FdWatch>(host, socket_.get(), BP_FD_READ,
                                            [this](uint32_t) { read_reports(); });
  for (Output& output : outputs_) {
    set_nonblocking(output.fd.get());
    output.watch = std::make_unique<FdWatch>(
        host, output.fd.get(), BP_FD_READ, [this, &output](uint32_t) { read_output(output, 16); });
  }
  guard_watch_ = std::make_unique<FdWatch>(host, guard_.get(), BP_FD_READ,
                                           [this](uint32_t) { guard_ended(); });
}

void Child::signal(int number) {
  if (!exited_) {
    order(number);
  }
}

void Child::kill() { order(0); }

void Child::order(int number) {
  const GuardOrder order{number};
  // A guard that is gone has done what was asked for.
  static_cast<void>(send(socket_.get(), &order, sizeof order, MSG_NOSIGNAL | MSG_DONTWAIT));
}

void Child::read_reports() {
  GuardReport report{};
  ssize_t n = 0;
  while ((n = recv(socket_.get(), &report, sizeof report, MSG_DONTWAIT)) == sizeof report) {
    switch (report.event) {
      case GuardEvent::kStarted:
        pid_ = report.pid;
        events_.started(pid_);
        break;
      case GuardEvent::kFailed:
        events_.failed(failure_of(report, options_));
        break;
      case GuardEvent::kExited:
        exited_ = true;
        events_.exited(
            {report.wait_status, true, report.user_us, report.system_us, report.max_rss_kib});
        break;
    }
  }
  if (n == 0) {
    socket_watch_.reset();  // the rest follows when the guard has ended
  }
}

void Child::read_output(Output& output, size_t most) {
  const auto line = [&](std::string text, bool cut) {
    events_.line(output.stream, std::move(text), cut);
  };
  for (size_t i = 0; i < most; ++i) {
    char block[4096];
    const ssize_t n = read(output.fd.get(), block, sizeof block);
    if (n > 0) {
      output.lines.feed({block, static_cast<size_t>(n)}, line);
    } else if (n == 0) {
      output.lines.finish(line);
      output.watch.reset();
      return;
    } else if (errno != EINTR) {
      return;
    }
  }
}

void Child::guard_ended() {
  guard_watch_.reset();
  siginfo_t info{};
  waitid(P_PIDFD, static_cast<id_t>(guard_.get()), &info, WEXITED);  // ECHILD: others reaped it
  read_reports();
  if (pid_ != 0 && !exited_) {
    // The guard was killed, and with it the command; its group is ended here. What has left the
    // group cannot be found any more.
    ::kill(-pid_, SIGKILL);
    events_.exited(ExitRecord{});
  }
  for (Output& output : outputs_) {
    if (output.watch) {
      read_output(output, 1024);
      output.watch.reset();
    }
  }
  events_.gone();
}

}  // namespace backplane::process
