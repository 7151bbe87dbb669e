// SPDX-License-Identifier: Apache-2.0
// The files of segments and semaphores: made without a name until they are whole, or given away by
// a descriptor.
#pragma once

#include "backplane/base.h"
#include "descriptor.hpp"

#include <string>

namespace backplane::kernel {

// Both give an errno, or 0. The first makes one in /dev/shm that nobody else sees before the second
// names it.
int make_unnamed_file(std::uint32_t permissions, Descriptor& out) noexcept;
int name_file(const Descriptor& file, const std::string& path);

// A descriptor of one's own of a memfd that cannot be cut, which is called `what` in an error.
// INVALID_ARGUMENT: there is no such descriptor; FAILED_PRECONDITION: it is not sealed.
bp_status keep_sealed(int descriptor, const std::string& what, Descriptor& out, bp_error* error);

}  // namespace backplane::kernel
