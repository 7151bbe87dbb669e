// SPDX-License-Identifier: Apache-2.0
// formats: codecs as endpoints.
#include "codec.hpp"
#include <backplane/sdk/plugin.hpp>

namespace backplane::formats {
namespace {

class FormatsPlugin final : public Plugin {
 public:
  FormatsPlugin(const bp_host* host, const Config& config)
      : Plugin(host),
        limits_{config.integer<size_t>("max_bytes"), config.integer<unsigned>("max_depth"),
                config.integer<size_t>("max_values")} {
    if (const auto url = config.find<std::string>("url")) {
      prefix_ = url->substr(url->find("://") + 3) + '/';
    }
  }

  Status open(std::string_view path, MessageView, OpenOp op) override {
    const std::string full = prefix_ + std::string(path.substr(0, kLongestPath));
    const size_t slash = full.find('/');
    const auto format = find_format(std::string_view(full).substr(0, slash));
    if (!format) {
      return format.status();
    }
    const std::string_view direction =
        slash == full.npos ? std::string_view() : std::string_view(full).substr(slash + 1);
    if (direction == "decode") {
      return op.give(std::make_unique<Decoder>(**format, limits_));
    }
    if (direction == "encode") {
      return op.give(std::make_unique<Encoder>(**format));
    }
    return Status(BP_NOT_FOUND, "no codec '", full, "'; there are ", (*format)->name,
                  "/decode and ", (*format)->name, "/encode");
  }

 private:
  static constexpr size_t kLongestPath = 64;
  const ParseLimits limits_;
  std::string prefix_;  // of paths: an instance of format://json has json/
};

}  // namespace
}  // namespace backplane::formats

BACKPLANE_PLUGIN(backplane::formats::FormatsPlugin, "formats", "0.1.0", BP_PLUGIN_MULTI_INSTANCE);
