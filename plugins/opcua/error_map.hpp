// SPDX-License-Identifier: Apache-2.0
// OPC UA's status codes as statuses of the ABI.
#pragma once

#include <backplane/sdk/status.hpp>

#include <open62541/types.h>

namespace backplane::opcua {

inline constexpr std::string_view kDomain = "opcua";

/// The severity is bad; uncertain is not.
inline bool is_bad(UA_StatusCode code) noexcept { return (code >> 30) >= 2; }

/// The session, or the connection under it, is of no use any more; nothing else was wrong.
bool is_loss(UA_StatusCode code) noexcept;

/// The status of a bad code: the nearest of the sixteen, the number, its name, and what to do about
/// it; `context` says what was being done.
Status bad_status(UA_StatusCode code, std::string_view context);

/// Of the service, for a response that must have one result: bad if it has not.
template <class Response>
UA_StatusCode service_status(const Response& response) noexcept {
  const UA_StatusCode status = response.responseHeader.serviceResult;
  return is_bad(status) || response.resultsSize == 1 ? status : UA_STATUSCODE_BADUNKNOWNRESPONSE;
}

/// What a client is told of an error: its own code when it has one of OPC UA, else the nearest.
UA_StatusCode code_of(const Status& status) noexcept;

}  // namespace backplane::opcua
