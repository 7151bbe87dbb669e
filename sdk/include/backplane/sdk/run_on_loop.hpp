// SPDX-License-Identifier: Apache-2.0
// From any thread to the loop: at once when this is the loop.
#pragma once

#include "loop.hpp"

namespace backplane {

/// Runs `body`, which returns the Status of `op`; on another thread than the loop's `op` pends
/// until it has run there.
template <class Body>
Status run_on_loop(const Host& host, Op op, Body body) {
  if (on_loop(host)) {
    return body();
  }
  const Status posted = post(host, [&host, op, body = std::move(body)]() mutable {
    Status status;
    try {
      status = body();
    } catch (...) {
      status = current_exception_status();
    }
    if (!status.is_pending()) {
      host.complete(op, status);
    }
  });
  return posted.is_error() ? posted : Status::pending();
}

}  // namespace backplane
