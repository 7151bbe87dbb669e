// SPDX-License-Identifier: Apache-2.0
#include "system_v_key.hpp"

#include "error.hpp"
#include "kill_point.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/stat.h>

namespace backplane::kernel {

bp_status SystemVKey::open(const NativeKey& key, bool is_made, std::uint32_t permissions,
                           bp_error* error) {
  constexpr int kFlags = O_RDONLY | O_CLOEXEC;
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
  number_ = ::ftok(path, static_cast<int>(key.type));
  if (number_ == -1) {
    return set_errno_error(error, errno, "cannot look at '" + key.name + "', the file of the key");
  }
  while (::flock(file_.get(), LOCK_EX) != 0 && errno == EINTR) {
  }
  return BP_OK;
}

}  // namespace backplane::kernel
