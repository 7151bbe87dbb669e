// SPDX-License-Identifier: Apache-2.0
// What a route's configuration says, with the keys of the route put under those of each
// destination.
#pragma once

#include "transform.hpp"
#include <backplane/operation.h>
#include <backplane/sdk/config.hpp>

namespace backplane::route {

/// When a destination's queue is full.
enum class Policy : uint8_t { kBlock, kDropOldest, kLatest };

struct QueueOptions {
  Policy policy = Policy::kBlock;
  size_t messages = 256;
  size_t bytes = size_t{4} << 20;
};

struct DestinationOptions {
  std::string address;  // perhaps with a placeholder, see targets.hpp
  std::string strip;    // of a path that is put there
  uint16_t verb = BP_V_WRITE;
  OwnedMessage headers;  // its headers are added to each message, in the place of carried ones
  Steps steps;
  QueueOptions queue;
  size_t in_flight = 16;
  std::chrono::nanoseconds expiry{0};  // 0: none
};

struct SourceOptions {
  std::string address;
  OwnedMessage asked;  // what the watch says in its headers
};

struct RouteOptions {
  /// Throws Error for what the schema cannot say.
  static RouteOptions parse(std::string_view name, const Config& config);

  std::string name;
  SourceOptions from;
  std::string dead_letter;  // empty: none
  std::vector<DestinationOptions> to;
  uint64_t max_hops = 16;
  std::chrono::nanoseconds retry_max = std::chrono::seconds(5);
};

}  // namespace backplane::route
