/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel as one instance sees it. It stays this small: all else is a named service, one header
 * each in service/. */
#pragma once

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bp_host bp_host;

/* Sized. One for each instance, and one for the application; valid from create until destroy
 * returns. */
struct bp_host {
  uint32_t struct_size;
  uint32_t abi_minor; /* what this kernel has */
  const uint32_t*
      log_level;   /* records above it are dropped unseen: look before you format (service/log.h) */
  bp_str instance; /* the instance's name */
  /* The table of a service, valid as long as the host, or NULL: absent, not asked for in the
   * plugin's manifest, or denied. Slots that this kernel does not have are stubs, never NULL, up to
   * the size that the reader knows. [control][nb] */
  const void* (*get_service)(const bp_host* host, const char* id);
  bp_str system; /* [system] name of the manifest; empty: it has none, or there is no manifest */
};

#ifdef __cplusplus
}
#endif
