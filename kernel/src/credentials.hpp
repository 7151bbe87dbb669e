// SPDX-License-Identifier: Apache-2.0
// Secrets by name. They are read when they are asked for, and wiped when they are given back; no
// message ever holds one.
#pragma once

#include "backplane/message.h"

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <sys/stat.h>

namespace backplane::kernel {

/// What the source of a secret begins with when it is not the secret itself.
inline constexpr std::string_view kFromFile = "@file:";
inline constexpr std::string_view kFromEnvironment = "@env:";

/// A field that not everybody may read.
bool is_secret(std::string_view field) noexcept;

class Credentials {
 public:
  // `source` is the value itself, `@file:PATH` or `@env:NAME`. Before the kernel starts.
  void add(const std::string& name, const std::string& field, std::string source);

  // See bp_credentials_service. `exposed`: the file of a secret, if it was renewed since the last
  // time and everybody can read it now; of the first one the manifest's reader has warned. Any
  // thread.
  bp_status get(std::string_view name, std::string_view field, bool as_file, bp_buffer** out,
                bp_error* error, std::string* exposed) const;

 private:
  bool is_newly_exposed(const std::string& path, const struct stat& status) const;

  std::map<std::string, std::map<std::string, std::string, std::less<>>, std::less<>> sources_;
  // Of the files of secrets: when each was written or changed, as it was read last.
  mutable std::mutex mutex_;
  mutable std::map<std::string, std::int64_t> changed_ns_;
};

}  // namespace backplane::kernel
