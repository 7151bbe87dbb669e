// SPDX-License-Identifier: Apache-2.0
#include "memory_header.hpp"

#include "descriptor.hpp"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

namespace backplane::kernel {
namespace {

// Up to as many bytes as fit, with a NUL behind them.
template <std::size_t Size>
void read_line(const char* path, std::array<char, Size>& out) noexcept {
  out.fill('\0');
  const Descriptor file(::open(path, O_RDONLY | O_CLOEXEC));
  if (file && ::read(file.get(), out.data(), out.size() - 1) < 0) out.fill('\0');
  if (char* const end = std::strchr(out.data(), '\n')) *end = '\0';
}

std::array<char, 40> boot_id() noexcept {
  std::array<char, 40> out{};
  read_line("/proc/sys/kernel/random/boot_id", out);
  return out;
}

// 0: there is no such process.
std::uint64_t start_of(std::uint64_t process) noexcept {
  std::array<char, 32> path{};
  std::snprintf(path.data(), path.size(), "/proc/%lu/stat", static_cast<unsigned long>(process));
  std::array<char, 1024> text{};
  read_line(path.data(), text);
  // Behind the name, which may have spaces and parentheses of its own, the state is field 3.
  const char* at = std::strrchr(text.data(), ')');
  for (int field = 2; at != nullptr && field < 22; ++field) at = std::strchr(at + 1, ' ');
  return at == nullptr ? 0 : std::strtoull(at, nullptr, 10);
}

}  // namespace

void MemoryHeader::make(std::uint64_t data_size, std::uint32_t kept,
                        std::string_view key_text) noexcept {
  flags = kept;
  size = data_size;
  maker = static_cast<std::uint64_t>(::getpid());
  maker_start = start_of(maker);
  std::memcpy(boot, boot_id().data(), sizeof boot);
  bp_mutex_init(&mutex);
  if (key_text.size() < sizeof key) key_text.copy(key, sizeof key);
}

bool MemoryHeader::is_valid(std::uint64_t most) const noexcept {
  return magic == kMagic && size > 0 && size <= most &&
         reinterpret_cast<const RobustMutex*>(&mutex)->is_one<PTHREAD_MUTEX_ERRORCHECK>();
}

bool MemoryHeader::is_maker_alive() const noexcept {
  return maker_start != 0 && std::memcmp(boot, boot_id().data(), sizeof boot) == 0 &&
         start_of(maker) == maker_start;
}

}  // namespace backplane::kernel
