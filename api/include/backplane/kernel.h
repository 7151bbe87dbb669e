/* SPDX-License-Identifier: Apache-2.0 */
/* The embedding API: plain exported functions of libbackplane. An application gets a bp_host like a
 * plugin's, with all services. */
#pragma once

#include "host.h"
#include "plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bp_kernel bp_kernel;

/* Frozen: 64 bytes. All strings are borrowed for the call that shows it. */
typedef struct bp_log_record {
  int64_t time_ns; /* since the Unix epoch */
  uint32_t level;  /* BP_LOG_* of service/log.h */
  uint32_t n_fields;
  bp_str instance;
  bp_str message;
  const struct bp_pair* fields;
  uint64_t reserved;
} bp_log_record;

/* Sized; zero is a good value for every member but struct_size. */
typedef struct bp_kernel_options {
  uint32_t struct_size;
  uint32_t flags; /* BP_KERNEL_* */
  bp_str
      plugin_folders; /* where libraries are, colon-separated; empty: those of this installation */
  bp_str manifest_folders; /* where plugin manifests are, colon-separated; empty: those of this
                              installation */
  uint32_t log_level;      /* BP_LOG_*; 0: BP_LOG_INFO */
  uint32_t reserved;       /* 0 */
  void (*log)(void* user,
              const bp_log_record*
                  record); /* NULL: lines on standard error. Called from any thread. [any] */
  void* user;
} bp_kernel_options;
/* abort on a breach of the contract instead of logging it: for tests */
#define BP_KERNEL_CHECKED 1u

#define BP_DIAGNOSTIC_ERROR 1u
#define BP_DIAGNOSTIC_WARNING 2u
/* What a manifest has wrong; strings are borrowed for the call. Frozen: 48 bytes. */
typedef struct bp_diagnostic {
  bp_str file;
  uint32_t line; /* from 1; 0: unknown */
  uint32_t column;
  uint32_t severity;
  uint32_t reserved;
  bp_str message;
} bp_diagnostic;

/* What runs; strings are borrowed for the call. Sized. */
typedef struct bp_instance_info {
  uint32_t struct_size;
  uint32_t life;  /* BP_LIFE_* */
  uint32_t state; /* BP_STATE_* of service/state.h */
  uint32_t reserved;
  bp_str name;
  bp_str plugin;
  bp_str detail;       /* of the state */
  uint64_t operations; /* submitted to its endpoints */
  uint64_t pending;    /* of these, not completed yet */
  uint64_t failed;     /* completed with an error; cancellation excepted */
  uint64_t delivered;  /* messages of its streams */
  uint64_t open_references;
  uint64_t buffers; /* not released yet */
} bp_instance_info;
#define BP_LIFE_LOADED 0u
#define BP_LIFE_CREATED 1u
#define BP_LIFE_STARTED 2u
#define BP_LIFE_DRAINING 3u /* or drained */
#define BP_LIFE_STOPPED 4u
#define BP_LIFE_DESTROYED 5u
#define BP_LIFE_FAILED 6u
#define BP_LIFE_QUARANTINED 7u

/* A metric's value; strings are borrowed for the call. Sized. */
typedef struct bp_metric_info {
  uint32_t struct_size;
  uint32_t kind; /* BP_METRIC_* of service/metrics.h */
  bp_str instance;
  bp_str name;
  const struct bp_pair* labels;
  uint64_t n_labels;
  int64_t value;
} bp_metric_info;

/* A plugin that is known by its manifest; strings are borrowed for the call. Sized. */
typedef struct bp_plugin_info {
  uint32_t struct_size;
  uint32_t flags; /* BP_PLUGIN_INFO_LOADED */
  bp_str id;
  bp_str version;
  bp_str description;
  bp_str schemes; /* space-separated */
  bp_str library; /* path; empty: built in */
  bp_str manifest;
} bp_plugin_info;
#define BP_PLUGIN_INFO_LOADED 1u

/* The version of the library, as "0.1.0". [any][nb] */
BP_EXPORT bp_str bp_kernel_version(void);

