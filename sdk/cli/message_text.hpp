// SPDX-License-Identifier: Apache-2.0
// Messages as lines of JSON, and values from the command line.
#pragma once

#include <backplane/sdk/message.hpp>

#include <string>
#include <string_view>

namespace backplane::cli {

/// The body as one line of JSON. Bytes that are JSON are shown as that, other text as a string, the
/// rest as base64.
std::string body_text(ValueView body);

/// All of a message as one JSON object: path, value, time, headers; what is absent is left out.
std::string message_text(MessageView message);

/// An entry of a browse as one JSON object: path, title, type, verbs.
std::string entry_text(MessageView entry);

}  // namespace backplane::cli
