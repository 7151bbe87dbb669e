// SPDX-License-Identifier: Apache-2.0
#include "elf_header.hpp"

#include <cstddef>
#include <cstring>
#include <elf.h>
#include <link.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

// The header of the library or program that this code is in, made by the linker: what it says of
// the machine is what a plugin must say, and no table of machines has to be kept.
extern "C" {
// NOLINTNEXTLINE(readability-identifier-naming): the linker's name
extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));
}

namespace backplane::kernel {
namespace {

// Of a header of either class: what is read here has the same place in both.
std::string machine_of(const ElfW(Ehdr) & header) {
  const std::string bits = header.e_ident[EI_CLASS] == ELFCLASS32 ? "32-bit " : "64-bit ";
  switch (header.e_machine) {
    case EM_X86_64:
      return bits + "x86-64";
    case EM_386:
      return bits + "x86";
    case EM_AARCH64:
      return bits + "arm64";
    case EM_ARM:
      return bits + "arm";
    case EM_RISCV:
      return bits + "riscv";
    default:
      return bits + "machine " + std::to_string(header.e_machine) + " of elf.h";
  }
}

template <typename T>
bool read(int descriptor, std::size_t offset, T& into) {
  return ::pread(descriptor, &into, sizeof into, static_cast<off_t>(offset)) ==
         static_cast<ssize_t>(sizeof into);
}

}  // namespace

std::string elf_problem(int descriptor) {
  ElfW(Ehdr) header{};
  if (!read(descriptor, 0, header) || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
    return "is no shared library (no ELF file): install the library that belongs to the manifest";
  const ElfW(Ehdr)& ours = __ehdr_start;
  const std::string advice = ": build it for this machine, " + machine_of(ours);
  if (header.e_ident[EI_DATA] != ours.e_ident[EI_DATA])
    return "is built for the other byte order" + advice;
  if (header.e_ident[EI_CLASS] != ours.e_ident[EI_CLASS] || header.e_machine != ours.e_machine)
    return "is built for " + machine_of(header) + advice;
  struct stat status {};
  bool whole = ::fstat(descriptor, &status) == 0 && header.e_phentsize == sizeof(ElfW(Phdr));
  for (std::size_t i = 0; whole && i < header.e_phnum; ++i) {
    ElfW(Phdr) segment{};
    whole = read(descriptor, header.e_phoff + i * sizeof segment, segment) &&
            (segment.p_type != PT_LOAD ||
             (segment.p_offset <= static_cast<std::size_t>(status.st_size) &&
              segment.p_filesz <= static_cast<std::size_t>(status.st_size) - segment.p_offset));
  }
  return whole ? "" : "is cut off, its end is missing: install it again";
}

}  // namespace backplane::kernel