/* A kernel that knows the plugins of its folders, by their manifests; no plugin's code is mapped.
 * `options` may be NULL and is borrowed. INVALID_ARGUMENT: a plugin manifest is wrong (the first
 * mistake is in the error; load reports all). Reads files. [any] */
BP_EXPORT bp_status bp_kernel_create(const bp_kernel_options* options, bp_kernel** out,
                                     bp_error* error);

/* Adds a plugin that is linked into the application, with the text of its manifest (TOML, without
 * `library`). Before load. INVALID_ARGUMENT: the manifest is wrong; FAILED_PRECONDITION: the kernel
 * has started. [any] */
BP_EXPORT bp_status bp_kernel_add_plugin(bp_kernel* kernel, bp_plugin_entry entry, bp_str manifest,
                                         bp_error* error);

/* Reads and checks a system manifest and its drop-in folder, `FILE.d`. Every mistake is given to
 * `report` (may be NULL), in the order of the text; nothing is mapped or started. INVALID_ARGUMENT:
 * it has errors, and start is refused until one without is loaded. Once for a kernel, before start:
 * else FAILED_PRECONDITION. Blocks on files. [any] */
BP_EXPORT bp_status bp_kernel_load(bp_kernel* kernel, bp_str path,
                                   void (*report)(void* user, const bp_diagnostic* diagnostic),
                                   void* user, bp_error* error);
/* The same from memory; `name` stands for the file in diagnostics. [any] */
BP_EXPORT bp_status bp_kernel_load_text(bp_kernel* kernel, bp_str name, bp_str text,
                                        void (*report)(void* user, const bp_diagnostic* diagnostic),
                                        void* user, bp_error* error);

/* Maps the plugins that the manifest uses, then creates and starts its instances in the order of
 * their dependencies. On an error everything that had started is stopped again. Without a loaded
 * manifest there is nothing to start, and URLs can be opened. Blocks until all have started.
 * FAILED_PRECONDITION: a plugin is refused, the manifest was, this is a loop thread, or the kernel
 * was started before; else what the first instance that fails says. [any] */
BP_EXPORT bp_status bp_kernel_start(bp_kernel* kernel, bp_error* error);

/* Has every instance finish what it has begun and take nothing new, in the reverse order of their
 * start, each within `stop_timeout_s`. What is open and connected stays so until bp_kernel_stop:
 * the time to look at what has arrived. New opens are refused. Returns the first error; the drain
 * goes on regardless. Idempotent. Blocks; FAILED_PRECONDITION on a loop thread; never inside `done`
 * or `next`. [any] */
BP_EXPORT bp_status bp_kernel_drain(bp_kernel* kernel, bp_error* error);

/* Drains, then stops all instances in the reverse order of their start, each within its deadline.
 * Returns the first error; the stop goes on regardless. Idempotent. Blocks; FAILED_PRECONDITION on
 * a loop thread; never inside `done` or `next`. [any] */
BP_EXPORT bp_status bp_kernel_stop(bp_kernel* kernel, bp_error* error);

/* Stops if need be, and frees. References, operations and the host are invalid afterwards. What a
 * quarantined instance or a task that does not return may still use is never freed. Blocks. [any]
 */
BP_EXPORT void bp_kernel_destroy(bp_kernel* kernel);

/* The application's own host: all services, all permissions. Valid until bp_kernel_destroy.
 * [any][nb] */
BP_EXPORT const bp_host* bp_kernel_host(bp_kernel* kernel);

/* A snapshot, one call of `visit` an entry, on this thread. `visit` must not call bp_kernel_*
 * functions. [any] */
BP_EXPORT void bp_kernel_visit_instances(bp_kernel* kernel,
                                         void (*visit)(void* user, const bp_instance_info* info),
                                         void* user);
/* The metrics that instances defined, and contract_breaches_total. As above. [any] */
BP_EXPORT void bp_kernel_visit_metrics(bp_kernel* kernel,
                                       void (*visit)(void* user, const bp_metric_info* info),
                                       void* user);
/* The plugins that are known by their manifests. As above. [any] */
BP_EXPORT void bp_kernel_visit_plugins(bp_kernel* kernel,
                                       void (*visit)(void* user, const bp_plugin_info* info),
                                       void* user);

#ifdef __cplusplus
}
#endif
