// SPDX-License-Identifier: Apache-2.0
#include "plugin_library.hpp"

#include "backplane/version.h"
#include "elf_header.hpp"
#include "error.hpp"
#include "services.hpp"
#include "trusted_file.hpp"

#include <boost/dll/shared_library.hpp>

#include <algorithm>
#include <cstring>
#include <dlfcn.h>
#include <filesystem>
#include <set>
#include <system_error>

namespace backplane::kernel {
namespace {

constexpr const char* kEntryName = "bp_plugin_entry_1";

void no_cancel(void*, bp_op*) {}

std::string in_quotes(std::string_view text) { return "'" + std::string(text) + "'"; }

// Why this kernel is too old for a plugin. Empty: it is not.
std::string lack_of(std::uint16_t minor_needed) {
  if (minor_needed <= BP_ABI_MINOR) return {};
  return "it needs minor " + std::to_string(minor_needed) + " of the ABI, and this kernel has " +
         std::to_string(BP_ABI_MINOR) + ": update backplane";
}

std::string joined(const std::set<std::string>& ids) {
  std::string text;
  for (const std::string& id : ids) text += (text.empty() ? "" : ", ") + id;
  return text.empty() ? "none" : text;
}

// What the manifest says must be what the binary says. Empty: it is.
std::string compare(const PluginManifest& manifest, const bp_plugin& plugin) {
  const auto differs = [](std::string_view what, std::string_view binary, std::string_view said) {
    return "its " + std::string(what) + " is " + std::string(binary) + ", but its manifest says " +
           std::string(said) + ": install the two that belong together";
  };
  if (view(plugin.id) != manifest.id)
    return differs("id", in_quotes(view(plugin.id)), in_quotes(manifest.id));
  if (view(plugin.version) != manifest.version)
    return differs("version", in_quotes(view(plugin.version)), in_quotes(manifest.version));
  if (std::string lack = lack_of(plugin.minor_needed); !lack.empty()) return lack;
  if (plugin.minor_needed != manifest.abi_minor) {
    return differs("minor of the ABI", std::to_string(plugin.minor_needed),
                   std::to_string(manifest.abi_minor));
  }
  std::set<std::string> needs;
  for (const char* const* id = plugin.needs; id != nullptr && *id != nullptr; ++id)
    needs.insert(*id);
  const std::set<std::string> declared(manifest.services_needed.begin(),
                                       manifest.services_needed.end());
  if (needs != declared) return differs("list of needed services", joined(needs), joined(declared));
  const auto word = [](bool value) { return value ? "true" : "false"; };
  const bool multi = (plugin.flags & BP_PLUGIN_MULTI_INSTANCE) != 0;
  if (multi != manifest.multi_instance)
    return differs("multi_instance", word(multi), word(manifest.multi_instance));
  const bool threads = (plugin.flags & BP_PLUGIN_OWN_THREADS) != 0;
  if (threads != manifest.own_threads)
    return differs("own_threads", word(threads), word(manifest.own_threads));
  return {};
}

// Why the loader did not map the file, by its last error.
std::string loader_words(const std::filesystem::path& library) {
  const std::string text = dlerror();
  const std::string file = library.string() + ": ";
  return "cannot be mapped: " + (text.rfind(file, 0) == 0 ? text.substr(file.size()) : text) +
         ": 'ldd -r " + library.string() + "' shows all that is missing";
}

}  // namespace

std::string PluginLibrary::lack_for(const PluginManifest& manifest) {
  if (std::string lack = lack_of(manifest.abi_minor); !lack.empty()) return lack;
  for (const std::string& id : manifest.services_needed) {
    if (!has_service(id)) {
      return "it needs the service " + in_quotes(id) +
             ", which this kernel does not have: update backplane, or correct the manifest";
    }
  }
  return {};
}

std::unique_ptr<PluginLibrary> PluginLibrary::link(const PluginManifest& manifest,
                                                   bp_plugin_entry entry, std::uint32_t offer_flags,
                                                   std::string& problem) {
  const auto refuse = [&](const std::string& why) {
    problem = "plugin '" + manifest.id + "': " + why +
              (manifest.library.empty() ? "" : " (" + manifest.library.string() + ")");
    return nullptr;
  };
  if (const std::string lack = lack_for(manifest); !lack.empty()) return refuse(lack);
  bp_offer offer{};
  offer.struct_size = BP_SIZE_TO(bp_offer, kernel_version);
  offer.minor_min = 0;
  offer.minor_max = BP_ABI_MINOR;
  offer.flags = offer_flags;
  offer.kernel_version = BP_STR(BP_VERSION_STRING);
  const bp_plugin* offered = nullptr;
  bp_error error{};
  if (const bp_status status = entry(&offer, &offered, &error); status != BP_OK) {
    return refuse("its entry refuses this kernel: " + std::string(name_of(status)) + ": " +
                  (error.message_len == 0 ? "without a reason" : std::string(message_of(error))));
  }
  if (offered == nullptr) return refuse("its entry answers OK, but gives no table");
  // `cancel` is optional, `open` the last mandatory slot of minor 0.
  if (offered->struct_size < BP_SIZE_TO(bp_plugin, open)) {
    return refuse("bp_plugin.struct_size is " + std::to_string(offered->struct_size) +
                  ", expected at least " + std::to_string(BP_SIZE_TO(bp_plugin, open)));
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
  if (missing != nullptr)
    return refuse(std::string("bp_plugin.") + missing + " is NULL, but mandatory");
  if (plugin.cancel == nullptr) plugin.cancel = no_cancel;
  if (const std::string mismatch = compare(manifest, plugin); !mismatch.empty())
    return refuse(mismatch);
  return std::unique_ptr<PluginLibrary>(new PluginLibrary(plugin));
}

std::unique_ptr<PluginLibrary> PluginLibrary::load(const PluginManifest& manifest,
                                                   std::uint32_t offer_flags,
                                                   std::string& problem) {
  const auto refuse = [&](const std::string& why) {
    problem = "plugin '" + manifest.id + "': " + why;
    return nullptr;
  };
  // Before the file is looked at: what it needs is known, and nothing of it has run.
  if (const std::string lack = lack_for(manifest); !lack.empty()) return refuse(lack);
  const std::string library_name = "its library '" + manifest.library.string() + "' ";
  std::error_code unknown;
  if (!std::filesystem::exists(manifest.library, unknown) && !unknown)
    return refuse(library_name + "does not exist: install it");
  Diagnostics diagnostics;
  const std::optional<TrustedFile> file = TrustedFile::open(manifest.library, diagnostics);
  std::optional<std::string> digest;
  if (file && manifest.sha256) digest = file->sha256(diagnostics);
  if (diagnostics.has_errors()) return refuse(diagnostics.entries().front().message);
  if (digest != manifest.sha256) {
    return refuse(library_name + "has the SHA-256 " + digest.value_or("?") +
                  ", but its manifest pins " + *manifest.sha256 +
                  ": install the two that belong together");
  }
  if (const std::string why = elf_problem(file->descriptor()); !why.empty())
    return refuse(library_name + why);
  // Never unmapped (its threads, its TLS destructors and its libraries may outlive any stop): a
  // process is the unload.
  namespace dll = boost::dll;
  const auto mode =
      static_cast<dll::load_mode::type>(dll::load_mode::rtld_now | RTLD_LOCAL | RTLD_NODELETE);
  boost::dll::fs::error_code failed;
  dll::shared_library library;
  library.load(file->path(), mode, failed);
  if (failed) {
    // Boost.DLL has consumed dlerror: ask the loader again, which repeats its words.
    if (dlopen(file->path().c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE) == nullptr)
      return refuse(loader_words(file->path()));
    return refuse(library_name + "cannot be mapped: " + failed.message());
  }
  if (!file->is_current())
    return refuse(library_name + "was replaced while it was mapped: start again");
  if (!library.has(kEntryName)) {
    return refuse(library_name + "does not export " + kEntryName +
                  ": it is no plugin, or one for another major of the ABI");
  }
  bp_status (&entry)(const bp_offer*, const bp_plugin**, bp_error*) =
      library.get<bp_status(const bp_offer*, const bp_plugin**, bp_error*)>(kEntryName);
  return link(manifest, &entry, offer_flags, problem);
}

}  // namespace backplane::kernel
