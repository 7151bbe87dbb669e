// SPDX-License-Identifier: Apache-2.0
// What the plugin and backplane-guard tell each other, one packet each, over a socket pair of
// SOCK_SEQPACKET. Both come from one build, so the structs need no version.
#pragma once

#include <cstdint>

namespace backplane::process {

/// The guard's end of the socket. It is started as
/// `backplane-guard STOP_SIGNAL GRACE_MS FOLDER COMMAND...`; an empty folder means the present one.
inline constexpr int kGuardSocket = 3;

/// Plugin to guard.
struct GuardOrder {
  int32_t signal;  // to the child's process group; 0: kill everything and exit
};

enum class GuardEvent : uint32_t {
  kStarted,  // the command runs: `pid`
  kFailed,   // it does not: `error` is the errno of `step`
  kExited    // the child has ended; what it left behind is killed, then the guard exits
};
enum class GuardStep : uint32_t { kFork, kFolder, kExecute };

/// Guard to plugin.
struct GuardReport {
  GuardEvent event;
  GuardStep step;
  int32_t pid;
  int32_t error;
  int32_t wait_status;  // as of waitpid
  int32_t reserved;
  int64_t user_us;  // CPU time of the child and those it waited for
  int64_t system_us;
  int64_t max_rss_kib;
};

}  // namespace backplane::process
