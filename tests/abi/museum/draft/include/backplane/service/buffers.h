/* SPDX-License-Identifier: Apache-2.0 */
/* bp.buffers/1: counted buffers, and who still holds some. */
#pragma once

#include "../host.h"
#include "../message.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BP_S_BUFFERS "bp.buffers/1"

/* Sized. */
typedef struct bp_buffers_service {
  uint32_t struct_size;
  uint32_t reserved;
  /* A buffer with one owner, 16-aligned, len = cap = length, its content undefined.
   * RESOURCE_EXHAUSTED: no memory. [any][nb][nr] */
  bp_status (*allocate)(const bp_host* host, uint64_t length, bp_buffer** out);
} bp_buffers_service;

#ifdef __cplusplus
}
#endif
