/* SPDX-License-Identifier: Apache-2.0 */
/* Native keys: how processes name what they share - shared memory, semaphores - to the system, and
 * to each other. Needs no kernel object.
 *
 * A key goes to another process by its text, `type:name` (bp_key_text), never by the string that it
 * was made of: how that becomes a name may change. The text is a URI's scheme and path
 * (RFC 3986), the form that QNativeIpcKey::toString() has since Qt 6.6:
 *
 *   posix:/line1              shm_open(3), sem_open(3)
 *   systemv:/run/app/line1    shmget(2), semget(2) with ftok(3) of the path, which must exist, and
 *                             81 ('Q')
 *   systemv-7:/run/app/line1  with the project id 7
 *   anonymous:line1           memfd_create(2): has no name in the system; the descriptor itself is
 *                             given away
 *   windows:Local\line1       is understood, and supported nowhere
 *
 * A bp_key is a value of the caller's: of one key all functions that read it may run at once.
 *
 * Sources: https://doc.qt.io/qt-6/native-ipc-keys.html, https://doc.qt.io/qt-6/qnativeipckey.html.
 */
#pragma once

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Types. 1 to 255 are System V, with that project id. The first three are numbered as in Qt. */
#define BP_KEY_SYSTEM_V 0x51u
#define BP_KEY_POSIX 0x100u
#define BP_KEY_WINDOWS 0x101u
#define BP_KEY_ANONYMOUS 0x200u

/* What a key is for. */
#define BP_KEY_SHARED_MEMORY 1u
#define BP_KEY_SEMAPHORE 2u

#define BP_KEY_NAME_MAX 4095u
/* The name is what the system is given, without percent-encoding; NUL-terminated, and has no other
 * NUL. Frozen: 4104 bytes. */
typedef struct bp_key {
  uint32_t type;
  uint32_t length; /* of the name; 0: no key */
  char name[BP_KEY_NAME_MAX + 1u];
} bp_key;

/* The key of a text. `out` is the caller's, and has no key after an error; `error` may be NULL.
 * INVALID_ARGUMENT: an unknown type; no name; a NUL; a percent sign without two hexadecimal digits;
 * a path that begins with two slashes, which would be a URI's authority (in a name the second is
 * %2F); a query or a fragment, which are reserved - but a query `legacyKey=...`, which Qt writes,
 * is passed over. OUT_OF_RANGE: the name is longer than BP_KEY_NAME_MAX. RESOURCE_EXHAUSTED: no
 * memory. A key that is understood need not be supported. [any][nb] */
BP_EXPORT bp_status bp_key_parse(bp_str text, bp_key* out, bp_error* error);

/* The text of a key, as snprintf writes: at most `size` bytes with a NUL at their end, unless
 * `size` is 0. Returns the length of the whole text; 0: its type is unknown, it has no name, or
 * there is no memory. [any][nb] */
BP_EXPORT uint64_t bp_key_text(const bp_key* key, char* out, uint64_t size);

/* A key of this type for any string that is not empty; the same string gives the same key.
 *
 *   posix      `/` and the string
 *   System V   an absolute path as it is; else the string, below XDG_RUNTIME_DIR or, if there is
 *              none, runtime-USER in TMPDIR or /tmp: the same key where these are the same
 *   anonymous  the string
 *
 * What is no file name - a slash or a NUL in it, "." and "..", more bytes than the system takes -
 * becomes as much of its letters, digits, `-` and `_` as fits, `-`, and 32 digits of its SHA-256.
 * Of a string without a slash that the system takes, it is the key that Qt's platformSafeKey()
 * gives. `use` is BP_KEY_SHARED_MEMORY or BP_KEY_SEMAPHORE; `out` and `error` as above.
 * INVALID_ARGUMENT: an empty string, another use. UNIMPLEMENTED: the type is not supported for this
 * use. OUT_OF_RANGE: the folder's path makes the name longer than BP_KEY_NAME_MAX.
 * RESOURCE_EXHAUSTED: no memory. INTERNAL: OpenSSL has no SHA-256. May ask the system for the
 * user's name, and thus a directory service; reads the environment, which nobody may set meanwhile.
 * [any] */
BP_EXPORT bp_status bp_key_safe(uint32_t use, uint32_t type, bp_str string, bp_key* out,
                                bp_error* error);

/* The key that Qt's setKey(), and programs of before Qt 6.6, make of a string: a prefix, its
 * letters and its SHA-1, for System V in TMPDIR or /tmp. Those programs use System V unless Qt was
 * built otherwise. A long string makes a name that the system does not take, there and here.
 * UNIMPLEMENTED: also an anonymous key, which Qt does not have. OUT_OF_RANGE: the name is longer
 * than BP_KEY_NAME_MAX. INTERNAL: OpenSSL has no SHA-1. Other errors as of bp_key_safe. For System
 * V it reads the environment, which nobody may set meanwhile. Source:
 * https://doc.qt.io/qt-6/qsharedmemory.html#legacyNativeKey. [any][nb] */
BP_EXPORT bp_status bp_key_legacy(uint32_t use, uint32_t type, bp_str string, bp_key* out,
                                  bp_error* error);

/* 1: objects of this use can have keys of this type here; 0. [any][nb] */
BP_EXPORT uint32_t bp_key_is_supported(uint32_t use, uint32_t type);

#ifdef __cplusplus
}
#endif
