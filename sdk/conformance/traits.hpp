// SPDX-License-Identifier: Apache-2.0
// What the author of a plugin tells of it: the file of docs/validating.md.
#pragma once

#include <backplane/operation.h>
#include <backplane/sdk/message.hpp>

#include <array>
#include <filesystem>
#include <string>
#include <vector>

namespace backplane::conformance {

enum class Source {
  kNone,    // it is not watched
  kWrite,   // each write makes a message
  kItself,  // messages come by themselves
};

/// The verbs that complete by themselves.
inline constexpr std::array<uint16_t, 3> kRequests = {BP_V_READ, BP_V_WRITE, BP_V_CALL};

struct EndpointTraits {
  std::string path;
  bool read = false;
  std::vector<OwnedMessage> writes;   // taken by a write; different ones
  std::vector<OwnedMessage> refuses;  // refused by a write
  std::vector<OwnedMessage> calls;    // arguments that a call takes
  Source watch = Source::kNone;
  bool ack = false;

  /// BP_VERB_BIT of each verb that is told of.
  uint32_t verbs() const noexcept;
};

struct Traits {
  bool given = false;           // by the author; else made up
  std::string system;           // the text of a system manifest
  std::string instance = "it";  // of it
  std::string twin;             // TOML: keys of a second instance that replace the first one's
  std::vector<EndpointTraits> endpoints;

  /// Throws Error (INVALID_ARGUMENT) as FILE:LINE:COL: what is wrong.
  static Traits load(const std::filesystem::path& file);
  /// One instance with the defaults of its configuration.
  static Traits of_defaults(std::string_view plugin);
};

}  // namespace backplane::conformance
