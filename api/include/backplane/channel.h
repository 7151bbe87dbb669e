/* SPDX-License-Identifier: Apache-2.0 */
/* Channels: samples from many publishers to many subscribers, through shared memory, without a
 * copy. Needs no kernel object and no other process.
 *
 * A channel is a segment of shared memory (shared_memory.h) with a ring of its last `capacity`
 * samples. A publisher loans memory in it, writes there, and publishes; each subscriber gets every
 * sample from when it came, in one order for all, and reads it where it was written. Nothing is
 * locked: whoever is killed or stopped, at whatever instant, stops nobody, but for a lossless
 * channel whose subscriber is stopped. What a killed one held is free within a second while another
 * has a publisher or subscriber of the channel, or when it is opened next; its threads must have
 * ended by then, which a core dump delays. A publisher that was killed has published a sample or
 * has not.
 *
 * A subscriber that is more than `capacity` samples behind loses the oldest, and is told how many;
 * with BP_CHANNEL_LOSSLESS publishers wait for the slowest subscriber instead.
 *
 * A publisher, or a subscriber, is for one thread at a time, and of the process that opened it: in
 * a child made by fork(2) its calls give FAILED_PRECONDITION. So [one thread] is: any thread, but
 * while it runs nothing else is called with the same object. A channel is for all threads at once,
 * until it is closed. `error` may be NULL everywhere; native is an errno. Every function that has
 * one may also give RESOURCE_EXHAUSTED, no memory or no descriptors, and UNKNOWN with an errno that
 * means none of what is said. Who may open a channel can write all of it: what cannot be there is
 * DATA_LOSS. One of POSIX they can also cut, which is SIGBUS for the others.
 *
 * What holds, and why: docs/channels.md. Sources: futex(2), unix(7), shm_overview(7). */
#pragma once

#include "native_key.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bp_channel bp_channel;
typedef struct bp_publisher bp_publisher;
typedef struct bp_subscriber bp_subscriber;

/* Which channel is opened. */
#define BP_CHANNEL_EXISTING 0u /* one that there is, or NOT_FOUND */
#define BP_CHANNEL_ANY 1u      /* one that there is, else a new one */
#define BP_CHANNEL_NEW 2u      /* a new one, or ALREADY_EXISTS */

#define BP_CHANNEL_LOSSLESS 1u    /* publishers wait; of one that there is: it must be so */
#define BP_CHANNEL_HUGE_PAGES 2u  /* of a new one, as BP_MEMORY_HUGE_PAGES */
#define BP_CHANNEL_TRUST_OWNER 4u /* as BP_MEMORY_TRUST_OWNER */

/* Sized; zero is a good value for every member but struct_size, and sample_size of a new one. What
 * there is stays as its maker said. Memory: (capacity + 3 * publishers + held * subscribers)
 * samples, all of it given when it is made. */
typedef struct bp_channel_options {
  uint32_t struct_size;
  uint32_t which;       /* BP_CHANNEL_EXISTING to BP_CHANNEL_NEW */
  uint64_t sample_size; /* bytes of the largest sample, less than 1 GiB; of one that there is: the
                           least */
  uint32_t capacity;    /* samples that it remembers; the next power of two, up to 32768; 0: 16 */
  uint32_t held;        /* samples that a subscriber may have at a time; 0: 2 */
  uint32_t publishers;  /* at a time; 0: 4 */
  uint32_t subscribers; /* at a time; 0: 8; with publishers at most 64 */
  uint32_t permissions; /* of a new one, as of chmod(2), whatever the umask; 0: 0600 */
  uint32_t flags;       /* BP_CHANNEL_* */
} bp_channel_options;

/* Opens, or makes. `options` NULL: all zero. `*out` is the caller's until bp_channel_close, NULL
 * after an error. One with an anonymous key is always new.
 * INVALID_ARGUMENT: no sample_size for a new one, or 1 GiB or more, an unknown option, more than 64
 * publishers and subscribers or 65535 samples. OUT_OF_RANGE: there is one with smaller samples.
 * DATA_LOSS: what is there is no channel, or one of another version, or damaged.
 * FAILED_PRECONDITION: it is not lossless. ABORTED: others make and remove it all the time. Other
 * errors: as of bp_memory_open, for which it waits as that does. [any] */
BP_EXPORT bp_status bp_channel_open(const bp_key* key, const bp_channel_options* options,
                                    bp_channel** out, bp_error* error);
/* Opens what another process gave by bp_channel_descriptor, which stays the caller's. Of `options`
 * sample_size, BP_CHANNEL_LOSSLESS and BP_CHANNEL_TRUST_OWNER count. Errors: as above, and as of
 * bp_memory_adopt. [any] */
BP_EXPORT bp_status bp_channel_adopt(int32_t descriptor, const bp_channel_options* options,
                                     bp_channel** out, bp_error* error);
/* Its publishers and subscribers go on. If there are none, as bp_memory_close. NULL is nothing.
 * [one thread] */
BP_EXPORT void bp_channel_close(bp_channel* channel);
/* As bp_memory_descriptor: of one with an anonymous key. Errors: the same. [any] */
BP_EXPORT int32_t bp_channel_descriptor(bp_channel* channel, bp_error* error);
/* Takes the channel from its key; who has it open goes on. Errors: as of bp_memory_remove. [any] */
BP_EXPORT bp_status bp_channel_remove(const bp_key* key, bp_error* error);

