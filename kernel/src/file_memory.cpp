// SPDX-License-Identifier: Apache-2.0
#include "file_memory.hpp"

#include "error.hpp"
#include "file_lock.hpp"
#include "kill_point.hpp"
#include "owner_check.hpp"
#include "posix_path.hpp"
#include "shared_file.hpp"

#include <cerrno>
#include <cstdio>
#include <dirent.h>
#include <fcntl.h>
#include <limits>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

namespace backplane::kernel {
namespace {

constexpr int kAttempts = 100;    // to open what others make and remove
constexpr int kFulls = 60;        // attempts to make one where there is no space: others, who
                                  // make and remove it in turn, may have it at each of twenty
constexpr int kBetweenFulls = 5;  // ms
constexpr std::uint64_t kHugePage = 2U << 20U;
constexpr unsigned kOf2MiB = 21U << 26U;  // memfd_create(2)
constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<off_t>::max());

// What a file in /dev/shm is, for one who opens it.
enum class Found { kOpen, kNobodys, kGone, kForeign, kBusy };

struct stat status_of(int file) noexcept {
  struct stat out {};
  ::fstat(file, &out);
  return out;
}

// Takes the shared lock if it is open; has the exclusive one of what is nobody's.
Found look_at(const Descriptor& file) {
  if (::flock(file.get(), LOCK_EX | LOCK_NB) == 0) {
    MemoryHeader header{};
    const ssize_t n = ::pread(file.get(), static_cast<void*>(&header), sizeof header, 0);
    if (n < static_cast<ssize_t>(sizeof header) || header.magic != MemoryHeader::kMagic) {
      return Found::kForeign;
    }
    if ((header.flags & BP_MEMORY_KEPT) == 0) return Found::kNobodys;
  }
  if (lock_file(file.get(), LOCK_SH) != 0) return Found::kBusy;
  kill_point("shared");
  return status_of(file.get()).st_nlink == 0 ? Found::kGone : Found::kOpen;
}

// Said, because a child made by fork(2) meanwhile has the descriptor, too.
void unlock_file(const Descriptor& file) noexcept { ::flock(file.get(), LOCK_UN); }

bp_status is_foreign(const std::string& name, bp_error* error) {
  return set_error(error, BP_DATA_LOSS,
                   name +
                       " is no segment of Backplane, or damaged: open it with BP_MEMORY_PLAIN, "
                       "or remove it");
}

// Removes the file if that is what its name stands for. The caller has its exclusive lock.
int unlink_same(const char* path, const Descriptor& file) noexcept {
  const struct stat ours = status_of(file.get());
  struct stat named {};
  if (::stat(path, &named) != 0) return errno == ENOENT ? 0 : errno;
  if (named.st_dev != ours.st_dev || named.st_ino != ours.st_ino) return 0;
  return ::unlink(path) == 0 || errno == ENOENT ? 0 : errno;
}

}  // namespace

FileMemory::FileMemory(Descriptor file, const MemoryOptions& options, std::string name)
    : SharedMemory(options, std::move(name)), file_(std::move(file)) {}

FileMemory::~FileMemory() {
  if (is_of_huge_pages_ && header_ != nullptr) {
    ::munmap(header_, begin_ + size_);
  } else {
    if (data_ != nullptr) ::munmap(data_, size_);
    if (header_ != nullptr) ::munmap(header_, MemoryHeader::kSize);
  }
  if (path_.empty() || !is_of_this_process()) return;
  if (::flock(file_.get(), LOCK_EX | LOCK_NB) == 0) unlink_same(path_.c_str(), file_);
  unlock_file(file_);
}

