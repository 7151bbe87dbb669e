// SPDX-License-Identifier: Apache-2.0
// What from_json accepts, to_json writes, and from_json reads back the same.
#include <backplane/sdk/json.hpp>

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const backplane::ParseLimits limits{1 << 16, backplane::kMaxDepth, 10'000};
  const auto first = backplane::from_json(text, limits);
  if (!first) {
    return first.status().message().size() < 512 ? 0 : (std::abort(), 0);
  }
  const auto second = backplane::from_json(backplane::to_json(first->body()));
  if (!second || !(second->body() == first->body())) {
    std::abort();
  }
  return 0;
}
