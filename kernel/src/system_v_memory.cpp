// SPDX-License-Identifier: Apache-2.0
#include "system_v_memory.hpp"

#include "attach_lock.hpp"
#include "error.hpp"
#include "kill_point.hpp"
#include "owner_check.hpp"
#include "system_v_key.hpp"

#include <algorithm>
#include <cerrno>
#include <limits>
#include <optional>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>

namespace backplane::kernel {
namespace {

constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());

std::optional<shmid_ds> status_of(int id) noexcept {
  shmid_ds out{};
  if (::shmctl(id, IPC_STAT, &out) != 0) return std::nullopt;
  return out;
}

// The mode of a new one until it is whole: with bits that say nothing to the system, and that no
// whole one of ours has.
constexpr unsigned kHalfMade = 0611;
constexpr std::uint32_t kPermissions = 0666;

// The same, where who only lists is not counted as one who has it attached.
std::optional<shmid_ds> settled_status_of(int id) noexcept {
  const auto about = status_of(id);
  if (!about || about->shm_nattch == 0) return about;
  const AttachLock lock(LOCK_SH);
  return status_of(id);
}

// MADV_POPULATE_WRITE: memory that is not there when it is written is SIGBUS. Of huge pages it was
// taken when the segment was made.
bool populate(void* address, std::uint64_t size) noexcept {
  return ::madvise(address, size, MADV_POPULATE_WRITE) == 0 || errno == EINVAL;
}

// Whether nobody has it, and it was not made to be kept; or whoever made it ended before it was
// whole. The caller has the file of its key, as its maker had.
bool is_nobodys(int id) noexcept {
  const auto about = settled_status_of(id);
  if (!about || about->shm_nattch != 0) return false;
  if (about->shm_segsz <= MemoryHeader::kSize) return false;  // of another kind
  const void* const address = ::shmat(id, nullptr, SHM_RDONLY);
  if (address == reinterpret_cast<void*>(-1)) return false;
  const auto* const header = static_cast<const MemoryHeader*>(address);
  const std::uint64_t magic = header->magic;
  const bool is_kept = (header->flags & BP_MEMORY_KEPT) != 0;
  ::shmdt(address);
  const bool is_ours = magic == MemoryHeader::kMagic;
  return SystemVMemory::is_half_made(*about) ? is_ours || magic == 0 : is_ours && !is_kept;
}

}  // namespace

bool SystemVMemory::is_half_made(const shmid_ds& about) noexcept {
  const uid_t user = ::geteuid();
  return (about.shm_perm.mode & 0777U) == kHalfMade && (user == 0 || user == about.shm_perm.cuid);
}

SystemVMemory::SystemVMemory(NativeKey key, int id, const MemoryOptions& options)
    : SharedMemory(options, text_of(key)), key_(std::move(key)), id_(id) {}

SystemVMemory::~SystemVMemory() {
  const bool is_removed = !is_kept_ && is_of_this_process();
  // Nobody opens it between the look and its end. Where that cannot be had it stays, nobody's,
  // until somebody opens it; without its file nobody can.
  SystemVKey system;
  const bp_status status = is_removed ? system.open(key_, false, 0, nullptr) : BP_OK;
  if (base_ != nullptr) ::shmdt(base_);
  const bool is_alone = status == BP_OK || status == BP_NOT_FOUND;
  if (!is_removed || !is_alone) return;
  const auto about = settled_status_of(id_);
  if (about && (begin_ == 0 || about->shm_nattch == 0)) ::shmctl(id_, IPC_RMID, nullptr);
}

bp_status SystemVMemory::open(const NativeKey& key, const MemoryOptions& options,
                              std::unique_ptr<SharedMemory>& out, bp_error* error) {
  const bool may_make = options.which != BP_MEMORY_EXISTING;
  const std::string text = text_of(key);
  SystemVKey system;
  if (const bp_status status = system.open(key, may_make, options.permissions, error); status < 0) {
    return status;
  }
  kill_point("locked");
  int id = ::shmget(system.number(), 0, 0);
  if (id >= 0 && !options.has(BP_MEMORY_PLAIN) && is_nobodys(id)) {
    if (::shmctl(id, IPC_RMID, nullptr) != 0) {
      return set_errno_error(error, errno,
                             "nobody has " + text + " open, and it cannot be removed");
    }
    kill_point("removed");
    id = -1;
    errno = ENOENT;
  }
  const bool is_new = id < 0 && errno == ENOENT && may_make;
  if (is_new) {
    if (options.size > kMost - options.begin()) {
      return set_error(error, BP_INVALID_ARGUMENT, "no segment is as large as that");
    }
    if (is_more_than_the_machine_has(options.size)) {
      return set_errno_error(error, ENOMEM, "no memory for " + text);
    }
    const int huge = options.has(BP_MEMORY_HUGE_PAGES) ? SHM_HUGETLB : 0;
    const std::uint32_t mode =
        options.has(BP_MEMORY_PLAIN) ? options.permissions & kPermissions : kHalfMade;
    id = ::shmget(system.number(), options.begin() + options.size,
                  IPC_CREAT | IPC_EXCL | huge | static_cast<int>(mode));
    kill_point("made");
  } else if (id >= 0 && options.which == BP_MEMORY_NEW) {
    return set_error(error, BP_ALREADY_EXISTS, "there is a segment " + text, "errno", EEXIST);
  }
  if (id < 0) {
    return set_errno_error(
        error, errno,
        errno == ENOENT ? "there is no segment " + text : "cannot open the segment " + text);
  }
  std::unique_ptr<SystemVMemory> memory(new SystemVMemory(key, id, options));
  const bp_status status = memory->attach(options.size, is_new, options, error);
  if (status < 0 && is_new) ::shmctl(id, IPC_RMID, nullptr);
  system.close();  // the end of `memory` needs it
  if (status == BP_OK) out = std::move(memory);
  return status;
}