bp_status FileMemory::open(const NativeKey& key, const MemoryOptions& options,
                           std::unique_ptr<SharedMemory>& out, bp_error* error) {
  std::string path;
  if (const bp_status status = posix_path(key, "", path, error); status < 0) return status;
  const std::string text = text_of(key);
  const int access = options.has(BP_MEMORY_READ_ONLY) ? O_RDONLY : O_RDWR;
  int fulls = 0;
  Descriptor turn;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    // It may be a pipe.
    Descriptor file(::open(path.c_str(), access | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW));
    kill_point("opened");
    bp_status status = BP_PENDING;
    if (file) {
      status = open_file(std::move(file), path, text, options, out, error);
    } else if (errno == ELOOP || errno == EISDIR || errno == ENXIO) {
      status = is_foreign(text, error);
    } else if (errno != ENOENT) {
      status = set_errno_error(error, errno, "cannot open the segment " + text);
    } else if (options.which == BP_MEMORY_EXISTING) {
      status = set_error(error, BP_NOT_FOUND, "there is no segment " + text, "errno", ENOENT);
    } else {
      status = make_file(path, text, options, out, error);
      // Perhaps others make the same one just now: one of them is enough, so those that found no
      // space take turns.
      if (status == BP_RESOURCE_EXHAUSTED && ++fulls < kFulls) {
        if (!turn) {
          turn = Descriptor(::open(kSharedMemoryFolder, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
          if (turn) lock_file(turn.get(), LOCK_EX);
        } else {
          ::poll(nullptr, 0, kBetweenFulls);
        }
        status = BP_PENDING;
      }
    }
    if (status != BP_PENDING) return status;
  }
  return set_error(error, BP_ABORTED, text + " is made and removed by others all the time");
}

// PENDING: it is gone.
bp_status FileMemory::open_file(Descriptor file, const std::string& path, const std::string& text,
                                const MemoryOptions& options, std::unique_ptr<SharedMemory>& out,
                                bp_error* error) {
  const bool is_plain = options.has(BP_MEMORY_PLAIN);
  if (!is_plain) {
    const bp_status status =
        check_owner(status_of(file.get()).st_uid, options.has(BP_MEMORY_TRUST_OWNER),
                    "the segment " + text, error);
    if (status < 0) return status;
    const Found found = look_at(file);
    const int failure = found == Found::kNobodys ? unlink_same(path.c_str(), file) : 0;
    if (found != Found::kOpen) unlock_file(file);
    kill_point("looked at");
    switch (found) {
      case Found::kOpen:
        break;
      case Found::kGone:
        return BP_PENDING;
      case Found::kBusy:
        return set_errno_error(error, EBUSY, "cannot lock the segment " + text);
      case Found::kForeign:
        return is_foreign(text, error);
      case Found::kNobodys:
        if (failure == 0) return BP_PENDING;
        if (options.which == BP_MEMORY_EXISTING) {
          return set_error(error, BP_NOT_FOUND, "nobody has the segment " + text + " open", "errno",
                           failure);
        }
        return set_errno_error(error, failure,
                               "nobody has " + text + " open, and it cannot be removed");
    }
  }
  if (options.which == BP_MEMORY_NEW) {
    return set_error(error, BP_ALREADY_EXISTS, "there is a segment " + text, "errno", EEXIST);
  }
  std::unique_ptr<FileMemory> memory(new FileMemory(std::move(file), options, text));
  if (const bp_status status = memory->map_what_is_there(options, error); status < 0) return status;
  if (!is_plain && (memory->header_->flags & BP_MEMORY_KEPT) == 0) memory->path_ = path;
  out = std::move(memory);
  return BP_OK;
}

// A new one, which nobody sees before it is whole. PENDING: somebody else was faster.
bp_status FileMemory::make_file(const std::string& path, const std::string& text,
                                const MemoryOptions& options, std::unique_ptr<SharedMemory>& out,
                                bp_error* error) {
  Descriptor made;
  if (const int failure = make_unnamed_file(options.permissions, made); failure != 0) {
    return set_errno_error(error, failure, "cannot make the segment " + text);
  }
  if (options.group != kNoGroup) {
    const int is_not_in_it = ::fchown(made.get(), static_cast<uid_t>(-1), options.group);
    static_cast<void>(is_not_in_it);
  }
  std::unique_ptr<FileMemory> memory(new FileMemory(std::move(made), options, text));
  if (const bp_status status = memory->make(options, error); status < 0) return status;
  if (const int failure = lock_file(memory->file_.get(), LOCK_SH); failure != 0) {
    return set_errno_error(error, failure, "cannot lock the segment " + text);
  }
  kill_point("made");
  if (const int failure = name_file(memory->file_, path); failure != 0) {
    if (failure == EEXIST) return BP_PENDING;
    return set_errno_error(error, failure, "cannot make the segment " + text);
  }
  kill_point("linked");
  if (!options.has(BP_MEMORY_KEPT)) memory->path_ = path;
  out = std::move(memory);
  return BP_OK;
}

bp_status FileMemory::make_anonymous(const NativeKey& key, const MemoryOptions& options,
                                     std::unique_ptr<SharedMemory>& out, bp_error* error) {
  const std::string text = text_of(key);
  const unsigned huge = options.has(BP_MEMORY_HUGE_PAGES) ? MFD_HUGETLB | kOf2MiB : 0;
  MemoryOptions rounded = options;
  if (huge != 0 && options.size < kMost - kHugePage) {
    rounded.size =
        (options.begin() + options.size + kHugePage - 1) / kHugePage * kHugePage - options.begin();
  }
  Descriptor made(::memfd_create(key.name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING | huge));
  if (!made) return set_errno_error(error, errno, "cannot make the segment " + text);
  std::unique_ptr<FileMemory> memory(new FileMemory(std::move(made), options, text));
  memory->is_anonymous_ = true;
  memory->is_of_huge_pages_ = huge != 0;
  if (const bp_status status = memory->make(rounded, error); status < 0) return status;
  int seals = F_SEAL_SHRINK | F_SEAL_SEAL;
  if (options.has(BP_MEMORY_FIXED)) seals |= F_SEAL_GROW;
  if (options.has(BP_MEMORY_ONE_WRITER)) seals |= F_SEAL_FUTURE_WRITE;
  if (::fcntl(memory->file_.get(), F_ADD_SEALS, seals) != 0) {
    return set_errno_error(error, errno, "cannot seal the segment " + text);
  }
  out = std::move(memory);
  return BP_OK;
}

bp_status FileMemory::adopt(int descriptor, const MemoryOptions& options,
                            std::unique_ptr<SharedMemory>& out, bp_error* error) {
  const std::string text = "of the descriptor " + std::to_string(descriptor);
  Descriptor own;
  if (const bp_status status = keep_sealed(descriptor, "the memory " + text, own, error);
      status < 0) {
    return status;
  }
  const struct stat about = status_of(own.get());
  if (options.begin() != 0) {
    if (const bp_status status = check_owner(about.st_uid, options.has(BP_MEMORY_TRUST_OWNER),
                                             "the memory " + text, error);
        status < 0) {
      return status;
    }
  }
  std::unique_ptr<FileMemory> memory(new FileMemory(std::move(own), options, text));
  memory->is_anonymous_ = true;
  struct statfs system {};
  memory->is_of_huge_pages_ =
      ::fstatfs(memory->file_.get(), &system) == 0 && system.f_type == HUGETLBFS_MAGIC;
  if (const bp_status status = memory->map_what_is_there(options, error); status < 0) return status;
  out = std::move(memory);
  return BP_OK;
}

bp_status FileMemory::remove(const NativeKey& key, bp_error* error) {
  std::string path;
  if (const bp_status status = posix_path(key, "", path, error); status < 0) return status;
  if (::unlink(path.c_str()) == 0) return BP_OK;
  return set_errno_error(error, errno,
                         errno == ENOENT ? "there is no segment " + text_of(key)
                                         : "cannot remove the segment " + text_of(key));
}

bool FileMemory::remove_if_nobodys(const char* path) noexcept {
  const Descriptor file(::open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!file || ::flock(file.get(), LOCK_EX | LOCK_NB) != 0) return false;
  MemoryHeader header{};
  const ssize_t n = ::pread(file.get(), static_cast<void*>(&header), sizeof header, 0);
  return n == static_cast<ssize_t>(sizeof header) && header.magic == MemoryHeader::kMagic &&
         (header.flags & BP_MEMORY_KEPT) == 0 && status_of(file.get()).st_nlink != 0 &&
         unlink_same(path, file) == 0;
}

void FileMemory::remove_nobodys(std::string_view prefix) noexcept {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir(kSharedMemoryFolder), &::closedir);
  while (const dirent* const entry = folder == nullptr ? nullptr : ::readdir(folder.get())) {
    if (std::string_view(entry->d_name).substr(0, prefix.size()) != prefix) continue;
    char path[sizeof entry->d_name + 16];
    std::snprintf(path, sizeof path, "%s/%s", kSharedMemoryFolder, entry->d_name);
    remove_if_nobodys(path);
  }
}

