// SPDX-License-Identifier: Apache-2.0
#include "memory_list.hpp"

#include "attach_lock.hpp"
#include "descriptor.hpp"
#include "error.hpp"
#include "file_memory.hpp"
#include "memory_header.hpp"
#include "posix_path.hpp"
#include "system_v_memory.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <system_error>

namespace backplane::kernel {
namespace {

// Files that somebody has locked, by device and inode: to try a lock would look like an owner.
std::set<std::pair<dev_t, ino_t>> locked_files() {
  std::set<std::pair<dev_t, ino_t>> out;
  std::ifstream locks("/proc/locks");
  for (std::string line; std::getline(locks, line);) {
    std::istringstream fields(line);
    std::string skipped;
    unsigned major = 0;
    unsigned minor = 0;
    char colon = 0;
    ino_t inode = 0;
    fields >> skipped >> skipped;  // "1:", and "->" in front of who waits
    if (skipped != "FLOCK") continue;
    fields >> skipped >> skipped >> skipped;
    if (fields >> std::hex >> major >> colon >> minor >> colon >> std::dec >> inode) {
      out.emplace(makedev(major, minor), inode);
    }
  }
  return out;
}

FoundMemory found_in(const MemoryHeader& header) {
  FoundMemory out;
  if ((header.flags & BP_MEMORY_KEPT) != 0) out.flags |= BP_MEMORY_INFO_KEPT;
  if (header.is_maker_alive()) out.flags |= BP_MEMORY_INFO_MAKER_LIVES;
  // Any bytes of any user: only what is the text of a key.
  std::string problem;
  const std::string_view text(header.key, ::strnlen(header.key, sizeof header.key));
  if (const auto key = parse_key(text, problem)) out.key = text_of(*key);
  out.size = header.size;
  out.maker = header.maker;
  return out;
}

void list_posix(std::vector<FoundMemory>& out) {
  const auto locked = locked_files();
  for (const auto& entry : std::filesystem::directory_iterator(kSharedMemoryFolder)) {
    const std::string path = entry.path();
    const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    struct stat about {};
    MemoryHeader header{};
    if (!file || ::fstat(file.get(), &about) != 0 || !S_ISREG(about.st_mode) ||
        ::pread(file.get(), static_cast<void*>(&header), sizeof header, 0) !=
            static_cast<ssize_t>(sizeof header) ||
        header.magic != MemoryHeader::kMagic) {
      continue;
    }
    FoundMemory found = found_in(header);
    if (locked.count({about.st_dev, about.st_ino}) != 0) found.flags |= BP_MEMORY_INFO_OPEN;
    found.owner = about.st_uid;
    found.permissions = about.st_mode & 0777;
    found.key = text_of({BP_KEY_POSIX, "/" + entry.path().filename().string()});
    found.path = path;
    out.push_back(std::move(found));
  }
}

void list_system_v(std::vector<FoundMemory>& out) {
  const AttachLock lock(LOCK_EX);
  std::ifstream segments("/proc/sysvipc/shm");
  std::string line;
  std::getline(segments, line);  // of titles
  while (std::getline(segments, line)) {
    std::istringstream fields(line);
    std::int64_t number = 0;
    int id = -1;
    shmid_ds about{};
    if (!(fields >> number >> id) || ::shmctl(id, IPC_STAT, &about) != 0 ||
        about.shm_segsz <= MemoryHeader::kSize) {
      continue;
    }
    const void* const address = ::shmat(id, nullptr, SHM_RDONLY);
    if (address == reinterpret_cast<void*>(-1)) continue;
    MemoryHeader header{};
    std::memcpy(static_cast<void*>(&header), address, sizeof header);
    ::shmdt(address);
    // What a killed maker left is there to be cleaned, if it says whose key it has.
    const bool is_left = SystemVMemory::is_half_made(about) && about.shm_nattch == 0;
    if (is_left) header.flags = 0;
    FoundMemory found = found_in(header);
    if (header.magic != MemoryHeader::kMagic && !(is_left && !found.key.empty())) continue;
    if (about.shm_nattch != 0) found.flags |= BP_MEMORY_INFO_OPEN;
    found.owner = about.shm_perm.cuid;
    found.permissions = about.shm_perm.mode & 0777;
    found.id = id;
    out.push_back(std::move(found));
  }
}

}  // namespace

bp_status list_memory(std::vector<FoundMemory>& out, bp_error* error) {
  try {
    list_posix(out);
  } catch (const std::filesystem::filesystem_error& problem) {
    return set_errno_error(error, problem.code().value(), "cannot look into /dev/shm");
  }
  list_system_v(out);
  return BP_OK;
}

bp_status clean_memory(std::uint64_t& removed, bp_error* error) {
  std::vector<FoundMemory> found;
  const bp_status status = list_memory(found, error);
  for (const FoundMemory& memory : found) {
    if ((memory.flags & (BP_MEMORY_INFO_OPEN | BP_MEMORY_INFO_KEPT)) != 0) continue;
    const bool is_removed = memory.id >= 0 ? SystemVMemory::remove_if_nobodys(memory.id, memory.key)
                                           : FileMemory::remove_if_nobodys(memory.path.c_str());
    removed += is_removed ? 1 : 0;
  }
  return status;
}

}  // namespace backplane::kernel
