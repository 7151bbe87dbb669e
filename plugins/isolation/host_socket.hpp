// SPDX-License-Identifier: Apache-2.0
// What a proxy and its host agree on before the first frame.
#pragma once

namespace backplane::isolation {

/// The host's end of the link, and the memory of it (link/ring_channel.hpp).
inline constexpr int kHostSocket = 3;
inline constexpr int kHostMemory = 4;

/// How long either side looks for the next frame without sleeping, in `setup`; there, not above.
inline constexpr const char* kSpin = "spin_us";

/// Steps of the life cycle, in wire::Step.
inline constexpr unsigned kStepStart = 0;
inline constexpr unsigned kStepDrain = 1;
inline constexpr unsigned kStepStop = 2;

}  // namespace backplane::isolation
