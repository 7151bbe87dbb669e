// SPDX-License-Identifier: Apache-2.0
#include "plugin_library.hpp"

#include "backplane/version.h"
#include "error.hpp"
#include "services.hpp"
#include "trusted_file.hpp"

#include <boost/dll/shared_library.hpp>

#include <algorithm>
#include <cstring>
#include <dlfcn.h>
#include <set>

namespace backplane::kernel {
namespace {

constexpr const char* kEntryName = "bp_plugin_entry_1";

void no_cancel(void*, bp_op*) {}

std::string in_quotes(std::string_view text) { return "'" + std::string(text) + "'"; }

std::string joined(const std::set<std::string>& ids) {
  std::string text;
  for (const std::string& id : ids) text += (text.empty() ? "" : ", ") + id;
  return text.empty() ? "none" : text;
}

// What the manifest says must be what the binary says. Empty: it is.
std::string compare(const PluginManifest& manifest, const bp_plugin& plugin) {
  if (view(plugin.id) != manifest.id) {
    return "its id is " + in_quotes(view(plugin.id)) + ", but its manifest says " +
           in_quotes(manifest.id);
  }
  if (view(plugin.version) != manifest.version) {
    return "its version is " + in_quotes(view(plugin.version)) + ", but its manifest says " +
           in_quotes(manifest.version);
  }
  if (plugin.minor_needed > BP_ABI_MINOR) {
    return "it needs minor " + std::to_string(plugin.minor_needed) +
           " of the ABI, and this kernel has " + std::to_string(BP_ABI_MINOR) +
           ": update backplane";
  }
  if (plugin.minor_needed != manifest.abi_minor) {
    return "it needs minor " + std::to_string(plugin.minor_needed) +
           " of the ABI, but its manifest says " + std::to_string(manifest.abi_minor);
  }
  std::set<std::string> needs;
  for (const char* const* id = plugin.needs; id != nullptr && *id != nullptr; ++id)
    needs.insert(*id);
  const std::set<std::string> declared(manifest.services_needed.begin(),
                                       manifest.services_needed.end());
  if (needs != declared)
    return "it needs the services " + joined(needs) + ", but its manifest says " + joined(declared);
  for (const std::string& id : needs) {
    if (!has_service(id))
      return "it needs the service " + in_quotes(id) + ", which this kernel does not have";
  }
  return {};
}

// Why a library cannot be mapped, in words; the loader's own text names files, symbols and ELF
// classes.
std::string loader_words(const std::string& text) {
  if (text.find("wrong ELF class") != std::string::npos ||
      text.find("invalid ELF header") != std::string::npos ||
      text.find("cannot open shared object file: Exec format") != std::string::npos) {
    return text + ": it is built for another machine, or is no shared library";
  }
  return text;
}

}  // namespace

std::unique_ptr<PluginLibrary> PluginLibrary::link(const PluginManifest& manifest,
                                                   bp_plugin_entry entry, std::uint32_t offer_flags,
                                                   std::string& problem) {
  const std::string where =
      "plugin '" + manifest.id + "'" +
      (manifest.library.empty() ? "" : " (" + manifest.library.string() + ")") + ": ";
  bp_offer offer{};
  offer.struct_size = BP_SIZE_TO(bp_offer, kernel_version);
  offer.minor_min = 0;
  offer.minor_max = BP_ABI_MINOR;
  offer.flags = offer_flags;
  offer.kernel_version = BP_STR(BP_VERSION_STRING);
  const bp_plugin* offered = nullptr;
  bp_error error{};
  const bp_status status = entry(&offer, &offered, &error);
  if (status != BP_OK || offered == nullptr) {
    problem = where + "its entry refuses this kernel: " + std::string(name_of(status)) + ": " +
              std::string(message_of(error));
    return nullptr;
  }
  // `reconfigure` and `cancel` are optional, `open` is the last mandatory slot of minor 0.
  if (offered->struct_size < BP_SIZE_TO(bp_plugin, open)) {
    problem = where + "bp_plugin.struct_size is " + std::to_string(offered->struct_size) +
              ", expected at least " + std::to_string(BP_SIZE_TO(bp_plugin, open));
    return nullptr;
  }
  bp_plugin plugin{};
  std::memcpy(&plugin, offered, std::min<std::size_t>(sizeof plugin, offered->struct_size));
  const char* missing = plugin.create == nullptr    ? "create"
                        : plugin.start == nullptr   ? "start"
                        : plugin.drain == nullptr   ? "drain"
                        : plugin.stop == nullptr    ? "stop"
                        : plugin.destroy == nullptr ? "destroy"
                        : plugin.open == nullptr    ? "open"
                                                    : nullptr;
  if (missing != nullptr) {
    problem = where + "bp_plugin." + missing + " is NULL, but mandatory";
    return nullptr;
  }
  if (plugin.cancel == nullptr) plugin.cancel = no_cancel;
  if (std::string mismatch = compare(manifest, plugin); !mismatch.empty()) {
    problem = where + mismatch;
    return nullptr;
  }
  return std::unique_ptr<PluginLibrary>(new PluginLibrary(plugin));
}

std::unique_ptr<PluginLibrary> PluginLibrary::load(const PluginManifest& manifest,
                                                   std::uint32_t offer_flags,
                                                   std::string& problem) {
  Diagnostics diagnostics;
  const std::optional<TrustedFile> file = TrustedFile::open(manifest.library, diagnostics);
  std::optional<std::string> digest;
  if (file && manifest.sha256) digest = file->sha256(diagnostics);
  const std::string where = "plugin '" + manifest.id + "': ";
  if (diagnostics.has_errors()) {
    problem = where + to_string(diagnostics.entries().front());
    return nullptr;
  }
  if (manifest.sha256 && digest != manifest.sha256) {
    problem = where + manifest.library.string() + " has the SHA-256 " + digest.value_or("?") +
              ", but its manifest pins " + *manifest.sha256 +
              ": install the library that belongs to the manifest";
    return nullptr;
  }
  // Never unmapped (its threads, its TLS destructors and its libraries may outlive any stop): a
  // process is the unload.
  namespace dll = boost::dll;
  const auto mode =
      static_cast<dll::load_mode::type>(dll::load_mode::rtld_now | RTLD_LOCAL | RTLD_NODELETE);
  boost::dll::fs::error_code failed;
  dll::shared_library library;
  dlerror();
  library.load(file->path(), mode, failed);
  if (failed) {
    std::string text = failed.message();
    if (const char* detail = dlerror(); detail != nullptr) text = detail;
    // Boost.DLL has consumed dlerror: ask the loader again for the words, which it repeats.
    if (void* again = dlopen(file->path().c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
        again == nullptr)
      text = dlerror();
    problem = where + "cannot be mapped: " + loader_words(text);
    return nullptr;
  }
  if (!library.has(kEntryName)) {
    problem = where + file->path().string() + " does not export " + kEntryName +
              ": it is no plugin for major " + std::to_string(BP_ABI_MAJOR) + " of the ABI";
    return nullptr;
  }
  bp_status (&entry)(const bp_offer*, const bp_plugin**, bp_error*) =
      library.get<bp_status(const bp_offer*, const bp_plugin**, bp_error*)>(kEntryName);
  return link(manifest, &entry, offer_flags, problem);
}

}  // namespace backplane::kernel
