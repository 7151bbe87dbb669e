/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and answers between processes, through channels (channel.h). Needs no kernel object.
 *
 * A responder has a key, by which requesters find it: a channel of requests, lossless, which it
 * alone subscribes to. Each requester has a channel of answers, a segment of POSIX with a random
 * name, which is gone with it. Request and answer are written where they are read.
 *
 * A request is answered once or never, and nothing is sent twice. Its requester is told when there
 * will be no answer: ABORTED, it was given back unanswered; UNAVAILABLE, within a second, the
 * responder has ended, however it did, and may have done what was asked or not.
 *
 * A requester or responder that is killed, wherever that is, stops nobody. What it leaves is
 * removed within a second by a responder that receives, and else by the next that opens one.
 *
 * A requester, or a responder, is for one thread at a time, and of the process that opened it: in a
 * child made by fork(2) its calls give FAILED_PRECONDITION. So [one thread] is: any thread, but
 * while it runs nothing else is called with the same object. `error` may be NULL everywhere; native
 * is an errno. Every function that has one may also give RESOURCE_EXHAUSTED, no memory or no
 * descriptors, and UNKNOWN with an errno that means none of what is said. What holds:
 * docs/channels.md.
 *
 * Who may open the key can write all of it, and is trusted as with channels. Between users both
 * sides need BP_CHANNEL_TRUST_OWNER, the responder too, since it opens what its requesters made.
 * Answers have the permissions of the key, and its group if their requester is in it. */
#pragma once

#include "channel.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bp_requester bp_requester;
typedef struct bp_responder bp_responder;

/* ---- answering ---- */

/* Sized; zero is a good value for every member but struct_size and the two sizes. Of a channel that
 * there is requesters, outstanding and permissions stay as they are, and the sizes if they suffice.
 * Memory, all of it given at the start: of the key (16 + 3 * requesters + outstanding) requests; of
 * each requester (3 + 2 * outstanding) answers. */
typedef struct bp_responder_options {
  uint32_t struct_size;
  uint32_t requesters;    /* at a time; 0: 16, at most 63 */
  uint64_t request_size;  /* bytes of the largest request; with its head of 16 less than 1 GiB */
  uint64_t response_size; /* bytes of the largest answer; likewise */
  uint32_t outstanding;   /* requests of one requester without an answer, and requests that the
                             responder may have at a time; the next power of two up to 1024; 0: 4 */
  uint32_t permissions;   /* of a new channel, as of chmod(2), whatever the umask; 0: 0600 */
  uint64_t spin_ns;       /* as of bp_subscriber_options */
  uint32_t flags;         /* BP_CHANNEL_TRUST_OWNER: requesters may be of other users */
  uint32_t reserved;      /* 0 */
} bp_responder_options;

/* A request that was received. Frozen. */
typedef struct bp_request {
  const void* data; /* aligned to 16 */
  uint64_t size;
  uint64_t requester;   /* whose it is: a random number */
  uint64_t number;      /* the requester's, from 1 on */
  uint64_t slot;        /* for the functions below */
  uint64_t passed_over; /* since the request before: samples that are none, or ask a responder that
                           was here before */
} bp_request;

/* Opens the channel of requests, or makes it; what was asked of a responder before is not asked
 * again. `options` is not NULL. `*out` is the caller's until bp_responder_close, NULL after an
 * error. INVALID_ARGUMENT: an anonymous key, or a value that cannot be. ALREADY_EXISTS: somebody
 * answers at that key. OUT_OF_RANGE: requesters have it open, of a responder with smaller sizes.
 * DATA_LOSS: what is there takes no requests, or is no channel. RESOURCE_EXHAUSTED: no memory, or
 * no thread. Other errors: as of bp_channel_open. [any] */
BP_EXPORT bp_status bp_responder_open(const bp_key* key, const bp_responder_options* options,
                                      bp_responder** out, bp_error* error);
/* Requests that it has are not answered. NULL is nothing. [one thread] */
BP_EXPORT void bp_responder_close(bp_responder* responder);

/* The next request, waited for until `deadline_ns` (monotonic; 0: for ever; in the past: not at
 * all). It is the responder's to read until it answers, or gives it back. What is no request is
 * passed over. DEADLINE_EXCEEDED: there was none. RESOURCE_EXHAUSTED: it has as many as
 * `outstanding`. DATA_LOSS: what is in the segment cannot be. FAILED_PRECONDITION: opened before
 * fork(2). [one thread] */
BP_EXPORT bp_status bp_responder_receive(bp_responder* responder, int64_t deadline_ns,
                                         bp_request* out, bp_error* error);
/* Memory for the answer, aligned to 16, the caller's until it answers. A second loan is instead of
 * the first, whoever it is for. Opens the requester's channel the first time, which takes a while.
 * UNAVAILABLE: the requester is gone. OUT_OF_RANGE: more than response_size, or the requester has
 * room for less. PERMISSION_DENIED: the requester is of another user. DATA_LOSS: what is in the
 * requester's segment cannot be. FAILED_PRECONDITION: opened before fork(2). Other errors: as of
 * bp_channel_open, for which it waits as that does, and of bp_publisher_open. After an error
 * nothing is loaned, and the request is still to be answered or given back. [one thread] */
BP_EXPORT bp_status bp_responder_loan(bp_responder* responder, const bp_request* request,
                                      uint64_t size, void** out, bp_error* error);
