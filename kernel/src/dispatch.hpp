// SPDX-License-Identifier: Apache-2.0
// bp.endpoint/1: from a caller's operation to the endpoint, and back.
#pragma once

#include "backplane/service/endpoint.h"

namespace backplane::kernel {

class CompletionQueue;

extern const bp_endpoint_service kEndpointService;

// With `queue`, events go there instead of to op->done and op->sink.
bp_status submit_to(const bp_host* host, bp_op* op, CompletionQueue* queue) noexcept;
bp_status open_to(const bp_host* host, bp_str address, const bp_message* options, bp_op* op,
                  CompletionQueue* queue) noexcept;

}  // namespace backplane::kernel
