/* SPDX-License-Identifier: Apache-2.0 */
/* What every header of the ABI uses: status numbers, strings, references, errors.
 *
 * Marks at the end of each function's comment:
 *   [control]  called on the kernel's control thread, one call at a time
 *   [any]      called on any thread, concurrently; allowed inside `done` and `next`
 *   [one thread] called on any thread; while it runs, nothing else is called with that object
 *   [nb]       never blocks and never waits for another thread's work
 *   [nr]       never calls back into its caller
 * Units: times are nanoseconds; monotonic ones count from CLOCK_MONOTONIC's start, the others from
 * the Unix epoch. A struct is frozen (its size never changes) or sized (first member struct_size;
 * it only grows at its end). Of a sized struct, an offered table may be longer than what the reader
 * knows; a request's unknown tail must be zero. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BP_ABI_MAJOR 1u /* also in the name of a plugin's entry symbol */
#define BP_ABI_MINOR 0u

#define BP_EXPORT __attribute__((visibility("default")))
/* The size of T up to and with its member: padding behind the last member never counts. */
#define BP_SIZE_TO(T, member) ((uint32_t)(offsetof(T, member) + sizeof(((T*)0)->member)))

/* < 0 an error, 0 done, 1 pending. An unknown error number means BP_UNKNOWN. The errors are the
 * canonical codes of gRPC, negated (https://grpc.io/docs/guides/status-codes/). "Retry" says
 * whether the same call may succeed later, unchanged. */
typedef int32_t bp_status;
#define BP_OK 0
#define BP_PENDING 1
#define BP_CANCELLED (-1)         /* the caller cancelled, or closed what it used */
#define BP_UNKNOWN (-2)           /* nothing better is known */
#define BP_INVALID_ARGUMENT (-3)  /* the caller's fault, whatever the state: do not retry */
#define BP_DEADLINE_EXCEEDED (-4) /* retry; the effect may have happened */
#define BP_NOT_FOUND (-5)         /* no such address, instance, plugin */
#define BP_ALREADY_EXISTS (-6)
#define BP_PERMISSION_DENIED (-7)  /* known caller, not allowed: do not retry */
#define BP_RESOURCE_EXHAUSTED (-8) /* a bound was reached: retry later, with back-off */
/* not in this state; closed or stale reference: do not retry before the state changed */
#define BP_FAILED_PRECONDITION (-9)
#define BP_ABORTED (-10)
#define BP_OUT_OF_RANGE (-11)
#define BP_UNIMPLEMENTED (-12) /* this endpoint has no such verb or option */
#define BP_INTERNAL (-13)      /* a bug, named in the message */
#define BP_UNAVAILABLE (-14)   /* peer or instance not reachable now: retry with back-off */
#define BP_DATA_LOSS (-15)
#define BP_UNAUTHENTICATED (-16) /* the peer refused the credentials */

/* UTF-8, not NUL-terminated; ptr may be NULL when len is 0. Frozen. */
typedef struct bp_str {
  const char* ptr;
  uint64_t len;
} bp_str;
/* Initialiser of a bp_str from a string literal. */
#define BP_STR(literal) \
  { (literal), sizeof(literal) - 1u }

/* A reference to an open endpoint: index and generation, never a pointer; 0 is none. A closed one
 * is never valid again. */
typedef uint64_t bp_ref;

/* What went wrong, owned by the caller: no release, crosses processes. Frozen: 256 bytes. */
typedef struct bp_error {
  uint32_t reserved0;
  int32_t code; /* bp_status */
  int32_t
      native; /* the protocol's own number: MQTT reason code, CoAP 404, OPC UA StatusCode, errno */
  uint32_t flags;  /* BP_ERROR_RETRY, BP_ERROR_TRUNCATED */
  char domain[16]; /* of `native`: "mqtt", "coap", "opcua", "errno"; NUL-padded */
  uint32_t message_len;
  uint32_t reserved1;
  char message[216]; /* what happened, where, and what to do; UTF-8, not NUL-terminated */
} bp_error;
#define BP_ERROR_RETRY 1u     /* the same call may succeed later */
#define BP_ERROR_TRUNCATED 2u /* message was cut at its bound */

#ifdef __cplusplus
}
#endif
