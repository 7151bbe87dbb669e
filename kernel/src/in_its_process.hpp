// SPDX-License-Identifier: Apache-2.0
// What a process opened is not for its children made by fork(2): they have no thread that tells of
// their end.
#pragma once

#include "error.hpp"

namespace backplane::kernel {

// Runs it in the process that opened the object.
template <typename Object, typename Function>
bp_status in_its_process(const Object& object, bp_error* error, Function function) noexcept {
  return guarded(error, [&]() -> bp_status {
    if (object.is_of_this_process()) return function();
    return set_error(error, BP_FAILED_PRECONDITION,
                     "it was opened before fork: open it again in the child");
  });
}

// -1: none.
template <typename Object>
std::int32_t descriptor_of(Object& object, bp_error* error) noexcept {
  std::int32_t out = -1;
  in_its_process(object, error, [&] {
    out = object.descriptor(error);
    return BP_OK;
  });
  return out;
}

}  // namespace backplane::kernel
