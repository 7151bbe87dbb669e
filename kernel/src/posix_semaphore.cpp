// SPDX-License-Identifier: Apache-2.0
#include "posix_semaphore.hpp"

#include "error.hpp"
#include "file_lock.hpp"
#include "kill_point.hpp"
#include "open_objects.hpp"
#include "owner_check.hpp"
#include "posix_path.hpp"
#include "shared_file.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <fcntl.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <system_error>

namespace backplane::kernel {
namespace {

using File = PosixSemaphoreFile;
using Locked = RobustMutex::Locked;

static_assert(sizeof(sem_t) == offsetof(File, magic));
static_assert(sizeof(File::Process) == 64);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

constexpr std::uint64_t kMagic = 0x3130'6d65'735f'7062;  // "bp_sem01"
constexpr std::uint32_t kMost = SEM_VALUE_MAX;
// For what a stopped process may be in the middle of.
constexpr std::int64_t kPatience = 100'000'000;
constexpr std::int64_t kReleasePatience = 1'000'000'000;  // of who has said no deadline
constexpr int kAttempts = 100;                            // to open what others make and remove

constexpr std::uint64_t size_with(std::uint32_t processes) noexcept {
  return offsetof(File, processes) + processes * sizeof(File::Process);
}

// Whether sem_t is what File says of it.
bool is_layout_known() noexcept {
  sem_t probe{};
  std::uint64_t word = 0;
  if (::sem_init(&probe, 0, 5) != 0) return false;
  std::memcpy(&word, &probe, sizeof word);
  ::sem_destroy(&probe);
  return word == 5;
}

// What futex(2) compares: the count. The layout is one of little endian.
const std::uint32_t* count_of(const File& file) noexcept {
  return reinterpret_cast<const std::uint32_t*>(&file.word);
}

File* map(const Descriptor& descriptor) noexcept {
  void* const address =
      ::mmap(nullptr, sizeof(File), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor.get(), 0);
  return address == MAP_FAILED ? nullptr : static_cast<File*>(address);
}

// Makes place for processes `from` to `to`; an errno, or 0. SIGBUS is what comes of memory that is
// not there when it is written.
int make_places(File& file, const Descriptor& descriptor, std::uint32_t from,
                std::uint32_t to) noexcept {
  const auto offset = static_cast<off_t>(from == 0 ? 0 : size_with(from));
  const auto end = static_cast<off_t>(size_with(to));
  const int failure = ::posix_fallocate(descriptor.get(), offset, end - offset);
  if (failure != 0) return failure;
  for (std::uint32_t i = from; i < to; ++i) {
    File::Process& process = file.processes[i];
    process.alive.init();
    process.id = 0;
    process.held = 0;
    process.waiting = 0;
  }
  kill_point("places");
  file.n_processes = to;
  return 0;
}

int prepare_table(File& file, const Descriptor& descriptor) noexcept {
  const int failure = make_places(file, descriptor, 0, File::kProcessesAtATime);
  if (failure != 0) return failure;
  file.change.process = 0;
  file.guard.init();
  kill_point("guard");
  file.magic = kMagic;
  return 0;
}

// Not made at the first use: a child of fork(2) would wait for a thread that was at that. Never
// destroyed.
auto& open_ones = *new OpenObjects<std::pair<dev_t, ino_t>, PosixSemaphore>;
const bool kIsKnown = is_layout_known();

// A semaphore of an empty file; an errno, or 0.
int make_in(const Descriptor& empty, std::uint32_t initial) noexcept {
  File* const file = map(empty);
  if (file == nullptr) return errno;
  const int failure = prepare_table(*file, empty);
  if (failure == 0) {
    sem_t semaphore{};
    ::sem_init(&semaphore, 1, initial);
    std::memcpy(static_cast<void*>(file), &semaphore, sizeof semaphore);
  }
  ::munmap(file, sizeof(File));
  return failure;
}

// A new one, which nobody sees before it is whole. EEXIST: somebody else was faster.
int make(const std::string& path, const SemaphoreOptions& options, Descriptor& out) {
  Descriptor made;
  if (const int failure = make_unnamed_file(options.permissions, made); failure != 0) {
    return failure;
  }
  if (const int failure = make_in(made, options.initial); failure != 0) return failure;
  kill_point("made");
  if (const int failure = name_file(made, path); failure != 0) return failure;
  kill_point("linked");
  out = std::move(made);
  return 0;
}

bp_status check(const SemaphoreOptions& options, bp_error* error) {
  if (!kIsKnown) {
    return set_error(error, BP_UNIMPLEMENTED,
                     "the POSIX semaphores of this C library are not known");
  }
  return options.initial > kMost
             ? set_error(error, BP_OUT_OF_RANGE, "a POSIX semaphore counts up to 2147483647")
             : BP_OK;
}

// The table of what is there; the C library makes semaphores without one.
bp_status find_table(File& file, const Descriptor& descriptor, const std::string& text,
                     bp_error* error) {
  if (const int failure = lock_file(descriptor.get(), LOCK_EX); failure != 0) {
    return set_errno_error(error, failure, "cannot lock the semaphore " + text);
  }
  const auto size = [&] {
    struct stat about {};
    ::fstat(descriptor.get(), &about);
    return static_cast<std::uint64_t>(about.st_size);
  };
  int failure = 0;
  bool is_damaged = false;
  if (size() < size_with(0) || file.magic == 0) {
    failure = prepare_table(file, descriptor);
  } else {
    const std::uint32_t n = file.n_processes;  // the file was long enough before it was that
    is_damaged = file.magic != kMagic || n == 0 || n > File::kMostProcesses ||
                 size() < size_with(n) || !file.guard.is_one() ||
                 !std::all_of(file.processes, file.processes + n,
                              [](const auto& process) { return process.alive.is_one(); });
  }
  ::flock(descriptor.get(), LOCK_UN);
  if (is_damaged) {
    return set_error(error, BP_DATA_LOSS,
                     "what is behind the count of " + text +
                         " was damaged, or is of another version: remove it, and open it anew");
  }
  return failure == 0
             ? BP_OK
             : set_errno_error(error, failure, "no space in /dev/shm for who holds " + text);
}

}  // namespace

PosixSemaphore::PosixSemaphore(PosixSemaphoreFile* file, Descriptor descriptor, std::string name,
                               bool is_anonymous)
    : file_(file),
      descriptor_(std::move(descriptor)),
      name_(std::move(name)),
      is_anonymous_(is_anonymous) {}

PosixSemaphore::~PosixSemaphore() {
  if (is_joined_ && is_of_this_process()) {
    unwatch_lives(*this, [this] {
      return_what_is_left_at(place_);  // or others do
      file_->processes[place_].alive.unlock();
    });
  }
  ::munmap(file_, sizeof *file_);
}

bp_status PosixSemaphore::open(const NativeKey& key, const SemaphoreOptions& options,
                               std::shared_ptr<Semaphore>& out, bp_error* error) {
  if (const bp_status status = check(options, error); status < 0) return status;
  std::string path;
  if (const bp_status status = posix_path(key, "sem.", path, error); status < 0) return status;
  const std::string text = text_of(key);
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    Descriptor descriptor(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    const int failure = descriptor ? 0 : errno;
    bool is_new = false;
    if (failure == ENOENT && options.which != BP_SEMAPHORE_EXISTING) {
      const int problem = make(path, options, descriptor);
      if (problem == EEXIST) continue;
      if (problem != 0) return set_errno_error(error, problem, "cannot make the semaphore " + text);
      is_new = true;
    } else if (failure == ENOENT) {
      return set_error(error, BP_NOT_FOUND, "there is no semaphore " + text, "errno", ENOENT);
    } else if (failure != 0) {
      return set_errno_error(error, failure, "cannot open the semaphore " + text);
    } else if (options.which == BP_SEMAPHORE_NEW) {
      return set_error(error, BP_ALREADY_EXISTS, "there is a semaphore " + text, "errno", EEXIST);
    }
    std::shared_ptr<PosixSemaphore> object;
    bp_status status = use(std::move(descriptor), text, false, options, object, error);
    if (status == BP_OK && options.which == BP_SEMAPHORE_RESET && !is_new) {
      status = object->set_count(options.initial, error);
    }
    if (status == BP_OK) out = std::move(object);
    return status;
  }
  return set_error(error, BP_ABORTED, text + " is made and removed by others all the time");
}

bp_status PosixSemaphore::make_anonymous(const NativeKey& key, const SemaphoreOptions& options,
                                         std::shared_ptr<Semaphore>& out, bp_error* error) {
  if (const bp_status status = check(options, error); status < 0) return status;
  const std::string text = text_of(key);
  Descriptor made(::memfd_create(key.name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  const int failure = made ? make_in(made, options.initial) : errno;
  if (failure != 0 || ::fcntl(made.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_SEAL) != 0) {
    return set_errno_error(error, failure != 0 ? failure : errno,
                           "cannot make the semaphore " + text);
  }
  std::shared_ptr<PosixSemaphore> object;
  const bp_status status = use(std::move(made), text, true, options, object, error);
  if (status == BP_OK) out = std::move(object);
  return status;
}

bp_status PosixSemaphore::adopt(int descriptor, const SemaphoreOptions& options,
                                std::shared_ptr<Semaphore>& out, bp_error* error) {
  if (const bp_status status = check(options, error); status < 0) return status;
  const std::string text = "anonymous:(descriptor " + std::to_string(descriptor) + ")";
  Descriptor own;
  if (const bp_status status = keep_sealed(descriptor, text, own, error); status < 0) return status;
  std::uint64_t magic = 0;
  if (::pread(own.get(), &magic, sizeof magic, offsetof(File, magic)) != sizeof magic ||
      magic != kMagic) {
    return set_error(error, BP_DATA_LOSS, text + " is no semaphore");
  }
  std::shared_ptr<PosixSemaphore> object;
  const bp_status status = use(std::move(own), text, true, options, object, error);
  if (status == BP_OK) out = std::move(object);
  return status;
}

// The object of this process; of a new one the table is what make_in() has made of it.
bp_status PosixSemaphore::use(Descriptor descriptor, const std::string& text, bool is_anonymous,
                              const SemaphoreOptions& options, std::shared_ptr<PosixSemaphore>& out,
                              bp_error* error) {
  struct stat about {};
  if (::fstat(descriptor.get(), &about) != 0 || !S_ISREG(about.st_mode) ||
      static_cast<std::uint64_t>(about.st_size) < sizeof(sem_t)) {
    return set_error(error, BP_DATA_LOSS, text + " is no semaphore: remove it");
  }
  if (const bp_status status =
          check_owner(about.st_uid, options.is_owner_trusted, "the semaphore " + text, error);
      status < 0) {
    return status;
  }
  const std::pair identity(about.st_dev, about.st_ino);
  std::shared_ptr<PosixSemaphore> object = open_ones.find(identity);
  if (!object) {
    File* const file = map(descriptor);
    if (file == nullptr) return set_errno_error(error, errno, "cannot map the semaphore " + text);
    object = std::make_shared<PosixSemaphore>(file, std::move(descriptor), text, is_anonymous);
    bp_status status = find_table(*file, object->descriptor_, text, error);
    if (status == BP_OK) status = object->join(error);
    if (status == BP_OK) {
      object = open_ones.add(identity, object);
    } else {  // another thread may have had the last place
      object = open_ones.find(identity);
      if (!object) return status;
    }
  }
  out = std::move(object);
  return BP_OK;
}

int PosixSemaphore::descriptor(bp_error* error) {
  if (!is_anonymous_) return Semaphore::descriptor(error);
  const int out = ::fcntl(descriptor_.get(), F_DUPFD_CLOEXEC, 0);
  if (out < 0) set_errno_error(error, errno, "cannot give " + name_ + " away");
  return out;
}

bp_status PosixSemaphore::remove(const NativeKey& key, bp_error* error) {
  std::string path;
  if (const bp_status status = posix_path(key, "sem.", path, error); status < 0) return status;
  if (::unlink(path.c_str()) == 0) return BP_OK;
  return set_errno_error(error, errno,
                         errno == ENOENT ? "there is no semaphore " + text_of(key)
                                         : "cannot remove the semaphore " + text_of(key));
}

bp_status PosixSemaphore::join(bp_error* error) {
  try {
    is_joined_ = watch_lives(*this, [this] { return find_place(); });
  } catch (const std::system_error& problem) {
    return set_error(
        error, BP_RESOURCE_EXHAUSTED,
        std::string("no thread that tells others of this process' end: ") + problem.what());
  }
  return is_joined_ ? BP_OK
                    : set_error(error, BP_RESOURCE_EXHAUSTED,
                                name_ + " is open in 1024 processes, or /dev/shm is full");
}

std::uint32_t PosixSemaphore::places() const noexcept {
  return std::min(file_->n_processes.load(), File::kMostProcesses);
}

// On the life thread.
bool PosixSemaphore::find_place() {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const std::uint32_t n = places();
    place_ = take_place(
        0, n, [this](std::uint32_t i) -> Process& { return file_->processes[i]; },
        [this](std::uint32_t i) { return return_what_is_left_at(i); });
    if (place_ != kNoPlace) return true;
    if (!add_places(n)) return false;
  }
  return false;
}

// To the `n` that there were. False: there cannot be more.
bool PosixSemaphore::add_places(std::uint32_t n) noexcept {
  if (lock(monotonic_now() + kPatience) != Locked::kYes) return false;
  const bool is_added = file_->n_processes != n ||
                        (n + File::kProcessesAtATime <= File::kMostProcesses &&
                         make_places(*file_, descriptor_, n, n + File::kProcessesAtATime) == 0);
  file_->guard.unlock();
  return is_added;
}

void PosixSemaphore::look() noexcept {
  look_at_places(
      0, places(), place_, [this](std::uint32_t i) -> Process& { return file_->processes[i]; },
      [this](std::uint32_t i) { return return_what_is_left_at(i); });
}

// The caller has its `alive`. Wakes everybody, always: whom the dead one was woken for, or was
// about to wake. False: a stopped process has the guard; what is left stays there, and so does
// `id`, by which the next look finds it.
bool PosixSemaphore::return_what_is_left_at(std::uint32_t place) noexcept {
  Process& process = file_->processes[place];
  if (lock(monotonic_now() + kPatience) != Locked::kYes) return false;
  const std::uint64_t held = process.held;
  const std::uint64_t waiting = process.waiting;
  if (held != 0 || waiting != 0) {
    change(place, 0, 0, [&](std::uint64_t& word) {
      const std::uint64_t count = std::min<std::uint64_t>((word & File::kCount) + held, kMost);
      const std::uint64_t others = (word & ~File::kUnsettled) / File::kOneWaiting;
      word = (others - std::min(others, waiting)) * File::kOneWaiting | count;
      return true;
    });
  }
  kill_point("returned");
  process.id = 0;
  file_->guard.unlock();
  futex_wake(count_of(*file_));
  return true;
}

// kYes, kNo: not within the time, or kLost: never again.
RobustMutex::Locked PosixSemaphore::lock(std::int64_t deadline_ns) noexcept {
  Locked locked = file_->guard.try_lock();
  if (locked == Locked::kNo) {
    if (deadline_ns != 0) deadline_ns = std::max(deadline_ns, monotonic_now() + kPatience);
    locked = file_->guard.lock(deadline_ns);
  }
  if (locked != Locked::kOwnerDied) return locked;
  const std::uint32_t place = file_->change.process - 1;
  if ((file_->word & File::kUnsettled) != 0 && place < places()) settle(place);
  file_->change.process = 0;
  kill_point("repaired");
  file_->guard.repaired();
  return Locked::kYes;
}

// One change of the word and of what a process has, wholly or not at all, wherever this process is
// killed. The caller has the guard. False: `step` says that the word is not one to be changed.
template <typename Step>
bool PosixSemaphore::change(std::uint32_t place, std::uint32_t held, std::uint32_t waiting,
                            Step step) noexcept {
  file_->change.held = held;
  file_->change.waiting = waiting;
  file_->change.process = place + 1;
  kill_point("announced");
  std::uint64_t before = file_->word;
  std::uint64_t after = before;
  do {
    after = before;
    if (!step(after)) {
      file_->change.process = 0;
      return false;
    }
  } while (!file_->word.compare_exchange_weak(before, after | File::kUnsettled));
  kill_point("changed");
  settle(place);
  file_->change.process = 0;
  return true;
}

void PosixSemaphore::settle(std::uint32_t place) noexcept {
  Process& process = file_->processes[place];
  process.held = file_->change.held.load();
  kill_point("half settled");
  process.waiting = file_->change.waiting.load();
  kill_point("settled");
  file_->word &= ~File::kUnsettled;
  kill_point("done");
}

bp_status PosixSemaphore::cannot_lock(Locked locked, bp_error* error) const {
  if (locked == Locked::kNo) {
    return set_error(
        error, BP_DEADLINE_EXCEEDED,
        "a process was stopped in the middle of a change of " + name_ + ": continue or kill it");
  }
  return set_error(error, BP_DATA_LOSS, name_ + " was damaged: remove it, and open it anew");
}

bp_status PosixSemaphore::acquire(bool is_held, std::int64_t deadline_ns, bp_error* error) {
  Process& mine = file_->processes[place_];
  std::uint64_t counted = 0;  // kOneWaiting: this thread is counted as waiting
  for (;;) {
    if (const Locked locked = lock(deadline_ns); locked != Locked::kYes) {
      // It stays counted, which costs others a system call; the wake is for whoever can take.
      if (counted != 0) futex_wake(count_of(*file_), 1);
      return cannot_lock(locked, error);
    }
    const std::uint32_t others = mine.waiting - (counted != 0 ? 1 : 0);
    const bool is_taken =
        change(place_, mine.held + (is_held ? 1 : 0), others, [&](std::uint64_t& word) {
          if ((word & File::kCount) == 0) return false;
          word -= counted + 1;
          return true;
        });
    const bool is_over = !is_taken && deadline_ns != 0 && monotonic_now() >= deadline_ns;
    const std::uint64_t wanted = is_over ? 0 : File::kOneWaiting;
    if (!is_taken && counted != wanted) {
      change(place_, mine.held, others + (wanted != 0 ? 1 : 0), [&](std::uint64_t& word) {
        word += wanted - counted;
        return true;
      });
      counted = wanted;
    }
    file_->guard.unlock();
    if (is_taken) return BP_OK;
    if (is_over) return set_error(error, BP_DEADLINE_EXCEEDED, "nothing of " + name_ + " is free");
    kill_point("waiting");
    futex_wait(count_of(*file_), 0, deadline_ns);
    kill_point("woken");
  }
}

bp_status PosixSemaphore::release(std::uint32_t n, bp_error* error) {
  if (const Locked locked = lock(monotonic_now() + kReleasePatience); locked != Locked::kYes) {
    return cannot_lock(locked, error);
  }
  Process& mine = file_->processes[place_];
  const std::uint32_t held = mine.held;
  bool is_anybody_waiting = false;
  const bool is_added =
      change(place_, held - std::min(n, held), mine.waiting, [&](std::uint64_t& word) {
        if (n > kMost || (word & File::kCount) + n > kMost) return false;
        is_anybody_waiting = (word & ~File::kUnsettled) >= File::kOneWaiting;
        word += n;
        return true;
      });
  file_->guard.unlock();
  if (!is_added) {
    return set_error(error, BP_OUT_OF_RANGE, name_ + " would count more than 2147483647");
  }
  kill_point("released");
  if (is_anybody_waiting) futex_wake(count_of(*file_), static_cast<int>(n));
  return BP_OK;
}

bp_status PosixSemaphore::count(std::uint32_t& out, bp_error* /*error*/) {
  out = static_cast<std::uint32_t>(file_->word & File::kCount);
  return BP_OK;
}

bp_status PosixSemaphore::set_count(std::uint32_t count, bp_error* error) {
  if (const Locked locked = lock(monotonic_now() + kReleasePatience); locked != Locked::kYes) {
    return cannot_lock(locked, error);
  }
  const Process& mine = file_->processes[place_];
  change(place_, mine.held, mine.waiting, [&](std::uint64_t& word) {
    word = (word & ~File::kCount) | count;
    return true;
  });
  file_->guard.unlock();
  futex_wake(count_of(*file_));
  return BP_OK;
}

}  // namespace backplane::kernel
