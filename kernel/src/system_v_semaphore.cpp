// SPDX-License-Identifier: Apache-2.0
#include "system_v_semaphore.hpp"

#include "error.hpp"
#include "futex.hpp"
#include "kill_point.hpp"
#include "open_objects.hpp"
#include "system_v_key.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <sys/ipc.h>
#include <sys/sem.h>

namespace backplane::kernel {
namespace {

constexpr std::uint32_t kMost = 32767;  // SEMVMX, and what SEM_UNDO can count

union SemunArgument {  // semctl(2) leaves its declaration to the caller
  int val;
  semid_ds* buf;
};

int get_count(int id) noexcept { return ::semctl(id, 0, GETVAL); }

// Whether whoever made it ended before its count was set: nobody has set or changed it.
bool is_unset(int id) noexcept {
  semid_ds about{};
  SemunArgument argument{};
  argument.buf = &about;
  return ::semctl(id, 0, IPC_STAT, argument) == 0 && about.sem_otime == 0 &&
         ::semctl(id, 0, GETPID) == 0 && get_count(id) == 0;
}

// Adds, so that what processes hold stays theirs: SETVAL would forget it. At 0 it only looks, which
// counts as a use, too (is_unset).
bool set_count(int id, std::uint32_t wanted) noexcept {
  for (;;) {
    const int now = get_count(id);
    if (now < 0) return false;
    const int change = static_cast<int>(wanted) - now;
    if (change == 0 && now != 0) return true;
    sembuf step{0, static_cast<short>(change), IPC_NOWAIT};
    if (::semop(id, &step, 1) == 0) return true;
    if (errno != EAGAIN && errno != EINTR && errno != ERANGE) return false;
  }
}

// Not made at the first use: a child of fork(2) would wait for a thread that was at that. Never
// destroyed.
auto& open_ones = *new OpenObjects<int, SystemVSemaphore>;

}  // namespace

SystemVSemaphore::SystemVSemaphore(int id, std::string name) : id_(id), name_(std::move(name)) {}

SystemVSemaphore::~SystemVSemaphore() {
  // The system has no undo of a parent for its child.
  if (held_ == 0 || !is_of_this_process()) return;
  sembuf step{0, static_cast<short>(held_), IPC_NOWAIT | SEM_UNDO};
  while (::semop(id_, &step, 1) != 0 && errno == EINTR) {
  }
}

bp_status SystemVSemaphore::open(const NativeKey& key, const SemaphoreOptions& options,
                                 std::shared_ptr<Semaphore>& out, bp_error* error) {
  if (options.initial > kMost) {
    return set_error(error, BP_OUT_OF_RANGE, "a semaphore of System V counts up to 32767");
  }
  const bool may_make = options.which != BP_SEMAPHORE_EXISTING;
  SystemVKey system;
  if (const bp_status status = system.open(key, may_make, options.permissions, error); status < 0) {
    return status;
  }
  const key_t number = system.number();
  kill_point("locked");
  const std::string text = text_of(key);
  constexpr int kReadAndWrite = 0600;
  int id = -1;
  bool is_new = false;
  for (int attempt = 0; attempt < 2 && id < 0;
       ++attempt) {  // a program of another kind may make it
    id = ::semget(number, 1, kReadAndWrite);
    if (id >= 0) {
      is_new = may_make && is_unset(id);
      if (options.which == BP_SEMAPHORE_NEW && !is_new) {
        return set_error(error, BP_ALREADY_EXISTS, "there is a semaphore " + text);
      }
    } else if (errno == ENOENT && may_make) {
      id = ::semget(number, 1, IPC_CREAT | IPC_EXCL | static_cast<int>(options.permissions & 0777));
      is_new = id >= 0;
      kill_point("made");
      if (id < 0 && errno != EEXIST) break;
    } else {
      break;
    }
  }
  if (id < 0) {
    return set_errno_error(
        error, errno,
        errno == ENOENT ? "there is no semaphore " + text : "cannot open the semaphore " + text);
  }
  if ((is_new || options.which == BP_SEMAPHORE_RESET) && !set_count(id, options.initial)) {
    return set_errno_error(error, errno, "cannot set the count of " + text);
  }
  kill_point("set");
  std::shared_ptr<SystemVSemaphore> object = open_ones.find(id);
  if (!object) object = open_ones.add(id, std::make_shared<SystemVSemaphore>(id, text));
  out = std::move(object);
  return BP_OK;
}

bp_status SystemVSemaphore::remove(const NativeKey& key, bp_error* error) {
  SystemVKey system;
  if (const bp_status status = system.open(key, false, 0, error); status < 0) return status;
  const int id = ::semget(system.number(), 1, 0);
  if (id >= 0 && ::semctl(id, 0, IPC_RMID) == 0) return BP_OK;
  return set_errno_error(error, errno,
                         errno == ENOENT ? "there is no semaphore " + text_of(key)
                                         : "cannot remove the semaphore " + text_of(key));
}

bp_status SystemVSemaphore::failed(int number, std::string_view call, bp_error* error) const {
  if (number == EIDRM || number == EINVAL) {
    return set_error(error, BP_FAILED_PRECONDITION, name_ + " was removed: open it again", "errno",
                     number);
  }
  return set_errno_error(error, number, std::string(call) + " of " + name_);
}

bp_status SystemVSemaphore::acquire(bool is_held, std::int64_t deadline_ns, bp_error* error) {
  bool is_counted = is_held;
  for (;;) {
    short flags = is_counted ? SEM_UNDO : 0;
    timespec wait{};
    if (deadline_ns != 0) {
      const std::int64_t left = deadline_ns - monotonic_now();
      if (left <= 0) flags = static_cast<short>(flags | IPC_NOWAIT);
      wait = to_timespec(std::max<std::int64_t>(left, 0));
    }
    sembuf step{0, -1, flags};
    const int result = ::semtimedop(id_, &step, 1, deadline_ns == 0 ? nullptr : &wait);
    const int number = errno;
    if (result == 0) {
      kill_point("acquired");
      if (is_counted) {
        const std::scoped_lock lock(mutex_);
        ++held_;
      }
      return BP_OK;
    }
    if (number == EAGAIN) {
      if ((flags & IPC_NOWAIT) == 0) continue;  // a last look
      return set_error(error, BP_DEADLINE_EXCEEDED, "nothing of " + name_ + " is free");
    }
    // The system counts no more of what this process holds: it keeps what comes on top.
    if (number == ERANGE && is_counted) {
      is_counted = false;
    } else if (number != EINTR) {
      return failed(number, "semop", error);
    }
  }
}

bp_status SystemVSemaphore::release(std::uint32_t n, bp_error* error) {
  if (n > kMost) {
    return set_error(error, BP_OUT_OF_RANGE, "a semaphore of System V counts up to 32767");
  }
  const std::scoped_lock lock(mutex_);
  const std::uint32_t own = std::min(n, held_);
  std::array<sembuf, 2> steps{};
  std::size_t count = 0;
  if (own > 0) steps[count++] = {0, static_cast<short>(own), SEM_UNDO};
  if (n > own) steps[count++] = {0, static_cast<short>(n - own), 0};
  while (::semop(id_, steps.data(), count) != 0) {
    if (errno == ERANGE) {
      return set_error(error, BP_OUT_OF_RANGE, name_ + " would count more than 32767", "errno",
                       ERANGE);
    }
    if (errno != EINTR) return failed(errno, "semop", error);
  }
  kill_point("released");
  held_ -= own;
  return BP_OK;
}

bp_status SystemVSemaphore::count(std::uint32_t& out, bp_error* error) {
  const int now = get_count(id_);
  if (now < 0) return failed(errno, "semctl", error);
  out = static_cast<std::uint32_t>(now);
  return BP_OK;
}

}  // namespace backplane::kernel
