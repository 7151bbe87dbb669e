// SPDX-License-Identifier: Apache-2.0
// The headers of a shared library: for which machine it is built and whether it is whole, known
// before it is mapped.
#pragma once

#include <string>

namespace backplane::kernel {

/// Why this process must not map the open file: it is no ELF file, or one for another machine, or
/// its end is missing, which would end the process in the loader (SIGBUS). Empty: none of these.
/// Blocks on the disk.
std::string elf_problem(int descriptor);

}  // namespace backplane::kernel
