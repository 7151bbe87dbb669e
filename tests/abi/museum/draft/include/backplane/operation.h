/* SPDX-License-Identifier: Apache-2.0 */
/* One verb on one endpoint, completed exactly once.
 *
 * Life of an operation: op_new -> fill -> submit -> (refused | done inline | pending, then `done`
 * once) -> submit again, or op_free. submit returns 0: completed now, `out` and `status` are set,
 * `done` is not called. 1: pending, `done` is called exactly once, perhaps on another thread,
 * perhaps before submit returns. < 0: completed now with that error, `done` is not called. A
 * cancelled operation still completes: with BP_CANCELLED, or with its real result. `out` counts
 * whatever the status: a failure may have trailers as headers and its details as body. The kernel
 * holds `target`, and the handler of a SERVE, until completion. A flag that is not known, or
 * that the target does not have for this verb, is UNIMPLEMENTED, never ignored. */
#pragma once

#include "message.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BP_V_READ 1u /* out: the present value */
/* completes on the strongest acknowledgement that was asked for: PUBACK, PUBCOMP, 2.04 */
#define BP_V_WRITE 2u
/* a request with an answer; with BP_OP_DUPLEX it completes with an owned REF: write sends, watch
 * receives */
#define BP_V_CALL 3u
/* until the stream ends; messages go to `sink`, perhaps before submit returns; completes with the
 * final status and trailers */
#define BP_V_WATCH 4u
/* in.body = REF of a handler; pends until cancelled and no inbound operation is left */
#define BP_V_SERVE 5u
#define BP_V_BROWSE 6u                   /* like WATCH; one message an entry, with BP_H_PATH */
#define BP_VERB_BIT(verb) (1u << (verb)) /* in masks of verbs: the verb without a flag */

#define BP_OP_ACK 1u    /* watch: the producer keeps each message until ack */
#define BP_OP_DUPLEX 2u /* call: see BP_V_CALL */

/* A verb with a flag is an ability of its own, beside the bits of verbs in a mask: the kernel knows
 * before any endpoint what is not there. */
#define BP_CAN_ACK (1u << 16)    /* WATCH with BP_OP_ACK */
#define BP_CAN_DUPLEX (1u << 17) /* CALL with BP_OP_DUPLEX */

typedef struct bp_op bp_op;

/* Sized. */
typedef struct bp_sink {
  uint32_t struct_size;
  uint32_t flags; /* 0 */
  /* A batch of messages, borrowed for the call. Serial for each operation, called by the kernel
   * alone, never after the completion. Without BP_OP_ACK: OK accepts the batch, < 0 ends the stream
   * with that status. With BP_OP_ACK: OK means "seen"; each message is settled by ack. May call any
   * [any] function, cancel of the same operation included. [any][nb] */
  bp_status (*next)(bp_op* op, const bp_message* messages, uint32_t n);
} bp_sink;

/* Made by op_new, freed by op_free, never allocated by anybody else: the kernel's own words lie
 * before the pointer. Sized. */
struct bp_op {
  uint32_t struct_size;
  uint16_t verb;
  uint16_t flags;      /* BP_OP_* */
  bp_status status;    /* out */
  uint32_t credit;     /* WATCH, BROWSE: initial credit in messages; UINT32_MAX: no limit */
  int64_t deadline_ns; /* monotonic, 0: none; then the kernel cancels, and the status is
                          DEADLINE_EXCEEDED */
  bp_ref target;
  void* self;           /* the endpoint's, set by the kernel */
  const bp_message* in; /* borrowed until completion; NULL: an empty message */
  bp_message out;       /* a scalar by value, or in scratch, or with out.owner, then released by the
                           caller, also after a failure */
  void* scratch; /* the caller's, 16-aligned, for a small result; too short is never an error */
  uint64_t scratch_len;
  bp_error* error;         /* optional, the caller's; filled when status < 0 */
  const bp_sink* sink;     /* WATCH, BROWSE */
  void (*done)(bp_op* op); /* see above; may be NULL only if the operation never pends. May free or
                              resubmit op. [any][nb] */
  void* user;              /* the caller's */
  uint64_t impl[4]; /* the endpoint's from submit until its complete(): a free intrusive node */
};

#ifdef __cplusplus
}
#endif
