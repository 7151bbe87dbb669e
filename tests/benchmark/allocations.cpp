// SPDX-License-Identifier: Apache-2.0
// Counts allocations: the executable's own malloc family comes before the C library's, for every
// library in the process.
#include "bench.hpp"

#include <cerrno>
#include <cstddef>

extern "C" {
// The C library's allocator under the names that it keeps for this purpose.
void* __libc_malloc(std::size_t size);                       // NOLINT(bugprone-reserved-identifier)
void* __libc_calloc(std::size_t count, std::size_t size);    // NOLINT(bugprone-reserved-identifier)
void* __libc_realloc(void* memory, std::size_t size);        // NOLINT(bugprone-reserved-identifier)
void* __libc_memalign(std::size_t align, std::size_t size);  // NOLINT(bugprone-reserved-identifier)
}

namespace {
[[gnu::tls_model("initial-exec")]] thread_local std::uint64_t count = 0;
}

extern "C" {
void* malloc(std::size_t size) noexcept {
  ++count;
  return __libc_malloc(size);
}
void* calloc(std::size_t number, std::size_t size) noexcept {
  ++count;
  return __libc_calloc(number, size);
}
void* realloc(void* memory, std::size_t size) noexcept {
  ++count;
  return __libc_realloc(memory, size);
}
void* aligned_alloc(std::size_t align, std::size_t size) noexcept {
  ++count;
  return __libc_memalign(align, size);
}
int posix_memalign(void** out, std::size_t align, std::size_t size) noexcept {
  ++count;
  *out = __libc_memalign(align, size);
  return *out != nullptr ? 0 : ENOMEM;
}
}

std::uint64_t backplane::benchmark::allocations() noexcept { return count; }
