/* SPDX-License-Identifier: Apache-2.0 */
/* A value: a borrowed tagged union of 16 bytes. It owns nothing: what it points to belongs to the
 * message's owner, or to whoever lent it. `tag` is the shape; `aux` the width or the logical type,
 * so that an int16, an enum, a status or an empty array keep what they are across mechanisms. An
 * unknown tag or aux is carried or refused, never guessed. */
#pragma once

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How `aux` names an element's type: BP_TYPE(BP_T_INT, 16). */
#define BP_TYPE(tag, width) ((uint16_t)((uint32_t)(tag) << 8 | (uint32_t)(width)))

#define BP_T_NULL 0  /* aux: BP_TYPE of what it would be, or 0 */
#define BP_T_BOOL 1  /* as.u 0 or 1; aux 0 */
#define BP_T_INT 2   /* as.i; aux: 8 16 32 64 bits, BP_INT_ENUM, BP_INT_DURATION_NS */
#define BP_T_UINT 3  /* as.u; aux: 8 16 32 64 bits, BP_UINT_STATUS */
#define BP_T_FLOAT 4 /* as.f, always a double; aux: 32 or 64, the precision that it had */
/* as.i since the Unix epoch, UTC, no leap seconds; aux: BP_TIME_S ... BP_TIME_NS */
#define BP_T_TIME 5
#define BP_T_STRING 6 /* as.s, len bytes of UTF-8; aux: 0 plain, BP_STRING_* */
/* as.p, len bytes; aux: 0 plain, BP_BYTES_UUID (16 bytes, network order) */
#define BP_T_BYTES 7
/* as.list, len values; aux: 0 mixed, BP_LIST_*, else BP_TYPE of all elements */
#define BP_T_LIST 8
#define BP_T_MAP 9 /* as.map, len pairs, in order; a key is a value of any scalar tag */
/* as.p, len packed numbers in native byte order, aligned to their size; aux: BP_TYPE of the
 * element. Sizes where the width is no number of bits: BOOL 1 byte, STATUS and ENUM 4, DURATION_NS
 * and every TIME 8 */
#define BP_T_ARRAY 10
/* as.list of two: the dimensions (ARRAY of uint32), the elements in row-major order (ARRAY or LIST)
 */
#define BP_T_MATRIX 11
/* as.list of two: a type name ("dbus:a(si)", "opcua:ns=0;i=884", "decimal") as STRING, the value */
#define BP_T_TYPED 12
/* as.p, len bytes in the format of aux: BP_FORMAT_*; not looked into */
#define BP_T_ENCODED 13
/* as.u, a bp_ref; owned only as the result of open, adopt and a duplex call, else borrowed: who
 * keeps it, retains it */
#define BP_T_REF 14
/* as.i, a file descriptor, borrowed: who keeps it, dups it; in a result, out.owner closes it when
 * released */
#define BP_T_FD 15

#define BP_INT_ENUM 1u
#define BP_INT_DURATION_NS 2u
#define BP_UINT_STATUS 1u
#define BP_TIME_S 0u
#define BP_TIME_MS 1u
#define BP_TIME_US 2u
#define BP_TIME_100NS 3u /* OPC UA's unit; the year 1601 fits */
#define BP_TIME_NS 4u
#define BP_STRING_OBJECT_PATH 1u /* D-Bus */
#define BP_STRING_SIGNATURE 2u   /* D-Bus */
#define BP_STRING_XML 3u
#define BP_BYTES_UUID 1u
#define BP_LIST_STRUCT 1u /* the fields of one record */
/* a body: several arguments or results of one call, not one that is a list */
#define BP_LIST_ARGUMENTS 2u
#define BP_FORMAT_JSON 1u /* RFC 8259 */
#define BP_FORMAT_CBOR 2u /* RFC 8949 */
#define BP_FORMAT_XML 3u
#define BP_FORMAT_PROTOBUF 4u
#define BP_FORMAT_UA_BINARY 5u
#define BP_FORMAT_CAPNP 6u

/* brings its own type where its place has none (D-Bus `v`, an OPC UA Variant in an array) */
#define BP_VALUE_VARIANT 1u

struct bp_pair;

/* Frozen: 16 bytes, trivially copyable. */
typedef struct bp_value {
  uint8_t tag;
  uint8_t flags; /* BP_VALUE_*; unknown ones are carried */
  uint16_t aux;
  uint32_t len; /* bytes, elements or pairs; 0 for a scalar */
  union {
    uint64_t u;
    int64_t i;
    double f;
    const char* s;
    const void* p;
    const struct bp_value* list;
    const struct bp_pair* map;
  } as;
} bp_value;

/* Frozen: 32 bytes. */
typedef struct bp_pair {
  bp_value key;
  bp_value val;
} bp_pair;

#ifdef __cplusplus
}
#endif
