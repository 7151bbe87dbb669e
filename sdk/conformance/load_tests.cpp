// SPDX-License-Identifier: Apache-2.0
// Loading: the library alone, mapped as the kernel maps it, its entry called by hand.
#include "footprint.hpp"
#include "subject.hpp"
#include <backplane/version.h>

#include <boost/dll/shared_library.hpp>

#include <array>
#include <chrono>
#include <cstring>
#include <dlfcn.h>
#include <fcntl.h>
#include <filesystem>
#include <unistd.h>

namespace backplane::conformance {
namespace {

namespace dll = boost::dll;
namespace fs = std::filesystem;

using Entry = bp_status(const bp_offer*, const bp_plugin**, bp_error*);

/// The library as the kernel maps it.
class Library {
 public:
  explicit Library(const fs::path& file) {
    boost::dll::fs::error_code failed;
    library_.load(
        file,
        static_cast<dll::load_mode::type>(dll::load_mode::rtld_now | RTLD_LOCAL | RTLD_NODELETE),
        failed);
    require(!failed, "it cannot be mapped: ", failed.message());
    require(library_.has("bp_plugin_entry_1"), "it does not export bp_plugin_entry_1");
  }
  bp_status enter(uint16_t minor_max, const bp_plugin*& out, bp_error& error) {
    bp_offer offer{};
    offer.struct_size = BP_SIZE_TO(bp_offer, kernel_version);
    offer.minor_max = minor_max;
    offer.kernel_version = BP_STR(BP_VERSION_STRING);
    return library_.get<Entry>("bp_plugin_entry_1")(&offer, &out, &error);
  }
  const bp_plugin& table() {
    const bp_plugin* out = nullptr;
    bp_error error{};
    const bp_status status = enter(BP_ABI_MINOR, out, error);
    require(status == BP_OK && out != nullptr,
            "its entry refuses: ", Status::from(status, error).to_string());
    return *out;
  }

 private:
  dll::shared_library library_;
};

void is_quick_and_quiet(Subject& subject) {
  const int saved = dup(STDOUT_FILENO);
  std::array<int, 2> pipe{};
  require(pipe2(pipe.data(), O_NONBLOCK | O_CLOEXEC) == 0, "no pipe");
  dup2(pipe[1], STDOUT_FILENO);
  const Footprint before = Footprint::now();
  Library library(subject.files().library);
  const auto start = std::chrono::steady_clock::now();
  library.table();
  const auto taken = std::chrono::steady_clock::now() - start;
  const Footprint after = Footprint::now();
  dup2(saved, STDOUT_FILENO);
  std::array<char, 64> printed{};
  const bool talks = read(pipe[0], printed.data(), printed.size()) > 0;
  require(after.threads == before.threads, "its entry, or being mapped, starts a thread");
  require(after.descriptors == before.descriptors,
          "its entry, or being mapped, opens a descriptor");
  require(!talks, "its entry, or being mapped, prints something");
  require(taken < std::chrono::milliseconds(100), "its entry takes ",
          std::chrono::duration_cast<std::chrono::milliseconds>(taken).count(), " ms: 100 at most");
}

void gives_the_same_table_twice(Subject& subject) {
  Library library(subject.files().library);
  const bp_plugin& first = library.table();
  bp_plugin copy{};
  std::memcpy(&copy, &first, std::min<size_t>(sizeof copy, first.struct_size));
  const bp_plugin& second = library.table();
  require(&first == &second, "its entry gives another table the second time");
  require(std::memcmp(&copy, &second, std::min<size_t>(sizeof copy, second.struct_size)) == 0,
          "its table changes from one call of the entry to the next");
}

void is_what_its_manifest_says(Subject& subject) {
  const bp_plugin& table = Library(subject.files().library).table();
  require(to_view(table.id) == subject.files().id, "its id is '", to_view(table.id),
          "', but its manifest says '", subject.files().id, "'");
  require(to_view(table.version) == subject.files().version, "its version is '",
          to_view(table.version), "', but its manifest says '", subject.files().version, "'");
}

void has_what_is_mandatory(Subject& subject) {
  const bp_plugin& table = Library(subject.files().library).table();
  require(table.struct_size >= BP_SIZE_TO(bp_plugin, open), "struct_size is ", table.struct_size,
          ", expected at least ", BP_SIZE_TO(bp_plugin, open));
  const std::array<std::pair<const char*, bool>, 6> slots = {{
      {"create", table.create != nullptr},
      {"start", table.start != nullptr},
      {"drain", table.drain != nullptr},
      {"stop", table.stop != nullptr},
      {"destroy", table.destroy != nullptr},
      {"open", table.open != nullptr},
  }};
  for (const auto& [name, there] : slots) {
    require(there, name, " is NULL");
  }
}

void refuses_a_kernel_that_is_too_old(Subject& subject) {
  Library library(subject.files().library);
  const uint16_t needed = library.table().minor_needed;
  if (needed == 0) {
    throw Skipped("it needs no more than the first minor of the ABI");
  }
  const bp_plugin* out = nullptr;
  bp_error error{};
  const bp_status status = library.enter(static_cast<uint16_t>(needed - 1), out, error);
  require(status < 0, "it needs minor ", needed, ", and takes a kernel with ", needed - 1);
  require(error.message_len != 0, "it refuses an old kernel without a word");
}

void is_loaded_by_the_kernel(Subject& subject) { subject.system(); }

constexpr std::array kTests = {
    Test{"load.is_quick_and_quiet",
         "the entry takes < 100 ms, starts no thread, opens and prints nothing",
         &is_quick_and_quiet},
    Test{"load.gives_the_same_table_twice", "the table is static and does not change",
         &gives_the_same_table_twice},
    Test{"load.is_what_its_manifest_says", "id and version are equal", &is_what_its_manifest_says},
    Test{"load.has_what_is_mandatory", "no mandatory slot is NULL", &has_what_is_mandatory},
    Test{"load.refuses_a_kernel_that_is_too_old", "with a text, when it needs a newer minor",
         &refuses_a_kernel_that_is_too_old},
    Test{"load.is_loaded_by_the_kernel", "the kernel takes it, and its instance starts",
         &is_loaded_by_the_kernel},
};

}  // namespace

std::span<const Test> load_tests() noexcept { return kTests; }

}  // namespace backplane::conformance
