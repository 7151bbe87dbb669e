// SPDX-License-Identifier: Apache-2.0
// Library: the plugin's code, mapped as the kernel maps it.
#pragma once

#include "test.hpp"
#include <backplane/plugin.h>
#include <backplane/version.h>

#include <boost/dll/shared_library.hpp>

#include <dlfcn.h>
#include <filesystem>

namespace backplane::conformance {

class Library {
 public:
  explicit Library(const std::filesystem::path& file) {
    boost::dll::fs::error_code failed;
    library_.load(file,
                  static_cast<boost::dll::load_mode::type>(boost::dll::load_mode::rtld_now |
                                                           RTLD_LOCAL | RTLD_NODELETE),
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
  using Entry = bp_status(const bp_offer*, const bp_plugin**, bp_error*);
  boost::dll::shared_library library_;
};

}  // namespace backplane::conformance
