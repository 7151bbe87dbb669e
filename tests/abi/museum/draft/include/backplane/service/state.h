/* SPDX-License-Identifier: Apache-2.0 */
/* bp.state/1: how an instance is doing, as operators see it. */
#pragma once

#include "../host.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BP_S_STATE "bp.state/1"

#define BP_STATE_IDLE 0u       /* nothing to be connected to yet */
#define BP_STATE_CONNECTING 1u /* trying, or waiting to try again */
/* proven: the peer has answered, and its keep-alive is in time; a server listens */
#define BP_STATE_UP 2u
#define BP_STATE_DEGRADED 3u /* works in part */
#define BP_STATE_DOWN 4u     /* not working, and will not by itself */

/* Sized. */
typedef struct bp_state_service {
  uint32_t struct_size;
  uint32_t reserved;
  /* Tells a change; `detail` (borrowed) says why and what happens next: "connection refused, next
   * try in 2 s". Logged once per change of state. [any][nb][nr] */
  void (*report)(const bp_host* host, uint32_t state, bp_str detail);
} bp_state_service;

#ifdef __cplusplus
}
#endif
