/* SPDX-License-Identifier: Apache-2.0 */
/* bp.executor/1: the kernel's event loop, which serves all instances: what it runs must not block.
 * Tasks of one instance never run at once, and see what earlier ones did. */
#pragma once

#include "../host.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BP_S_EXECUTOR "bp.executor/1"

#define BP_FD_READ 1u  /* readable, or hung up */
#define BP_FD_WRITE 2u /* writable */

/* Sized. */
typedef struct bp_executor_service {
  uint32_t struct_size;
  uint32_t reserved;
  /* Runs once on the loop, after this call has returned. Tasks of one thread run in their order.
   * RESOURCE_EXHAUSTED: no memory. [any][nb][nr] */
  bp_status (*post)(const bp_host* host, void (*run)(void* user), void* user);
  /* Runs once at or after the monotonic time (CLOCK_MONOTONIC). *id removes it before that. Errors
   * as of post. [any][nb][nr] */
  bp_status (*at)(const bp_host* host, int64_t time_ns, void (*run)(void* user), void* user,
                  uint64_t* id);
  /* Runs whenever fd is ready for `events` (BP_FD_*), level-triggered, until removed. A hang-up or
   * an error counts as ready. The descriptor stays the caller's and stays open until remove has
   * returned OK or the last run has returned. INVALID_ARGUMENT: not open, or a regular file;
   * ALREADY_EXISTS: watched already (watch a duplicate). [any][nb][nr] */
  bp_status (*watch_fd)(const bp_host* host, int32_t fd, uint32_t events,
                        void (*run)(void* user, uint32_t events), void* user, uint64_t* id);
  /* Changes what a watched descriptor is watched for; 0 pauses it. NOT_FOUND: no such watch.
   * [any][nb][nr] */
  bp_status (*change_fd)(const bp_host* host, uint64_t id, uint32_t events);
  /* OK: it never runs again. PENDING: it is running now on another thread, for the last time.
   * NOT_FOUND: it has run, or was removed. Inside its own run: OK. A task posted afterwards runs
   * after that last run. [any][nb][nr] */
  bp_status (*remove)(const bp_host* host, uint64_t id);
  /* 1 when the calling thread is a loop thread of this kernel, else 0. [any][nb][nr] */
  uint32_t (*on_loop)(const bp_host* host);
} bp_executor_service;

#ifdef __cplusplus
}
#endif
