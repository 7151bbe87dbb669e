/* SPDX-License-Identifier: Apache-2.0 */
/* bp.endpoint/1: opening addresses and running operations; what plugins and applications alike use.
 */
#pragma once

#include "../endpoint.h"
#include "../host.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BP_S_ENDPOINT "bp.endpoint/1"

/* Sized. */
typedef struct bp_endpoint_service {
  uint32_t struct_size;
  uint32_t reserved;

  /* ---- the caller's side ---- */
  /* A pooled operation, all fields zero but struct_size. NULL when memory is out. [any][nb][nr] */
  bp_op* (*op_new)(const bp_host* host);
  /* Gives it back: never submitted, refused, or completed; inside its own `done` only as the last
   * act. [any][nb][nr] */
  void (*op_free)(const bp_host* host, bp_op* op);
  /* Opens `instance:path` or a URL (`scheme://authority/path`, which makes an instance of the
   * scheme's plugin when it is the first). `address` is borrowed for the call, `options` (may be
   * NULL) until completion. out.body: an owned REF, to be closed. The verbs that the caller may not
   * use on it are absent: PERMISSION_DENIED when none is left. NOT_FOUND names the nearest
   * instance. [any][nb] */
  bp_status (*open)(const bp_host* host, bp_str address, const bp_message* options, bp_op* op);
  /* An own endpoint as a reference: a handler to be served, an end of a duplex stream. Close it
   * when done. On an error the endpoint is untouched and stays yours: INTERNAL, its table lacks a
   * mandatory slot; PERMISSION_DENIED, it has no verb that this kernel knows; RESOURCE_EXHAUSTED.
   * [any][nb][nr] */
  bp_status (*adopt)(const bp_host* host, const bp_endpoint* endpoint, bp_ref* out);
  /* One owner more. FAILED_PRECONDITION: closed. [any][nb][nr] */
  bp_status (*retain)(const bp_host* host, bp_ref ref);
  /* One owner less. At the last: submit on it is refused, what pends through it is cancelled, and
   * the endpoint's close runs after the last completion. [any][nb] */
  void (*close)(const bp_host* host, bp_ref ref);
  /* Starts op on op->target. See operation.h. A closed or stale target is FAILED_PRECONDITION, a
   * verb or flag that it does not have, or that was not granted, UNIMPLEMENTED. One thread's
   * operations on one endpoint start in the order of submit. [any][nb] */
  bp_status (*submit)(const bp_host* host, bp_op* op);
  /* Starts n operations, perhaps of several endpoints, which may share one request of the protocol.
   * All of them complete by `done`. Returns how many were taken: the first ones; the others are
   * unchanged. [any][nb] */
  uint32_t (*submit_n)(const bp_host* host, bp_op* const* ops, uint32_t n);
  /* A request: op still completes. A no-op after completion. The caller itself orders it before
   * op_free. [any][nb] */
  void (*cancel)(const bp_host* host, bp_op* op);
  /* n more messages may come. Adds up, saturates at UINT32_MAX, which means no limit. A message
   * costs one, the completion none. A no-op after completion. [any][nb][nr] */
  void (*credit)(const bp_host* host, bp_op* op, uint32_t n);
  /* Settles a message of a WATCH with BP_OP_ACK, in any order, once each. What is unsettled at the
   * end was not accepted. A no-op after completion. [any][nb][nr] */
  void (*ack)(const bp_host* host, bp_op* op, uint64_t seq, bp_status status);

  /* ---- the endpoint's side ---- */
  /* Finishes a pending operation; op->out and *op->error are set before. The endpoint does not
   * touch op afterwards. `done` runs before it returns, unless somebody is inside submit, next,
   * cancel, credit or ack of this operation: then when that returns, for the last two on the loop.
   * [any][nb] */
  void (*complete)(const bp_host* host, bp_op* op, bp_status status);
  /* Feeds a pending WATCH or BROWSE: counts, and calls the sink. Serial for each op: the endpoint
   * sees to that. PENDING: n is above the credit, and nothing was delivered. < 0: the consumer
   * ended the stream; complete with that status. [any][nb] */
  bp_status (*deliver)(const bp_host* host, bp_op* op, const bp_message* messages, uint32_t n);

  /* ---- the caller's side, continued ---- */
  /* What may be done with an open reference, as a mask of BP_VERB_BIT and BP_CAN_*: all else is
   * refused without asking the endpoint. 0: it is closed. [any][nb][nr] */
  uint32_t (*verbs)(const bp_host* host, bp_ref ref);
} bp_endpoint_service;

#ifdef __cplusplus
}
#endif
