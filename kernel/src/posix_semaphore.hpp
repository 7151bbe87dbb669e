// SPDX-License-Identifier: Apache-2.0
// A semaphore of POSIX, as sem_open(3) makes it, or in a memfd. The C library does not return what
// an ended process held; a table behind the sem_t, in the same file, knows who holds what.
#pragma once

#include "descriptor.hpp"
#include "life_thread.hpp"
#include "place.hpp"
#include "robust_mutex.hpp"
#include "semaphore.hpp"

#include <atomic>

namespace backplane::kernel {

// The file. All that is behind the word is changed under `guard`; the word is changed by other
// programs at any time.
struct PosixSemaphoreFile {
  // What a process has of the semaphore; its life is a mutex that a thread of it has locked.
  struct alignas(64) Process {
    RobustMutex alive;
    std::atomic<std::uint32_t> id;  // for people
    std::atomic<std::uint32_t> held;
    std::atomic<std::uint32_t> waiting;  // threads
  };
  static constexpr std::uint32_t kMostProcesses = 1024;
  static constexpr std::uint32_t kProcessesAtATime = 64;

  // The C library's sem_t of 64 bits: its lower half is the count, and what those wait for who are
  // counted in the upper half. sem_post(3) looks no closer at that than whether it is 0, so that
  // its uppermost bit can say that a change is not in the table yet: the bit and the change come in
  // the same instant, and whoever finds the guard of a dead process knows which of both was done.
  static constexpr std::uint64_t kCount = 0xffff'ffff;
  static constexpr std::uint64_t kOneWaiting = std::uint64_t{1} << 32;
  static constexpr std::uint64_t kUnsettled = std::uint64_t{1} << 63;
  std::atomic<std::uint64_t> word;
  std::uint32_t of_the_library[6];

  std::atomic<std::uint64_t> magic;  // last
  std::atomic<std::uint32_t> n_processes;
  struct Change {
    std::atomic<std::uint32_t> process;  // its place and 1; 0: there is no change
    std::atomic<std::uint32_t> held;     // after it
    std::atomic<std::uint32_t> waiting;
  } change;
  RobustMutex guard;
  alignas(4096) Process processes[kMostProcesses];
};

class PosixSemaphore final : public Semaphore, private LifeWatched {
 public:
  static bp_status open(const NativeKey& key, const SemaphoreOptions& options,
                        std::shared_ptr<Semaphore>& out, bp_error* error);
  static bp_status make_anonymous(const NativeKey& key, const SemaphoreOptions& options,
                                  std::shared_ptr<Semaphore>& out, bp_error* error);
  static bp_status adopt(int descriptor, const SemaphoreOptions& options,
                         std::shared_ptr<Semaphore>& out, bp_error* error);
  static bp_status remove(const NativeKey& key, bp_error* error);

  PosixSemaphore(PosixSemaphoreFile* file, Descriptor descriptor, std::string name,
                 bool is_anonymous);
  ~PosixSemaphore() override;

  bp_status acquire(bool is_held, std::int64_t deadline_ns, bp_error* error) override;
  bp_status release(std::uint32_t n, bp_error* error) override;
  bp_status count(std::uint32_t& out, bp_error* error) override;
  int descriptor(bp_error* error) override;

  // Before all else.
  bp_status join(bp_error* error);
  bp_status set_count(std::uint32_t count, bp_error* error);

 private:
  using Process = PosixSemaphoreFile::Process;

  static bp_status use(Descriptor descriptor, const std::string& text, bool is_anonymous,
                       const SemaphoreOptions& options, std::shared_ptr<PosixSemaphore>& out,
                       bp_error* error);

  void look() noexcept override;
  std::uint32_t places() const noexcept;
  bool find_place();
  bool add_places(std::uint32_t n) noexcept;
  bool return_what_is_left_at(std::uint32_t place) noexcept;

  RobustMutex::Locked lock(std::int64_t deadline_ns) noexcept;
  template <typename Step>
  bool change(std::uint32_t place, std::uint32_t held, std::uint32_t waiting, Step step) noexcept;
  void settle(std::uint32_t place) noexcept;
  bp_status cannot_lock(RobustMutex::Locked locked, bp_error* error) const;

  PosixSemaphoreFile* const file_;
  const Descriptor descriptor_;
  const std::string name_;  // text of the key
  std::uint32_t place_ = kNoPlace;
  const bool is_anonymous_;  // a memfd
  bool is_joined_ = false;
};

}  // namespace backplane::kernel
