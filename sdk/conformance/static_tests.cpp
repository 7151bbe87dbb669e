// SPDX-License-Identifier: Apache-2.0
// The file, before any of its code runs.
#include "subject.hpp"

#include <boost/dll/library_info.hpp>

#include <array>
#include <elf.h>
#include <fstream>

namespace backplane::conformance {
namespace {

void its_manifest_is_right(Subject& subject) {
  KernelOptions options;
  options.plugin_folders = subject.files().plugin_folders;
  options.manifest_folders = subject.files().manifest_folders;
  const auto kernel = Kernel::create(options);
  require(kernel.is_ok(), kernel.status().message());
}

void exports_the_entry_alone(Subject& subject) {
  boost::dll::library_info info(subject.files().library);
  std::string others;
  bool entry = false;
  for (const std::string& symbol : info.symbols()) {
    if (symbol == "bp_plugin_entry_1") {
      entry = true;
    } else if (!symbol.empty() && !symbol.starts_with("__asan") &&
               !symbol.starts_with("__odr_asan")) {
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
  std::ifstream file(subject.files().library, std::ios::binary);
  Elf64_Ehdr header{};
  file.read(reinterpret_cast<char*>(&header), sizeof header);
  require(file.good() && header.e_ident[EI_CLASS] == ELFCLASS64, "it is no 64-bit ELF file");
  bool said = false;
  for (int i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment{};
    file.seekg(static_cast<std::streamoff>(header.e_phoff) + i * header.e_phentsize);
    file.read(reinterpret_cast<char*>(&segment), sizeof segment);
    if (file.good() && segment.p_type == PT_GNU_STACK) {
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
    for (const auto level : {static_tests(), load_tests(), lifecycle_tests(), verb_tests(),
                             completion_tests(), stream_tests(), memory_tests()}) {
      out.insert(out.end(), level.begin(), level.end());
    }
    return out;
  }();
  return all;
}

}  // namespace backplane::conformance
