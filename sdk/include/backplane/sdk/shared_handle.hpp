// SPDX-License-Identifier: Apache-2.0
// An object of shared_memory.h or channel.h, and whose functions serve it: the library's, which the
// application links, or those of bp.shared_memory/1, for a plugin, which links none.
#pragma once

#include <backplane/service/shared_memory.h>

#include <memory>

namespace backplane::detail {

using SharedFunctions = bp_shared_memory_service;

/// Close: the function of the table that closes it.
template <auto Close>
struct CloseShared {
  const SharedFunctions* functions;
  template <class Raw>
  void operator()(Raw* raw) const noexcept {
    (functions->*Close)(raw);
  }
};
template <class Raw, auto Close>
using SharedHandle = std::unique_ptr<Raw, CloseShared<Close>>;

template <class Handle>
const SharedFunctions& functions_of(const Handle& handle) noexcept {
  return *handle.get_deleter().functions;
}

}  // namespace backplane::detail