// Memory that is not there is SIGBUS for who touches it: it is taken now, all or nothing.
bp_status FileMemory::allocate(std::uint64_t data_size, bp_error* error) const {
  if (data_size > kMost - begin_) {
    return set_error(error, BP_INVALID_ARGUMENT, "no file is as large as that");
  }
  const std::uint64_t end = begin_ + data_size;
  int failure = is_anonymous_ && is_more_than_the_machine_has(end) ? ENOMEM : EINTR;
  for (int attempt = 0; attempt < kAttempts && failure == EINTR; ++attempt) {
    failure = ::posix_fallocate(file_.get(), 0, static_cast<off_t>(end));
  }
  if (failure == 0) return BP_OK;
  return set_errno_error(error, failure,
                         "no memory for " + std::to_string(data_size) + " bytes of " + name_);
}

// The same by faults, which give huge pages where fallocate(2) gives small ones.
bp_status FileMemory::allocate_huge(std::uint64_t data_size, bp_error* error) {
  if (data_size > kMost - begin_) {
    return set_error(error, BP_INVALID_ARGUMENT, "no file is as large as that");
  }
  if (::ftruncate(file_.get(), static_cast<off_t>(begin_ + data_size)) != 0) {
    return set_errno_error(error, errno, "cannot make " + name_ + " as large as that");
  }
  if (const bp_status status = map(data_size, error); status < 0) return status;
  ::madvise(data_, size_, MADV_HUGEPAGE);
  if (::madvise(data_, size_, MADV_POPULATE_WRITE) == 0) return allocate(data_size, error);
  return set_errno_error(error, ENOSPC,
                         "no memory for " + std::to_string(data_size) + " bytes of " + name_);
}

