// SPDX-License-Identifier: Apache-2.0
#include "trusted_file.hpp"

#include "descriptor.hpp"

#include <openssl/evp.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <grp.h>
#include <memory>
#include <pwd.h>
#include <sys/xattr.h>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

namespace backplane::kernel {
namespace {

namespace fs = std::filesystem;

constexpr int kMostLinks = 40;  // as in the kernel's own path walk

std::string errno_text() { return std::error_code(errno, std::generic_category()).message(); }

std::string described(const fs::path& path, const struct stat& status) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "' (mode %04o, owner %u:%u)", status.st_mode & 07777U,
                status.st_uid, status.st_gid);
  return "'" + path.string() + text.data();
}

/// Whether nobody but the user is in the group, by the system's databases.
bool is_private(gid_t group, uid_t user) {
  const passwd* const own = ::getpwuid(user);
  const std::string name = own != nullptr ? own->pw_name : "";
  const struct group* const members = ::getgrgid(group);
  if (members == nullptr) return false;
  for (char** member = members->gr_mem; *member != nullptr; ++member) {
    if (name != *member) return false;
  }
  bool found_other = false;
  ::setpwent();
  while (const passwd* const other = ::getpwent()) {
    found_other = found_other || (other->pw_gid == group && other->pw_uid != user);
  }
  ::endpwent();
  return !found_other;
}

/// Whether more than mode and owner say who may write: the group's bits are then the mask of that.
bool has_access_list(int descriptor) {
  const std::string file = "/proc/self/fd/" + std::to_string(descriptor);  // O_PATH: by its name
  return ::getxattr(file.c_str(), "system.posix_acl_access", nullptr, 0) >= 0 ||
         (errno != ENODATA && errno != ENOTSUP);
}

/// Why a file, folder or link cannot be trusted, and what mends it; empty when it can.
std::string distrust(int descriptor, const fs::path& path, const struct stat& status,
                     Identity identity) {
  if (status.st_uid != 0 && status.st_uid != identity.user) {
    const bool link = S_ISLNK(status.st_mode);
    return described(path, status) + " belongs to another user: chown " + (link ? "-h " : "") +
           std::to_string(identity.user) + " '" + path.string() + "'";
  }
  if (S_ISLNK(status.st_mode)) return {};  // the mode of a link says nothing
  if (S_ISDIR(status.st_mode) && (status.st_mode & S_ISVTX) != 0) return {};
  if ((status.st_mode & S_IWOTH) != 0) {
    return described(path, status) + " can be written by everybody: chmod o-w '" + path.string() +
           "'";
  }
  if ((status.st_mode & S_IWGRP) == 0) return {};
  if (has_access_list(descriptor)) {
    return described(path, status) +
           " may be written by others, by its access control list: " + "setfacl -b '" +
           path.string() + "'";
  }
  if (status.st_gid != 0 &&
      (status.st_gid != identity.group || !is_private(identity.group, identity.user))) {
    return described(path, status) + " can be written by its group: chmod g-w '" + path.string() +
           "'";
  }
  return {};
}

/// From `/` to the file, one component at a time. Returns the file opened for reading, or why not.
class Walk {
 public:
  explicit Walk(Identity identity) : identity_(identity) {}

