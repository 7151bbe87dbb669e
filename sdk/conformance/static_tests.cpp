// SPDX-License-Identifier: Apache-2.0
// The file, before any of its code runs.
#include "subject.hpp"

#include <array>
#include <cstring>
#include <elf.h>
#include <fstream>
#include <iterator>

namespace backplane::conformance {
namespace {

void its_manifest_is_right(Subject& subject) {
  KernelOptions options;
  options.plugin_folders = subject.files().plugin_folders;
  options.manifest_folders = subject.files().manifest_folders;
  const auto kernel = Kernel::create(options);
  require(kernel.is_ok(), kernel.status().message());
}

/// A 64-bit ELF file; what lies outside of it is not there.
class ElfFile {
 public:
  explicit ElfFile(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    bytes_ = {std::istreambuf_iterator<char>(in), {}};
    header_ = at<Elf64_Ehdr>(0);
    require(bytes_.starts_with(ELFMAG) && header_.e_ident[EI_CLASS] == ELFCLASS64,
            "it is no 64-bit ELF file");
  }

  std::vector<Elf64_Phdr> segments() const {
    return table<Elf64_Phdr>(header_.e_phoff, header_.e_phnum, header_.e_phentsize);
  }
  /// What others can link to: a stripped file has these, too.
  std::vector<std::string> exported_symbols() const {
    std::vector<std::string> out;
    const auto sections = table<Elf64_Shdr>(header_.e_shoff, header_.e_shnum, header_.e_shentsize);
    for (const Elf64_Shdr& section : sections) {
      if (section.sh_type != SHT_DYNSYM || section.sh_link >= sections.size()) {
        continue;
      }
      const Elf64_Off names = sections[section.sh_link].sh_offset;
      for (const auto& symbol : table<Elf64_Sym>(
               section.sh_offset, section.sh_size / sizeof(Elf64_Sym), sizeof(Elf64_Sym))) {
        // SHN_ABS: the name of a version.
        if (symbol.st_shndx != SHN_UNDEF && symbol.st_shndx != SHN_ABS &&
            ELF64_ST_BIND(symbol.st_info) != STB_LOCAL) {
          out.push_back(text(names + symbol.st_name));
        }
      }
    }
    return out;
  }

 private:
  template <class T>
  T at(Elf64_Off offset) const {
    T out{};
    if (offset <= bytes_.size() && sizeof out <= bytes_.size() - offset) {
      std::memcpy(&out, bytes_.data() + offset, sizeof out);
    }
    return out;
  }
  template <class T>
  std::vector<T> table(Elf64_Off offset, size_t count, size_t step) const {
    std::vector<T> out;
    for (size_t i = 0; i < count && offset + i * step < bytes_.size(); ++i) {
      out.push_back(at<T>(offset + i * step));
    }
    return out;
  }
  std::string text(Elf64_Off offset) const {
    return offset < bytes_.size() ? std::string(bytes_.c_str() + offset) : std::string();
  }

  std::string bytes_;
  Elf64_Ehdr header_{};
};

void exports_the_entry_alone(Subject& subject) {
  std::string others;
  bool entry = false;
  for (const std::string& symbol : ElfFile(subject.files().library).exported_symbols()) {
    if (symbol == "bp_plugin_entry_1") {
      entry = true;
    } else {
      others += concat(others.empty() ? "" : ", ", symbol);
    }
  }
  require(entry, "it does not export bp_plugin_entry_1");
  if (!others.empty()) {
    throw Warning(concat("it also exports ", others.substr(0, 200),
                         ", which may meet another plugin's: link it with a version script"));
  }
}

void has_no_executable_stack(Subject& subject) {
  bool said = false;
  for (const Elf64_Phdr& segment : ElfFile(subject.files().library).segments()) {
    if (segment.p_type == PT_GNU_STACK) {
      said = true;
      require((segment.p_flags & PF_X) == 0,
              "it asks for an executable stack: link it with -z noexecstack");
    }
  }
  require(said, "it does not say that its stack is not executable: link it with -z noexecstack");
}

constexpr std::array kTests = {
    Test{"static.its_manifest_is_right", "the plugin manifest has no mistake",
         &its_manifest_is_right},
    Test{"static.exports_the_entry_alone", "no other symbol is exported", &exports_the_entry_alone},
    Test{"static.has_no_executable_stack", "its stack is not executable", &has_no_executable_stack},
};

}  // namespace

std::span<const Test> static_tests() noexcept { return kTests; }

std::span<const Test> all_tests() {
  static const std::vector<Test> all = [] {
    std::vector<Test> out;
    for (const auto level :
         {static_tests(), load_tests(), lifecycle_tests(), verb_tests(), completion_tests(),
          stream_tests(), memory_tests(), thread_tests(), host_tests()}) {
      out.insert(out.end(), level.begin(), level.end());
    }
    return out;
  }();
  return all;
}

}  // namespace backplane::conformance
