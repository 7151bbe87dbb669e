/* SPDX-License-Identifier: Apache-2.0 */
/* bp.credentials/1: secrets and TLS material, by reference. An instance gets those that its
 * configuration names, no others. */
#pragma once

#include "../host.h"
#include "../message.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BP_S_CREDENTIALS "bp.credentials/1"

/* the path of a file with the content, for libraries that want one */
#define BP_CREDENTIAL_AS_FILE 1u

/* Sized. */
typedef struct bp_credentials_service {
  uint32_t struct_size;
  uint32_t reserved;
  /* The field (certificate, key, ca, psk_identity, psk, user, password) of the credential `name`,
   * read anew from its file or environment, so that a renewed one is seen. *out has one owner, the
   * caller; its content is followed by a NUL that `len` does not count, is wiped when the last
   * owner releases it, and a path is good until then. NOT_FOUND: the credential has no such field.
   * PERMISSION_DENIED: the configuration does not name it, or the field is there and its file or
   * variable cannot be read, which is never taken for none. Reads a small file. [any][nr] */
  bp_status (*get)(const bp_host* host, bp_str name, bp_str field, uint32_t flags, bp_buffer** out,
                   bp_error* error);
} bp_credentials_service;

#ifdef __cplusplus
}
#endif
