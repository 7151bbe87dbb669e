/* SPDX-License-Identifier: Apache-2.0 */
/* What a plugin is: one shared library with one exported symbol, bp_plugin_entry_1.
 *
 * States of an instance: create -> start -> drain -> stop -> destroy; from any of them stop and
 * destroy may follow. start, drain and stop are operations: they have a deadline and may pend
 * (complete() of service/endpoint.h). An instance that misses the deadline of its stop is
 * quarantined: its endpoints answer UNAVAILABLE, it is never destroyed, the process goes on. */
#pragma once

#include "endpoint.h"
#include "host.h"

#ifdef __cplusplus
extern "C" {
#endif

/* this kernel checks more than it must: contract breaches are logged, or abort in tests */
#define BP_OFFER_CHECKED 1u
#define BP_OFFER_ISOLATED 2u /* this process is the host of one isolated plugin */

/* Kernel to plugin. Sized. */
typedef struct bp_offer {
  uint32_t struct_size;
  uint16_t minor_min; /* the oldest and the newest ABI minor that this kernel speaks */
  uint16_t minor_max;
  uint32_t flags;
  uint32_t reserved;
  bp_str kernel_version;
} bp_offer;

#define BP_PLUGIN_MULTI_INSTANCE 1u /* more than one instance may exist at a time */
/* it has threads of its own; all of them end before stop completes, resident ones excepted */
#define BP_PLUGIN_OWN_THREADS 2u

/* Plugin to kernel: static and immutable. Sized. create, start, drain, stop, destroy and open are
 * mandatory. */
typedef struct bp_plugin {
  uint32_t struct_size;
  uint16_t minor_built;  /* informs */
  uint16_t minor_needed; /* decides */
  bp_str id;             /* equal to the plugin manifest's, or the load is refused */
  bp_str version;        /* likewise */
  uint64_t flags;        /* BP_PLUGIN_* */
  const char* const*
      needs; /* ids of services, NULL-terminated; equal to the manifest's `services.needed` */
  /* A new instance from its configuration: a MAP that satisfies the schema of the plugin's
   * manifest, with its defaults filled in, borrowed for the call. May fetch services; submits
   * nothing, starts no thread. [control][nb] */
  bp_status (*create)(const bp_host* host, const bp_value* config, void** instance,
                      bp_error* error);
  /* Begins its work. A peer that is absent is no reason to fail: connect again and again, and say
   * so (service/state.h). [control][nb] */
  bp_status (*start)(void* instance, bp_op* op);
  /* Takes no new work and finishes the old: when it completes, the instance begins nothing by
   * itself any more, and no message that it was given waits for its acknowledgement. Every instance
   * drains before the first one stops, whoever uses others before these. [control][nb] */
  bp_status (*drain)(void* instance, bp_op* op);
  /* When it completes: no pending operation, no open stream, no task, and no thread but resident
   * ones. Retained buffers may outlive it. [control][nb] */
  bp_status (*stop)(void* instance, bp_op* op);
  /* Frees the instance that create made, after a completed stop or instead of one when it was never
   * started. [control][nb] */
  void (*destroy)(void* instance);
  /* The endpoint of a path, which is borrowed for the call; `options` may be NULL, and is borrowed
   * until completion. *out is valid until completion and is filled by then. A path in the wrong
   * notation is INVALID_ARGUMENT, one that a listening instance does not have NOT_FOUND. [any][nb]
   */
  bp_status (*open)(void* instance, bp_str path, const bp_message* options, bp_op* op,
                    bp_endpoint* out);
  /* Optional: asks a pending open, start, drain or stop to complete soon. [any][nb] */
  void (*cancel)(void* instance, bp_op* op);
} bp_plugin;

typedef bp_status (*bp_plugin_entry)(const bp_offer* offer, const bp_plugin** out, bp_error* error);

/* The one exported symbol. Starts no thread, opens nothing, prints nothing; each call gives the
 * same table. Refuses an offer that it cannot work with, with a text. [control][nb] */
BP_EXPORT bp_status bp_plugin_entry_1(const bp_offer* offer, const bp_plugin** out,
                                      bp_error* error);

#ifdef __cplusplus
}
#endif
