/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and answers between processes, through channels (channel.h). Needs no kernel object.
 *
 * A responder has a key, by which requesters find it: a channel of requests, lossless, which it
 * alone subscribes to. Each requester has a channel of answers, which is gone with it. Request and
 * answer are written where they are read.
 *
 * A request is answered once or never: never, if the responder ends without it, which its requester
 * is told within a second (UNAVAILABLE), or if it gives the request back unanswered. Nothing is
 * sent twice. Of a requester that ends before its answer nothing is left; of
 * one that is killed before its first request was read, a segment that nobody has open, which
 * `backplane shm clean` removes.
 *
 * A requester, or a responder, is for one thread at a time, and of the process that opened it: in a
 * child made by fork(2) its calls give FAILED_PRECONDITION. `error` may be NULL everywhere; native
 * is an errno. Who may open the key is trusted as with channels. What holds: docs/channels.md. */
#pragma once

#include "channel.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bp_requester bp_requester;
typedef struct bp_responder bp_responder;

/* ---- answering ---- */

/* Sized; zero is a good value for every member but struct_size and the two sizes. */
typedef struct bp_responder_options {
  uint32_t struct_size;
  uint32_t requesters;    /* at a time; 0: 16, at most 63 */
  uint64_t request_size;  /* bytes of the largest request */
  uint64_t response_size; /* bytes of the largest answer */
  uint32_t
      outstanding; /* requests of one requester without an answer; the next power of two; 0: 4 */
  uint32_t permissions; /* of a new channel, as of chmod(2), whatever the umask; 0: 0600 */
  uint64_t spin_ns;     /* as of bp_subscriber_options */
  uint32_t flags;       /* BP_CHANNEL_TRUST_OWNER */
  uint32_t reserved;    /* 0 */
} bp_responder_options;

/* A request that was received. Frozen. */
typedef struct bp_request {
  const void* data; /* aligned to 16 */
  uint64_t size;
  uint64_t requester; /* whose it is: a random number */
  uint64_t number;    /* the requester's, from 1 on */
  uint64_t slot;      /* for the functions below */
} bp_request;

/* Opens the channel of requests, or makes it; what was asked of a responder before is not asked
 * again. `*out` is the caller's until bp_responder_close. ALREADY_EXISTS: somebody answers at that
 * key. INVALID_ARGUMENT: an anonymous key. OUT_OF_RANGE: requesters have it open, of a responder
 * with smaller sizes. Other errors: as of bp_channel_open. [any] */
BP_EXPORT bp_status bp_responder_open(const bp_key* key, const bp_responder_options* options,
                                      bp_responder** out, bp_error* error);
/* Requests that it has are not answered. NULL is nothing. [any] */
BP_EXPORT void bp_responder_close(bp_responder* responder);

/* The next request, as bp_subscriber_receive. It is the responder's to read until it answers, or
 * gives it back; several may be had at once, as many as `outstanding`. [one thread] */
BP_EXPORT bp_status bp_responder_receive(bp_responder* responder, int64_t deadline_ns,
                                         bp_request* out, bp_error* error);
/* Memory for the answer, aligned to 16. A second loan is instead of the first, whoever it is for.
 * UNAVAILABLE: the requester is gone. OUT_OF_RANGE: more than response_size. Opens the requester's
 * channel the first time. [one thread] */
BP_EXPORT bp_status bp_responder_loan(bp_responder* responder, const bp_request* request,
                                      uint64_t size, void** out, bp_error* error);
/* Answers with the first `size` bytes of what was loaned for this request, and gives it back, also
 * after an error. FAILED_PRECONDITION: nothing is loaned for it. UNAVAILABLE: the requester is
 * gone. OUT_OF_RANGE: it was loaned for fewer bytes. Never waits for a requester. [one thread][nb]
 */
BP_EXPORT bp_status bp_responder_respond(bp_responder* responder, const bp_request* request,
                                         uint64_t size, bp_error* error);
/* Gives it back unanswered. [one thread][nb] */
BP_EXPORT void bp_responder_release(bp_responder* responder, const bp_request* request);

/* As bp_subscriber_descriptor. [one thread][nb] */
BP_EXPORT int32_t bp_responder_descriptor(bp_responder* responder, bp_error* error);

/* ---- asking ---- */

/* Sized. */
typedef struct bp_requester_options {
  uint32_t struct_size;
  uint32_t flags;   /* BP_CHANNEL_TRUST_OWNER */
  uint64_t spin_ns; /* as of bp_subscriber_options */
} bp_requester_options;

/* An answer that was received. Frozen. */
typedef struct bp_response {
  const void* data; /* aligned to 16 */
  uint64_t size;
  uint64_t number; /* of the request */
  uint64_t slot;   /* for bp_requester_release */
} bp_response;

/* `options` NULL: all zero. `*out` is the caller's until bp_requester_close. NOT_FOUND: there is no
 * such key. DATA_LOSS: what is there takes no requests. RESOURCE_EXHAUSTED: there are as many
 * requesters as there may be. Other errors: as of bp_channel_open, of which this makes one. [any]
 */
BP_EXPORT bp_status bp_requester_open(const bp_key* key, const bp_requester_options* options,
                                      bp_requester** out, bp_error* error);
/* Answers that are to come are for nobody. NULL is nothing. [any] */
BP_EXPORT void bp_requester_close(bp_requester* requester);

/* Memory for a request, aligned to 16. OUT_OF_RANGE: more than request_size. [one thread][nb] */
BP_EXPORT bp_status bp_requester_loan(bp_requester* requester, uint64_t size, void** out,
                                      bp_error* error);
/* Sends the first `size` bytes of what was loaned. `*number`: the request's. Waits for room until
 * `deadline_ns`, as bp_publisher_publish. UNAVAILABLE: nobody answers. RESOURCE_EXHAUSTED: so many
 * are without an answer as may be; receive one. It is still loaned after an error. [one thread] */
BP_EXPORT bp_status bp_requester_send(bp_requester* requester, uint64_t size, int64_t deadline_ns,
                                      uint64_t* number, bp_error* error);
/* The next answer, waited for until `deadline_ns`; those of several requests come as they were
 * answered. DEADLINE_EXCEEDED: there was none. UNAVAILABLE: who was asked is gone, so that there
 * will be none to all that was asked. FAILED_PRECONDITION: nothing was asked. [one thread] */
BP_EXPORT bp_status bp_requester_receive(bp_requester* requester, int64_t deadline_ns,
                                         bp_response* out, bp_error* error);
/* Once for each answer that was received. [one thread][nb] */
BP_EXPORT void bp_requester_release(bp_requester* requester, const bp_response* response);

/* As bp_subscriber_descriptor; not readable when the responder is gone. [one thread][nb] */
BP_EXPORT int32_t bp_requester_descriptor(bp_requester* requester, bp_error* error);

#ifdef __cplusplus
}
#endif