bp_status FileMemory::make(const MemoryOptions& options, bp_error* error) {
  const bool is_asked_for = options.has(BP_MEMORY_HUGE_PAGES) && !is_anonymous_;
  bp_status status =
      is_asked_for ? allocate_huge(options.size, error) : allocate(options.size, error);
  if (status == BP_OK) status = map_header(error);
  if (status == BP_OK && data_ == nullptr) status = map(options.size, error);
  if (status == BP_OK && header_ != nullptr) {
    if (options.fill) options.fill(data_);
    header_->make(options.size, options.flags & BP_MEMORY_KEPT, name_);
    kill_point("header");
    header_->is_whole();
  }
  return status;
}

bp_status FileMemory::map_header(bp_error* error) {
  if (begin_ == 0 || is_of_huge_pages_) return BP_OK;
  const int access = is_read_only_ ? PROT_READ : PROT_READ | PROT_WRITE;
  void* const address = ::mmap(nullptr, MemoryHeader::kSize, access, MAP_SHARED, file_.get(), 0);
  if (address == MAP_FAILED)
    return set_errno_error(error, errno, "cannot map the segment " + name_);
  header_ = static_cast<MemoryHeader*>(address);
  return BP_OK;
}

// Maps that much data, or that much more.
bp_status FileMemory::map(std::uint64_t data_size, bp_error* error) {
  const int access = is_read_only_ ? PROT_READ : PROT_READ | PROT_WRITE;
  void* address = nullptr;
  if (is_of_huge_pages_) {
    address = ::mmap(nullptr, begin_ + data_size, access, MAP_SHARED, file_.get(), 0);
  } else if (data_ == nullptr) {
    address =
        ::mmap(nullptr, data_size, access, MAP_SHARED, file_.get(), static_cast<off_t>(begin_));
  } else {
    address = ::mremap(data_, size_, data_size, MREMAP_MAYMOVE);
  }
  if (address == MAP_FAILED)
    return set_errno_error(error, errno, "cannot map the segment " + name_);
  if (is_of_huge_pages_) {
    if (begin_ != 0) header_ = static_cast<MemoryHeader*>(address);
    address = static_cast<char*>(address) + begin_;
  }
  data_ = address;
  size_ = data_size;
  return BP_OK;
}

