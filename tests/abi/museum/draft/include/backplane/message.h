/* SPDX-License-Identifier: Apache-2.0 */
/* What travels: a body, headers, a time, a sequence number; and the counted buffer that may own
 * them. */
#pragma once

#include "value.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bp_buffer bp_buffer;

#define BP_BUFFER_HEAP 1u
#define BP_BUFFER_SHARED 2u  /* `region` names a shared memory segment; data lies in it */
#define BP_BUFFER_FOREIGN 3u /* memory of a library, wrapped */

/* Sized. */
typedef struct bp_buffer_ops {
  uint32_t struct_size;
  uint32_t kind;
  /* One more owner. [any][nb][nr] */
  void (*retain)(bp_buffer* buffer);
  /* One owner less; the last frees it. Stays callable after its producer was destroyed.
   * [any][nb][nr] */
  void (*release)(bp_buffer* buffer);
} bp_buffer_ops;

/* A counted block of memory. Written by its maker alone, before anybody else has seen it. Frozen:
 * 40 bytes. */
struct bp_buffer {
  const bp_buffer_ops* ops;
  void* data;
  uint64_t len;
  uint64_t cap;
  uint64_t region;
};

/* A body of tag NULL with LAST or INITIAL is no value: only the half-close, or only the headers
 * that came before the first value. */
#define BP_M_LAST 1u    /* the last of a stream in this direction: half-close */
#define BP_M_INITIAL 2u /* the state at the time of subscribing, not a change */
/* sent before with the same seq and not acknowledged: not a gap */
#define BP_M_REDELIVERED 4u

#define BP_TIME_NONE INT64_MIN

/* Borrowed by the receiver for the time of the call; who keeps it retains `owner`, or copies.
 * Frozen: one cache line. */
typedef struct bp_message {
  bp_value body;
  /* In wire order. A UINT key is an id of headers.h, set by a plugin or the application, never
   * copied from a peer; a STRING key is metadata of the wire. So no peer can forge its identity.
   * Unknown ones are carried, not dropped. */
  const bp_pair* headers;
  uint32_t n_headers;
  uint32_t flags;   /* BP_M_* */
  bp_buffer* owner; /* keeps body and headers alive; NULL: borrowed */
  int64_t time_ns;  /* the source's time since the Unix epoch, or BP_TIME_NONE */
  /* Of the source. Counts dropped messages too, so that a gap is a loss; a value READ with seq n
   * holds every change WATCHed up to n. 0: the source does not count; never 0 under BP_OP_ACK,
   * where it names one message of the operation. */
  uint64_t seq;
  uint64_t reserved;
} bp_message;

#ifdef __cplusplus
}
#endif
