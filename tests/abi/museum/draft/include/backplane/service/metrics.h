/* SPDX-License-Identifier: Apache-2.0 */
/* bp.metrics/1: counters and gauges of an instance. Names as in the Prometheus data model: lower
 * case, words joined by `_`, counters end in `_total`
 * (https://prometheus.io/docs/concepts/data_model/). */
#pragma once

#include "../host.h"
#include "../value.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BP_S_METRICS "bp.metrics/1"

#define BP_METRIC_COUNTER 1u /* only grows */
#define BP_METRIC_GAUGE 2u

/* Sized. */
typedef struct bp_metrics_service {
  uint32_t struct_size;
  uint32_t reserved;
  /* The metric of this instance with that name and those labels (pairs of strings, copied); the
   * same again gives the same id. INVALID_ARGUMENT: another kind, or a bad name;
   * RESOURCE_EXHAUSTED: too many. [any][nr] */
  bp_status (*define)(const bp_host* host, bp_str name, uint32_t kind, const bp_pair* labels,
                      uint32_t n_labels, uint64_t* id);
  /* Adds to a counter (delta > 0) or a gauge; an unknown id is ignored. [any][nb][nr] */
  void (*add)(const bp_host* host, uint64_t id, int64_t delta);
  /* The value of a gauge; an unknown id is ignored. [any][nb][nr] */
  void (*set)(const bp_host* host, uint64_t id, int64_t value);
} bp_metrics_service;

#ifdef __cplusplus
}
#endif