bp_status SystemVMemory::attach(std::uint64_t least, bool is_new, const MemoryOptions& options,
                                bp_error* error) {
  const auto about = status_of(id_);
  if (begin_ != 0 && about) {
    // Whoever made it can say that it is anybody's, and keeps the right to write.
    for (const uid_t owner : {about->shm_perm.cuid, about->shm_perm.uid}) {
      const bp_status status =
          check_owner(owner, options.has(BP_MEMORY_TRUST_OWNER), "the segment " + name_, error);
      if (status < 0) return status;
    }
  }
  void* const address = ::shmat(id_, nullptr, is_read_only_ ? SHM_RDONLY : 0);
  if (address == reinterpret_cast<void*>(-1)) {
    return set_errno_error(error, errno, "cannot attach the segment " + name_);
  }
  base_ = address;
  data_ = static_cast<char*>(address) + begin_;
  const std::uint64_t all = about ? about->shm_segsz : 0;
  if (begin_ != 0 && all > begin_) header_ = static_cast<MemoryHeader*>(address);
  kill_point("attached");
  if (is_new && about) {
    if (const bp_status status = make(*about, options, error); status < 0) return status;
  }
  kill_point("whole");
  const std::uint64_t most = all > begin_ ? all - begin_ : 0;
  if (most == 0 || (header_ != nullptr && !header_->is_valid(most))) {
    return set_error(error, BP_DATA_LOSS,
                     name_ +
                         " is no segment of Backplane: open it with BP_MEMORY_PLAIN, or "
                         "remove it");
  }
  is_kept_ = header_ == nullptr ? !is_new || options.has(BP_MEMORY_KEPT)
                                : (header_->flags & BP_MEMORY_KEPT) != 0;
  size_ = header_ == nullptr ? most : std::min(header_->size.load(), most);
  if (size_ < least) {
    return set_error(error, BP_OUT_OF_RANGE,
                     "the segment " + name_ + " has " + std::to_string(size_) + " bytes, not " +
                         std::to_string(least));
  }
  return BP_OK;
}

// Takes the memory of a new one, and says at last that it is whole.
bp_status SystemVMemory::make(shmid_ds about, const MemoryOptions& options, bp_error* error) {
  const auto is_taken = [&](std::uint64_t size) {
    return populate(base_, size) ? BP_OK
                                 : set_errno_error(error, ENOMEM,
                                                   "no memory for " + std::to_string(options.size) +
                                                       " bytes of " + name_);
  };
  if (header_ == nullptr) return is_taken(about.shm_segsz);
  if (const bp_status status = is_taken(begin_); status < 0) return status;
  header_->make(options.size, options.flags & BP_MEMORY_KEPT, name_);
  kill_point("header");
  if (const bp_status status = is_taken(about.shm_segsz); status < 0) return status;
  if (options.fill) options.fill(data_);
  header_->is_whole();
  kill_point("half made");
  about.shm_perm.mode = options.permissions & kPermissions;
  return ::shmctl(id_, IPC_SET, &about) == 0
             ? BP_OK
             : set_errno_error(error, errno, "cannot set who may use the segment " + name_);
}

bp_status SystemVMemory::remove(const NativeKey& key, bp_error* error) {
  SystemVKey system;
  if (const bp_status status = system.open(key, false, 0, error); status < 0) return status;
  const int id = ::shmget(system.number(), 0, 0);
  if (id >= 0 && ::shmctl(id, IPC_RMID, nullptr) == 0) return BP_OK;
  return set_errno_error(error, errno,
                         errno == ENOENT ? "there is no segment " + text_of(key)
                                         : "cannot remove the segment " + text_of(key));
}

// The key's text is what another user may have written: its file is looked at only if it is the
// file of this segment's key, and is its owner's.
bool SystemVMemory::remove_if_nobodys(int id, const std::string& key_text) noexcept {
  SystemVKey system;
  std::string problem;
  const bp_status status = guarded([&] {
    const auto key = parse_key(key_text, problem);
    struct stat file {};
    const auto about = status_of(id);
    if (!about || !key || !is_system_v(key->type) || ::lstat(key->name.c_str(), &file) != 0 ||
        !S_ISREG(file.st_mode) || file.st_uid != about->shm_perm.cuid) {
      return BP_NOT_FOUND;
    }
    const bp_status opened = system.open(*key, false, 0, nullptr);
    return opened == BP_OK && system.number() != about->shm_perm.__key ? BP_NOT_FOUND : opened;
  });
  return status == BP_OK && is_nobodys(id) && ::shmctl(id, IPC_RMID, nullptr) == 0;
}

bp_status SystemVMemory::grow(std::uint64_t size, bp_error* error) {
  if (size <= size_) return BP_OK;
  return set_error(error, BP_UNIMPLEMENTED, "a segment of System V does not grow");
}

bp_status SystemVMemory::refresh(bp_error* /*error*/) { return BP_OK; }

int SystemVMemory::descriptor(bp_error* error) {
  set_error(error, BP_UNIMPLEMENTED, name_ + " is given away by its key");
  return -1;
}

gid_t SystemVMemory::group() const noexcept {
  const auto about = status_of(id_);
  return about ? about->shm_perm.gid : kNoGroup;
}

}  // namespace backplane::kernel
