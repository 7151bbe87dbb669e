/* SPDX-License-Identifier: Apache-2.0 */
/* What a plugin (or an application that serves) gives the kernel for one addressable thing.
 *
 * Races that an endpoint must stand: cancel, credit and ack come from any thread, also while the
 * endpoint itself is inside complete() for the same operation. The memory of the operation is then
 * still valid and not yet used again, `done` has not run: find your own state by a look-up under
 * your own lock (in impl[], cleared on completion), and ignore the call if it is gone. */
#pragma once

#include "operation.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Sized. Kept by address, and read once, when open or adopt first shows the table: submit, cancel
 * and close are mandatory, the others become stubs. It must live as long as the process. */
typedef struct bp_endpoint_ops {
  uint32_t struct_size;
  uint32_t reserved;
  /* Starts op->verb with op->self. Returns 0 or < 0 when completed now (op->out and *op->error are
   * set by then), 1 when pending: then complete() is called exactly once. Never waits. [any][nb] */
  bp_status (*submit)(bp_op* op);
  /* Optional: many operations of endpoints that share this table. Takes the first `result` of them;
   * each of these completes by complete(), none inline. The kernel submits the rest one at a time.
   * [any][nb] */
  uint32_t (*submit_n)(bp_op* const* ops, uint32_t n);
  /* A request to complete a pending operation soon (100 ms); after completion a no-op. [any][nb] */
  void (*cancel)(bp_op* op);
  /* Optional: n more messages may be delivered to this WATCH or BROWSE. Never delivers before it
   * returns. [any][nb][nr] */
  void (*credit)(bp_op* op, uint32_t n);
  /* Optional: the message seq of a WATCH with BP_OP_ACK is settled. OK: delivered, stored, or
   * dead-lettered. < 0: deliver it again, or count it as dropped. [any][nb][nr] */
  void (*ack)(bp_op* op, uint64_t seq, bp_status status);
  /* The last call for `self`: nothing pends and no other call is under way or will come. [any][nb]
   */
  void (*close)(void* self);
} bp_endpoint_ops;

/* Frozen: 24 bytes. */
typedef struct bp_endpoint {
  const bp_endpoint_ops* ops;
  void* self;
  uint32_t verbs; /* mask of BP_VERB_BIT and BP_CAN_*: what this very endpoint can do */
  uint32_t flags; /* 0 */
} bp_endpoint;

#ifdef __cplusplus
}
#endif
