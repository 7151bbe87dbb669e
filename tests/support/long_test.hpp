// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>

namespace backplane::test {

/// What takes long runs with ./dev test --long alone.
inline bool is_long_test() { return std::getenv("BP_TEST_LONG") != nullptr; }

}  // namespace backplane::test