  Descriptor to(const fs::path& file, fs::path& resolved, std::string& why) {
    std::error_code error;
    const fs::path absolute = fs::absolute(file, error);
    if (error) {
      why = "cannot resolve the path: " + error.message();
      return Descriptor{};
    }
    push(absolute);
    if (!enter_root(why)) return Descriptor{};
    while (!ahead_.empty()) {
      const fs::path name = std::move(ahead_.back());
      ahead_.pop_back();
      Descriptor found(::openat(folder_.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
      struct stat status {};
      const fs::path where = name == ".." ? where_.parent_path() : where_ / name;
      if (!found || ::fstat(found.get(), &status) != 0) {
        why = "cannot open '" + where.string() + "': " + errno_text();
        return Descriptor{};
      }
      if (S_ISLNK(status.st_mode)) {
        if (!follow(found, where, status, why)) return Descriptor{};
      } else if (S_ISDIR(status.st_mode)) {
        if (!(why = distrust(found.get(), where, status, identity_)).empty()) return Descriptor{};
        folder_ = std::move(found);
        where_ = where;
      } else {
        return open_file(name, where, resolved, why);
      }
    }
    why = "'" + where_.string() + "' is a folder, expected a file";
    return Descriptor{};
  }

 private:
  void push(const fs::path& path) {
    std::vector<fs::path> parts;
    for (const fs::path& part : path) {
      if (!part.empty() && part != "." && part != "/") parts.push_back(part);
    }
    ahead_.insert(ahead_.end(), parts.rbegin(), parts.rend());
  }

  bool enter_root(std::string& why) {
    folder_ = Descriptor(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    where_ = "/";
    struct stat status {};
    if (!folder_ || ::fstat(folder_.get(), &status) != 0) {
      why = "cannot open '/': " + errno_text();
      return false;
    }
    return (why = distrust(folder_.get(), where_, status, identity_)).empty();
  }

  bool follow(const Descriptor& link, const fs::path& where, const struct stat& status,
              std::string& why) {
    if (!(why = distrust(link.get(), where, status, identity_)).empty()) return false;
    if (++links_ > kMostLinks) {
      why = "'" + where.string() + "': too many symbolic links";
      return false;
    }
    std::array<char, 4096> target{};
    const ssize_t length = ::readlinkat(link.get(), "", target.data(), target.size());
    if (length <= 0 || static_cast<std::size_t>(length) == target.size()) {
      why = "cannot read the symbolic link '" + where.string() + "'";
      return false;
    }
    const fs::path path(std::string(target.data(), static_cast<std::size_t>(length)));
    push(path);
    return !path.is_absolute() || enter_root(why);
  }

  Descriptor open_file(const fs::path& name, const fs::path& where, fs::path& resolved,
                       std::string& why) {
    // O_NONBLOCK: opening a FIFO must not wait for its writer; regular files ignore it.
    Descriptor file(
        ::openat(folder_.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    struct stat status {};
    if (!file || ::fstat(file.get(), &status) != 0) {
      why = "cannot open '" + where.string() + "': " + errno_text();
      return Descriptor{};
    }
    if (!S_ISREG(status.st_mode) || !ahead_.empty()) {
      why = "'" + where.string() + "' is not a " + (ahead_.empty() ? "regular file" : "folder");
      return Descriptor{};
    }
    if (!(why = distrust(file.get(), where, status, identity_)).empty()) return Descriptor{};
    resolved = where;
    return file;
  }

  Identity identity_;
  Descriptor folder_;
  fs::path where_;
  std::vector<fs::path> ahead_;  // last first
  int links_ = 0;
};

}  // namespace

Identity Identity::effective() { return {::geteuid(), ::getegid()}; }

std::optional<TrustedFile> TrustedFile::open(const fs::path& file, Diagnostics& diagnostics,
                                             Identity identity) {
  fs::path resolved;
  std::string why;
  Descriptor descriptor = Walk(identity).to(file, resolved, why);
  struct stat status {};
  if (descriptor && ::fstat(descriptor.get(), &status) != 0) {
    why = "cannot read its status: " + errno_text();
  }
  if (!why.empty()) {
    diagnostics.error({file.string(), 0, 0}, why);
    return std::nullopt;
  }
  return TrustedFile(std::move(resolved), descriptor.release(), status);
}

TrustedFile::TrustedFile(fs::path path, int descriptor, const struct stat& status)
    : path_(std::move(path)),
      descriptor_(descriptor),
      everybody_can_read_((status.st_mode & S_IROTH) != 0),
      device_(status.st_dev),
      inode_(status.st_ino),
      changed_(status.st_ctim) {}

TrustedFile::TrustedFile(TrustedFile&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      everybody_can_read_(other.everybody_can_read_),
      device_(other.device_),
      inode_(other.inode_),
      changed_(other.changed_) {}

TrustedFile& TrustedFile::operator=(TrustedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  everybody_can_read_ = other.everybody_can_read_;
  std::swap(device_, other.device_);
  std::swap(inode_, other.inode_);
  std::swap(changed_, other.changed_);
  return *this;
}

TrustedFile::~TrustedFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

std::optional<std::string> TrustedFile::read(std::size_t limit, Diagnostics& diagnostics) const {
  std::string content;
  std::array<char, 65536> block{};
  for (;;) {
    const ssize_t n =
        ::pread(descriptor_, block.data(), block.size(), static_cast<off_t>(content.size()));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      diagnostics.error({path_.string(), 0, 0}, "cannot read: " + errno_text());
      return std::nullopt;
    }
    if (n == 0) return content;
    content.append(block.data(), static_cast<std::size_t>(n));
    if (content.size() > limit) {
      diagnostics.error({path_.string(), 0, 0}, "is larger than " + std::to_string(limit) +
                                                    " bytes, the most that is read");
      return std::nullopt;
    }
  }
}

std::optional<std::string> TrustedFile::sha256(Diagnostics& diagnostics) const {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        &EVP_MD_CTX_free);
  bool good = context && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1;
  std::array<char, 65536> block{};
  off_t offset = 0;
  while (good) {
    const ssize_t n = ::pread(descriptor_, block.data(), block.size(), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) break;
    good = n > 0 && EVP_DigestUpdate(context.get(), block.data(), static_cast<std::size_t>(n)) == 1;
    offset += n;
  }
  std::array<unsigned char, 32> digest{};
  if (!good || EVP_DigestFinal_ex(context.get(), digest.data(), nullptr) != 1) {
    diagnostics.error({path_.string(), 0, 0}, "cannot compute its SHA-256");
    return std::nullopt;
  }
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const unsigned char byte : digest) {
    text += kDigits[byte >> 4U];
    text += kDigits[byte & 15U];
  }
  return text;
}

bool TrustedFile::is_current() const {
  struct stat status {};
  return ::lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ &&
         status.st_ino == inode_ && status.st_ctim.tv_sec == changed_.tv_sec &&
         status.st_ctim.tv_nsec == changed_.tv_nsec;
}

}  // namespace backplane::kernel
