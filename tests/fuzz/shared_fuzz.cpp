// SPDX-License-Identifier: Apache-2.0
// Files in /dev/shm that somebody else has written: whatever is in them, they are used or refused.
// The input says what of a good one is changed: the first byte which kind of object, two more the
// size, then pieces of an offset (two bytes), a length (one) and so many bytes.
#include "backplane/mutex.h"
#include "backplane/semaphore.h"
#include "backplane/shared_memory.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <unistd.h>
#include <vector>

namespace {

void require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

bp_key key_of(const std::string& name) {
  bp_key out{};
  out.type = BP_KEY_POSIX;
  out.length = static_cast<uint32_t>(name.size());
  name.copy(out.name, name.size());
  return out;
}

const std::string& name() {
  static const std::string text = "/bp-test-fuzz-" + std::to_string(getpid());
  return text;
}

std::vector<char> content_of(const std::string& path) {
  std::vector<char> out(65536);
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const ssize_t n = read(file, out.data(), out.size());
  close(file);
  require(n > 0);
  out.resize(static_cast<std::size_t>(n));
  return out;
}

std::vector<char> good_memory() {
  const bp_key key = key_of(name());
  const bp_memory_options options{sizeof options, BP_MEMORY_NEW, 100, 0, 0};
  bp_memory* memory = nullptr;
  require(bp_memory_open(&key, &options, &memory, nullptr) == BP_OK);
  std::vector<char> out = content_of("/dev/shm" + name());
  bp_memory_close(memory);
  return out;
}

std::vector<char> good_semaphore() {
  const bp_key key = key_of(name());
  const bp_semaphore_options options{sizeof options, BP_SEMAPHORE_NEW, 2, 0, 0, 0};
  bp_semaphore* semaphore = nullptr;
  require(bp_semaphore_open(&key, &options, &semaphore, nullptr) == BP_OK);
  bp_semaphore_close(semaphore);
  std::vector<char> out = content_of("/dev/shm/sem." + name().substr(1));
  require(bp_semaphore_remove(&key, nullptr) == BP_OK);
  return out;
}

void use_memory() {
  const bp_key key = key_of(name());
  bp_memory* memory = nullptr;
  if (bp_memory_open(&key, nullptr, &memory, nullptr) != BP_OK) {
    return;
  }
  const auto touch = [&] {
    auto* const bytes = static_cast<volatile char*>(bp_memory_data(memory));
    bytes[0] = 1;
    bytes[bp_memory_size(memory) - 1] = 1;
  };
  touch();
  uint32_t owner_died = 0;
  if (bp_mutex_lock(bp_memory_mutex(memory), 1, &owner_died, nullptr) == BP_OK) {
    bp_mutex_repaired(bp_memory_mutex(memory));
    bp_mutex_unlock(bp_memory_mutex(memory), nullptr);
  }
  if (bp_memory_grow(memory, bp_memory_size(memory) + 5000, nullptr) == BP_OK) {
    touch();
  }
  bp_memory_close(memory);
}

void use_semaphore() {
  const bp_key key = key_of(name());
  bp_semaphore* semaphore = nullptr;
  if (bp_semaphore_open(&key, nullptr, &semaphore, nullptr) != BP_OK) {
    return;
  }
  uint32_t count = 0;
  bp_semaphore_count(semaphore, &count, nullptr);
  if (bp_semaphore_acquire(semaphore, 1, nullptr) == BP_OK) {
    require(count > 0 || bp_semaphore_count(semaphore, &count, nullptr) == BP_OK);
    bp_semaphore_release(semaphore, 1, nullptr);
  }
  bp_semaphore_close(semaphore);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  static const std::vector<char> memory = good_memory();
  static const std::vector<char> semaphore = good_semaphore();
  if (size < 3) {
    return 0;
  }
  const bool is_memory = data[0] % 2 == 0;
  std::vector<char> content = is_memory ? memory : semaphore;
  const std::size_t length = data[1] | static_cast<std::size_t>(data[2]) << 8U;
  if (length != 0) {
    content.resize(length);
  }
  for (std::size_t at = 3; at + 3 <= size;) {
    const std::size_t offset = data[at] | static_cast<std::size_t>(data[at + 1]) << 8U;
    const std::size_t n = std::min<std::size_t>(data[at + 2], size - at - 3);
    at += 3;
    if (offset < content.size()) {
      std::memcpy(content.data() + offset, data + at, std::min(n, content.size() - offset));
    }
    at += n;
  }
  const std::string path = "/dev/shm/" + std::string(is_memory ? "" : "sem.") + name().substr(1);
  const int file = open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
  require(file >= 0 &&
          write(file, content.data(), content.size()) == static_cast<ssize_t>(content.size()));
  close(file);
  if (is_memory) {
    use_memory();
  } else {
    use_semaphore();
  }
  unlink(path.c_str());
  return 0;
}
