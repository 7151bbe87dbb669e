// SPDX-License-Identifier: Apache-2.0
// Values as CBOR (RFC 8949) and back. libcbor splits and makes the items; what they mean as values
// is here, and as a table in README.md.
#pragma once

#include <backplane/sdk/detail/tree_builder.hpp>
#include <backplane/sdk/message.hpp>

namespace backplane::formats {

/// The value of one CBOR item that fills `bytes`, in one counted buffer. RESOURCE_EXHAUSTED: above
/// a limit; INVALID_ARGUMENT, OUT_OF_RANGE: with the offset of the item, from 0, and what is wrong
/// with it. [any][nb]
Result<OwnedMessage> from_cbor(std::span<const std::byte> bytes, const ParseLimits& limits = {});

/// Throws Error (INVALID_ARGUMENT, OUT_OF_RANGE) for what CBOR cannot say: references, descriptors,
/// a map with a key twice, more than kMaxDepth levels. [any][nb]
std::string to_cbor(ValueView value);

}  // namespace backplane::formats
