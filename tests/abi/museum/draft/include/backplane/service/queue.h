/* SPDX-License-Identifier: Apache-2.0 */
/* bp.queue/1: completions and messages by polling, for those who dislike foreign threads: Go, the
 * JVM, Python. */
#pragma once

#include "../host.h"
#include "../operation.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BP_S_QUEUE "bp.queue/1"

typedef struct bp_queue bp_queue;

/* What a bp_event is. There may be more one day: release an unknown one, and go on. */
#define BP_EVENT_COMPLETED 1u /* op has completed */
#define BP_EVENT_MESSAGES 2u  /* n messages of a WATCH or BROWSE, kept until release */

/* Frozen: 24 bytes. */
typedef struct bp_event {
  bp_op* op;
  const bp_message* messages; /* NULL but for BP_EVENT_MESSAGES */
  uint32_t n;
  uint32_t kind; /* BP_EVENT_* */
} bp_event;

/* Sized. */
typedef struct bp_queue_service {
  uint32_t struct_size;
  uint32_t reserved;
  /* *fd is readable while events wait (level-triggered, an eventfd: do not read it); it belongs to
   * the queue. RESOURCE_EXHAUSTED: no memory or no descriptor. [any][nb][nr] */
  bp_status (*open)(const bp_host* host, bp_queue** out, int32_t* fd);
  /* Like submit of bp.endpoint/1, but an operation that would call `done` or `next` puts an event
   * here instead; op->sink is not used, op->done must be NULL. Inline results are returned as ever.
   * [any][nb] */
  bp_status (*submit)(const bp_host* host, bp_queue* queue, bp_op* op);
  /* Like open of bp.endpoint/1, completing here. [any][nb] */
  bp_status (*open_address)(const bp_host* host, bp_queue* queue, bp_str address,
                            const bp_message* options, bp_op* op);
  /* Up to n events, oldest first; waits up to timeout_ns for the first (0: not at all, < 0: for
   * ever). Blocks if asked to. One thread at a time. [any] */
  uint32_t (*poll)(const bp_host* host, bp_queue* queue, bp_event* out, uint32_t n,
                   int64_t timeout_ns);
  /* Gives back the messages of events; completions need none. [any][nb][nr] */
  void (*release)(const bp_host* host, bp_queue* queue, const bp_event* events, uint32_t n);
  /* Frees the queue. FAILED_PRECONDITION while operations pend through it. [any][nb] */
  bp_status (*close)(const bp_host* host, bp_queue* queue);
} bp_queue_service;

#ifdef __cplusplus
}
#endif
