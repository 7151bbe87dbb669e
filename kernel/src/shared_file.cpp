// SPDX-License-Identifier: Apache-2.0
#include "shared_file.hpp"

#include "error.hpp"
#include "posix_path.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace backplane::kernel {

int make_unnamed_file(std::uint32_t permissions, Descriptor& out) noexcept {
  Descriptor made(::open(kSharedMemoryFolder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!made || ::fchmod(made.get(), permissions & 0777) != 0) return errno;
  out = std::move(made);
  return 0;
}

int name_file(const Descriptor& file, const std::string& path) {
  const std::string itself = "/proc/self/fd/" + std::to_string(file.get());
  const int result = ::linkat(AT_FDCWD, itself.c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW);
  return result == 0 ? 0 : errno;
}

bp_status keep_sealed(int descriptor, const std::string& what, Descriptor& out, bp_error* error) {
  Descriptor own(::fcntl(descriptor, F_DUPFD_CLOEXEC, 0));
  if (!own && errno == EBADF) {
    return set_error(error, BP_INVALID_ARGUMENT, "there is no descriptor", "errno", EBADF);
  }
  if (!own) return set_errno_error(error, errno, "cannot keep " + what);
  const int seals = ::fcntl(own.get(), F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) {
    return set_error(error, BP_FAILED_PRECONDITION,
                     what + " is not sealed against being cut (F_SEAL_SHRINK)");
  }
  out = std::move(own);
  return BP_OK;
}

}  // namespace backplane::kernel
