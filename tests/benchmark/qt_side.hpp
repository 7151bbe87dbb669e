// SPDX-License-Identifier: Apache-2.0
// What QSharedMemory takes for the same, where there is Qt.
#pragma once

#include <functional>

namespace backplane::benchmark {

// One lock of a segment, a copy of `size` bytes into it, one unlock. The segment lives as long as
// the function.
std::function<void()> qt_locked_copy(const void* data, int size);

}  // namespace backplane::benchmark
