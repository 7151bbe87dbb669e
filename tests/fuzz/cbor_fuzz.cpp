// SPDX-License-Identifier: Apache-2.0
// What from_cbor accepts, to_cbor writes; after one round trip nothing changes any more (packed
// arrays become lists in the first).
#include "plugins/formats/cbor.hpp"

#include <cstdlib>

namespace {

using backplane::OwnedMessage;
using backplane::Result;

Result<OwnedMessage> again(const OwnedMessage& message) {
  const std::string bytes = backplane::formats::to_cbor(message.body());
  return backplane::formats::from_cbor(std::as_bytes(std::span(bytes)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const backplane::ParseLimits limits{1 << 16, 32, 10'000};
  const auto first = backplane::formats::from_cbor(std::as_bytes(std::span(data, size)), limits);
  if (!first) {
    return first.status().message().size() < 512 ? 0 : (std::abort(), 0);
  }
  const bool already_cbor = first->body().tag == BP_T_ENCODED;
  try {
    const auto second = already_cbor ? Result<OwnedMessage>(*first) : again(*first);
    const auto third = already_cbor ? second : again(second.value());
    if (!(third.value().body() == second.value().body())) {
      std::abort();
    }
  } catch (const backplane::Error& error) {
    // A time in a fine unit far from 1970 has no text; nothing else may fail.
    if (error.status().code() != BP_OUT_OF_RANGE) {
      std::abort();
    }
  }
  return 0;
}
