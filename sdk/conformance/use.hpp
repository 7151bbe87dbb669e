// SPDX-License-Identifier: Apache-2.0
// The subject as its users use it.
#pragma once

#include "probe.hpp"

namespace backplane::conformance {

/// Starts its system, and reads, writes, calls and watches all endpoints that its traits tell.
/// Throws Failure where a verb fails.
void use_all(Subject& subject);

/// The same, where a failure is an answer like another one: but each operation ends.
void use_all_in_trouble(Subject& subject);

}  // namespace backplane::conformance
