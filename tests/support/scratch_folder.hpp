// SPDX-License-Identifier: Apache-2.0
// A folder of one test, with mode 0700, removed with all that is in it.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/stat.h>

namespace backplane::test {

class ScratchFolder {
 public:
  ScratchFolder() : ScratchFolder(std::filesystem::temp_directory_path()) {}
  /// For keys of System V, which ftok(3) makes of 16 bits of a file's number: in memory, as a
  /// runtime folder is, numbers are given in turn; on a disk those of parallel tests are alike.
  static ScratchFolder of_keys() { return ScratchFolder("/dev/shm"); }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  ~ScratchFolder() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }

  const std::filesystem::path& path() const { return path_; }

  /// Makes the file, and the folders above it, whatever the umask is.
  std::filesystem::path write(const std::filesystem::path& name, std::string_view content,
                              mode_t mode = 0600) const {
    const std::filesystem::path file = path_ / name;
    std::filesystem::create_directories(file.parent_path());
    for (auto folder = file.parent_path(); folder != path_; folder = folder.parent_path()) {
      set_mode(folder, 0700);
    }
    std::ofstream(file, std::ios::binary) << content;
    set_mode(file, mode);
    return file;
  }

  static void set_mode(const std::filesystem::path& path, mode_t mode) {
    if (::chmod(path.c_str(), mode) != 0) throw std::runtime_error("chmod " + path.string());
  }

 private:
  explicit ScratchFolder(const std::filesystem::path& in) {
    std::string name = in / "backplane-test-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp " + name);
    path_ = std::filesystem::canonical(name);
  }

  std::filesystem::path path_;
};

}  // namespace backplane::test
