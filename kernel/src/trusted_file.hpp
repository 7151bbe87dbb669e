// SPDX-License-Identifier: Apache-2.0
// A file that only root and we ourselves could have written, opened once, so that what was checked
// is what is read.
#pragma once

#include "diagnostic.hpp"

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <sys/stat.h>
#include <sys/types.h>

namespace backplane::kernel {

/// For whom a file must be safe.
struct Identity {
  uid_t user;
  gid_t group;

  static Identity effective();
};

/// A regular file, held open for reading. The path is walked folder by folder from `/`, each opened
/// relative to the one before, symbolic links by hand, so that no name is resolved twice. Refused,
/// with the path at fault, its mode and owner, and the command that mends it:
///  - a file, folder or link that belongs neither to root nor to the user;
///  - a file or folder that others can write; that its group can write, unless the group is root's
///  or the user's own with nobody else in it; and group-writable with an access control list, whose
///  mask the bits of the group then are.
///    A sticky folder such as /tmp passes, because nobody can replace there what belongs to
///    another.
///
/// A library is mapped by path(), not by /proc/self/fd/N: the loader takes a name that it knows for
/// a library that is loaded, which goes wrong when a descriptor number comes back, and $ORIGIN in a
/// library's RUNPATH would be the folder of descriptors. After the walk only root and the user can
/// change what path() names; is_current() tells a replacement by an upgrade. One thread at a time.
class TrustedFile {
 public:
  /// Reports on `file` as a whole. Blocks on the disk.
  static std::optional<TrustedFile> open(const std::filesystem::path& file,
                                         Diagnostics& diagnostics,
                                         Identity identity = Identity::effective());

  TrustedFile(TrustedFile&& other) noexcept;
  TrustedFile& operator=(TrustedFile&& other) noexcept;
  ~TrustedFile();

  /// Absolute, without links.
  const std::filesystem::path& path() const { return path_; }
  /// Owned by this object.
  int descriptor() const { return descriptor_; }
  bool everybody_can_read() const { return everybody_can_read_; }

  /// The content, from the descriptor. More than `limit` bytes are an error.
  std::optional<std::string> read(std::size_t limit, Diagnostics& diagnostics) const;
  /// SHA-256 of the content, from the descriptor, in lower case hexadecimal digits.
  std::optional<std::string> sha256(Diagnostics& diagnostics) const;
  /// path() still names the file that was checked, and it has not been written since.
  bool is_current() const;

 private:
  TrustedFile(std::filesystem::path path, int descriptor, const struct stat& status);

  std::filesystem::path path_;
  int descriptor_;
  bool everybody_can_read_;
  dev_t device_;
  ino_t inode_;
  timespec changed_;
};

}  // namespace backplane::kernel