/* Answers with the first `size` bytes of what was loaned for this request, and gives it back; after
 * an error it is given back unanswered. FAILED_PRECONDITION: nothing is loaned for it, it was given
 * back before, or opened before fork(2). OUT_OF_RANGE: it was loaned for fewer bytes. UNAVAILABLE:
 * the requester is gone. DATA_LOSS: what is in the requester's segment cannot be.
 * DEADLINE_EXCEEDED: its channel is full, which these functions do not make so. Of the last two and
 * of UNAVAILABLE the requester is not told. Never waits for a requester, nor blocks, unless nothing
 * is loaned: then as bp_responder_release. [one thread] */
BP_EXPORT bp_status bp_responder_respond(bp_responder* responder, const bp_request* request,
                                         uint64_t size, bp_error* error);
/* Gives it back unanswered, which its requester is told, if its channel can be opened and is whole.
 * Opens it as bp_responder_loan. After fork(2), or of one that was given back before: nothing.
 * [one thread] */
BP_EXPORT void bp_responder_release(bp_responder* responder, const bp_request* request);

/* As bp_subscriber_descriptor. [one thread][nb] */
BP_EXPORT int32_t bp_responder_descriptor(bp_responder* responder, bp_error* error);

/* ---- asking ---- */

/* Sized. */
typedef struct bp_requester_options {
  uint32_t struct_size;
  uint32_t flags;   /* BP_CHANNEL_TRUST_OWNER: the responder may be of another user */
  uint64_t spin_ns; /* as of bp_subscriber_options */
} bp_requester_options;

/* An answer that was received. Frozen. */
typedef struct bp_response {
  const void* data; /* aligned to 16 */
  uint64_t size;
  uint64_t number;      /* of the request */
  uint64_t slot;        /* for bp_requester_release */
  uint64_t passed_over; /* since the answer before: answers that nobody waits for */
} bp_response;

/* `options` NULL: all zero. `*out` is the caller's until bp_requester_close, NULL after an error.
 * NOT_FOUND: there is no such key. DATA_LOSS: what is there takes no requests, or is no channel.
 * RESOURCE_EXHAUSTED: there are as many requesters as there may be, no memory for the answers, or
 * no thread. INVALID_ARGUMENT: an anonymous key, or an unknown option. Other errors: as of
 * bp_channel_open, of which this makes one. [any] */
BP_EXPORT bp_status bp_requester_open(const bp_key* key, const bp_requester_options* options,
                                      bp_requester** out, bp_error* error);
/* Answers that are to come are for nobody. NULL is nothing. [one thread] */
BP_EXPORT void bp_requester_close(bp_requester* requester);

/* Memory for a request, aligned to 16, the caller's until it is sent. OUT_OF_RANGE: more than
 * request_size. DATA_LOSS: what is in the segment cannot be. FAILED_PRECONDITION: opened before
 * fork(2). [one thread][nb] */
BP_EXPORT bp_status bp_requester_loan(bp_requester* requester, uint64_t size, void** out,
                                      bp_error* error);
/* Sends the first `size` bytes of what was loaned. `*number`: the request's. Waits for room until
 * `deadline_ns`, as bp_publisher_publish. It is still loaned after an error.
 * FAILED_PRECONDITION: nothing is loaned, or opened before fork(2). OUT_OF_RANGE: it was loaned for
 * fewer bytes. UNAVAILABLE: nobody answers, or who was asked before is gone, of which
 * bp_requester_receive tells. RESOURCE_EXHAUSTED: so many are without an answer as may be; receive
 * one, or forget it. DEADLINE_EXCEEDED: there was no room. DATA_LOSS: what is in the segment cannot
 * be. Nothing is sent after an error. [one thread] */
BP_EXPORT bp_status bp_requester_send(bp_requester* requester, uint64_t size, int64_t deadline_ns,
                                      uint64_t* number, bp_error* error);
/* The next answer, waited for until `deadline_ns`; those of several requests come as they were
 * answered. What nobody waits for is passed over. DEADLINE_EXCEEDED: there was none. ABORTED:
 * request `out->number` was given back unanswered; there is nothing to release. UNAVAILABLE: who
 * was asked is gone, so that there will be none to all that was asked; it may have done that.
 * FAILED_PRECONDITION: nothing was asked, or opened before fork(2). DATA_LOSS: answers were lost,
 * since more came than were waited for, and perhaps some of these, which are waited for no more; or
 * what is in the segment cannot be. RESOURCE_EXHAUSTED: `outstanding` answers are not released.
 * [one thread] */
BP_EXPORT bp_status bp_requester_receive(bp_requester* requester, int64_t deadline_ns,
                                         bp_response* out, bp_error* error);
/* Once for each answer that was received. [one thread][nb] */
BP_EXPORT void bp_requester_release(bp_requester* requester, const bp_response* response);
/* The answer to that request is not waited for any more, so that another may be sent. It is none
 * without an answer: nothing. [one thread][nb] */
BP_EXPORT void bp_requester_forget(bp_requester* requester, uint64_t number);

/* As bp_subscriber_descriptor, of answers and ABORTED; not readable when the responder is gone.
 * [one thread][nb] */
BP_EXPORT int32_t bp_requester_descriptor(bp_requester* requester, bp_error* error);

#ifdef __cplusplus
}
#endif