bp_status FileMemory::map_what_is_there(const MemoryOptions& options, bp_error* error) {
  const struct stat about = status_of(file_.get());
  const auto file_size = static_cast<std::uint64_t>(about.st_size);
  if (!S_ISREG(about.st_mode) || file_size <= begin_) {
    return set_error(error, BP_DATA_LOSS, "the segment " + name_ + " is no memory, or was cut");
  }
  if (const bp_status status = map_header(error); status < 0) return status;
  if (const bp_status status = map(file_size - begin_, error); status < 0) return status;
  if (header_ != nullptr && !header_->is_valid(size_)) {
    return is_foreign(name_, error);
  }
  if (const bp_status status = refresh(error); status < 0) return status;
  if (size_ < options.size) {
    return set_error(error, BP_OUT_OF_RANGE,
                     "the segment " + name_ + " has " + std::to_string(size_) + " bytes, not " +
                         std::to_string(options.size));
  }
  return BP_OK;
}

bp_status FileMemory::refresh(bp_error* error) {
  const auto file_size = static_cast<std::uint64_t>(status_of(file_.get()).st_size);
  // What is cut cannot be touched; of a header that was written over, no more than the file has.
  const bool has_header = header_ != nullptr && file_size > begin_;
  const std::uint64_t now = has_header ? header_->size.load() : file_size;
  if (now == 0 || file_size <= begin_ || now > file_size - begin_) {
    return set_error(error, BP_DATA_LOSS,
                     "the segment " + name_ +
                         " was cut, or its header written over: its file has " +
                         std::to_string(file_size) + " bytes");
  }
  return now == size_ || is_of_huge_pages_ ? BP_OK : map(now, error);
}

bp_status FileMemory::grow(std::uint64_t size, bp_error* error) {
  if (size <= size_) return BP_OK;
  if (is_read_only_) {
    return set_error(error, BP_FAILED_PRECONDITION, name_ + " is opened to read");
  }
  if (is_of_huge_pages_ ||
      (is_anonymous_ && (::fcntl(file_.get(), F_GET_SEALS) & F_SEAL_GROW) != 0)) {
    return set_error(error, BP_UNIMPLEMENTED, name_ + " is of a fixed size");
  }
  if (const bp_status status = allocate(size, error); status < 0) return status;
  kill_point("grown");
  if (const bp_status status = map(size, error); status < 0) return status;
  if (header_ != nullptr) {
    std::uint64_t before = header_->size;
    while (before < size && !header_->size.compare_exchange_weak(before, size)) {
    }
  }
  return refresh(error);
}

int FileMemory::descriptor(bp_error* error) {
  if (!is_anonymous_) {
    set_error(error, BP_UNIMPLEMENTED, name_ + " is given away by its key");
    return -1;
  }
  const int out = ::fcntl(file_.get(), F_DUPFD_CLOEXEC, 0);
  if (out < 0) set_errno_error(error, errno, "cannot give " + name_ + " away");
  return out;
}

gid_t FileMemory::group() const noexcept {
  struct stat about {};
  return ::fstat(file_.get(), &about) == 0 ? about.st_gid : kNoGroup;
}

}  // namespace backplane::kernel