/* What a channel is, and what is done with it at this instant. Sized. */
typedef struct bp_channel_info {
  uint32_t struct_size;
  uint32_t flags; /* BP_CHANNEL_LOSSLESS */
  uint64_t sample_size;
  uint64_t published; /* samples so far */
  uint32_t capacity;
  uint32_t held;
  uint32_t publishers;    /* that there may be */
  uint32_t subscribers;   /* that there may be */
  uint32_t n_publishers;  /* that there are */
  uint32_t n_subscribers; /* that there are */
  uint64_t most_behind;   /* samples that the slowest subscriber has not received */
} bp_channel_info;
/* INVALID_ARGUMENT: struct_size. [any][nb] */
BP_EXPORT bp_status bp_channel_get_info(bp_channel* channel, bp_channel_info* out, bp_error* error);

/* ---- publishing ---- */

/* `*out` is the caller's until bp_publisher_close, NULL after an error. RESOURCE_EXHAUSTED: there
 * are as many as there may be, no thread, or no descriptor. FAILED_PRECONDITION: the channel was
 * opened before fork(2). PERMISSION_DENIED: this process may make no local sockets. [any] */
BP_EXPORT bp_status bp_publisher_open(bp_channel* channel, bp_publisher** out, bp_error* error);
/* What it has loaned is given back. NULL is nothing. [one thread] */
BP_EXPORT void bp_publisher_close(bp_publisher* publisher);

/* Memory for a sample of `size` bytes, aligned to 32, from 41 bytes on to 64: the publisher's until
 * it is published. A second loan before that is instead of the first, whose memory it may be. Its
 * bytes are what an earlier sample left. OUT_OF_RANGE: more than sample_size. DATA_LOSS: what is
 * in the segment cannot be, since no slot is free. FAILED_PRECONDITION: opened before fork(2).
 * [one thread][nb] */
BP_EXPORT bp_status bp_publisher_loan(bp_publisher* publisher, uint64_t size, void** out,
                                      bp_error* error);
/* Publishes the first `size` bytes of what was loaned. Of a lossless channel it waits for room
 * until `deadline_ns` (monotonic; 0: for ever; in the past: not at all); others never wait.
 * FAILED_PRECONDITION: nothing is loaned, or opened before fork(2). OUT_OF_RANGE: it was loaned for
 * fewer bytes. DEADLINE_EXCEEDED: a subscriber has not received what this would overwrite.
 * DATA_LOSS: what is in the segment cannot be. Nothing is published after an error, and it is still
 * loaned. [one thread] */
BP_EXPORT bp_status bp_publisher_publish(bp_publisher* publisher, uint64_t size,
                                         int64_t deadline_ns, bp_error* error);

/* ---- subscribing ---- */

/* A sample that was received. Frozen. */
typedef struct bp_sample {
  const void* data; /* aligned as it was loaned */
  uint64_t size;
  uint64_t sequence; /* how many were published before it */
  uint64_t lost;     /* samples between it and the one received before that this one never gets */
  uint64_t slot;     /* for bp_subscriber_release */
} bp_sample;

/* Sized. */
typedef struct bp_subscriber_options {
  uint32_t struct_size;
  uint32_t history; /* samples of before that it gets first, as far as they are there; no more than
                       capacity, of a lossless channel fewer */
  uint64_t spin_ns; /* how long it looks without sleeping when it waits; UINT64_MAX: always, which
                       takes a core and answers in less than a microsecond */
} bp_subscriber_options;

/* `options` NULL: all zero. `*out` is the caller's until bp_subscriber_close, NULL after an error.
 * INVALID_ARGUMENT: more history than that, or an unknown option. Other errors: as of
 * bp_publisher_open. [any] */
BP_EXPORT bp_status bp_subscriber_open(bp_channel* channel, const bp_subscriber_options* options,
                                       bp_subscriber** out, bp_error* error);
/* What it holds is given back. NULL is nothing. [one thread] */
BP_EXPORT void bp_subscriber_close(bp_subscriber* subscriber);

/* The next sample, waited for until `deadline_ns` (as above). It is the subscriber's to read until
 * bp_subscriber_release. DEADLINE_EXCEEDED: there was none. RESOURCE_EXHAUSTED: as many are held as
 * may be. DATA_LOSS: what is in the segment cannot be. FAILED_PRECONDITION: opened before fork(2).
 * [one thread] */
BP_EXPORT bp_status bp_subscriber_receive(bp_subscriber* subscriber, int64_t deadline_ns,
                                          bp_sample* out, bp_error* error);
/* Once for each sample that was received, in any order. [one thread][nb] */
BP_EXPORT void bp_subscriber_release(bp_subscriber* subscriber, const bp_sample* sample);

/* A descriptor for poll(2), the subscriber's: it is readable when there is a sample, after
 * bp_subscriber_receive has found none; it may be so when there is none, and everybody on the
 * machine can make it so. It is found by publishers of the same network namespace.
 * RESOURCE_EXHAUSTED: no descriptors. FAILED_PRECONDITION: opened before fork(2).
 * PERMISSION_DENIED: this process may make no local sockets. -1 after an error.
 * [one thread][nb] */
BP_EXPORT int32_t bp_subscriber_descriptor(bp_subscriber* subscriber, bp_error* error);

#ifdef __cplusplus
}
#endif
