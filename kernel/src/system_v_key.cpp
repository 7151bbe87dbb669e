// SPDX-License-Identifier: Apache-2.0
#include "system_v_key.hpp"

#include "error.hpp"
#include "file_lock.hpp"
#include "kill_point.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>

namespace backplane::kernel {

bp_status SystemVKey::open(const NativeKey& key, bool is_made, std::uint32_t permissions,
                           bp_error* error) {
  constexpr int kFlags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;  // it may be a pipe
  const char* const path = key.name.c_str();
  file_ = Descriptor(::open(path, kFlags));
  if (!file_ && errno == ENOENT && is_made) {
    const std::string folder = key.name.substr(0, key.name.rfind('/'));
    if (folder == runtime_folder()) ::mkdir(folder.c_str(), 0700);
    file_ = Descriptor(::open(path, kFlags | O_CREAT | O_EXCL, permissions));
    if (file_) ::fchmod(file_.get(), permissions);
    if (!file_ && errno == EEXIST) file_ = Descriptor(::open(path, kFlags));
  }
  if (!file_) {
    return set_errno_error(error, errno, "cannot open '" + key.name + "', the file of the key");
  }
  kill_point("file");
  struct stat about {};
  if (::fstat(file_.get(), &about) != 0 || !(S_ISREG(about.st_mode) || S_ISDIR(about.st_mode))) {
    return set_error(error, BP_INVALID_ARGUMENT, "the key's '" + key.name + "' is no file");
  }
  // ftok(3), of the very file that is locked.
  number_ = static_cast<key_t>((key.type & 0xffU) << 24U | (about.st_dev & 0xffU) << 16U |
                               (about.st_ino & 0xffffU));
  if (const int failure = lock_file(file_.get(), LOCK_EX); failure != 0) {
    return set_errno_error(error, failure, "cannot lock '" + key.name + "', the file of the key");
  }
  return BP_OK;
}

// Said, because a child made by fork(2) meanwhile has the descriptor, too.
void SystemVKey::close() noexcept {
  if (file_) ::flock(file_.get(), LOCK_UN);
  file_ = Descriptor();
}

}  // namespace backplane::kernel
