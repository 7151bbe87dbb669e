// SPDX-License-Identifier: Apache-2.0
// Secrets by name. They are read when they are asked for, and wiped when they are given back; no
// message ever holds one.
#pragma once

#include "backplane/message.h"

#include <map>
#include <string>
#include <string_view>

namespace backplane::kernel {

/// What the source of a secret begins with when it is not the secret itself.
inline constexpr std::string_view kFromFile = "@file:";
inline constexpr std::string_view kFromEnvironment = "@env:";

class Credentials {
 public:
  // `source` is the value itself, `@file:PATH` or `@env:NAME`. Before the kernel starts.
  void add(const std::string& name, const std::string& field, std::string source);

  // See bp_credentials_service. Any thread.
  bp_status get(std::string_view name, std::string_view field, bool as_file, bp_buffer** out,
                bp_error* error) const;

 private:
  std::map<std::string, std::map<std::string, std::string, std::less<>>, std::less<>> sources_;
};

}  // namespace backplane::kernel
