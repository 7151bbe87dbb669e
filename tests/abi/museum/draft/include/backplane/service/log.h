/* SPDX-License-Identifier: Apache-2.0 */
/* bp.log/1: structured records. The kernel adds time and instance. No secret is ever logged. */
#pragma once

#include "../host.h"
#include "../value.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BP_S_LOG "bp.log/1"

#define BP_LOG_ERROR 1u   /* somebody must act */
#define BP_LOG_WARNING 2u /* the system helped itself, or will */
#define BP_LOG_INFO 3u    /* changes of state */
#define BP_LOG_DEBUG 4u
#define BP_LOG_TRACE 5u /* each message */

/* Sized. */
typedef struct bp_log_service {
  uint32_t struct_size;
  uint32_t reserved;
  /* One record; everything is borrowed for the call. Dropped when level > *host->log_level.
   * `fields` may be NULL. [any][nb][nr] */
  void (*write)(const bp_host* host, uint32_t level, bp_str message, const bp_pair* fields,
                uint32_t n_fields);
} bp_log_service;

#ifdef __cplusplus
}
#endif
