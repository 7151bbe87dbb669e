// SPDX-License-Identifier: Apache-2.0
// Makers of bp_value and bp_pair, and look-ups, in C11 and C++ alike. What a value points to stays
// the caller's.
#pragma once

#include "backplane/headers.h"
#include "backplane/message.h"

#include <string.h>

// NOLINTBEGIN(modernize-use-nullptr): C has none

#ifdef __cplusplus
extern "C" {
#endif

static inline bp_value value_of(uint8_t tag, uint16_t aux) {
  bp_value value;
  memset(&value, 0, sizeof value);
  value.tag = tag;
  value.aux = aux;
  return value;
}

static inline bp_value value_null(void) { return value_of(BP_T_NULL, 0); }

static inline bp_value value_bool(uint32_t b) {
  bp_value value = value_of(BP_T_BOOL, 0);
  value.as.u = b != 0;
  return value;
}

static inline bp_value value_int(int64_t i, uint16_t aux) {
  bp_value value = value_of(BP_T_INT, aux);
  value.as.i = i;
  return value;
}

static inline bp_value value_uint(uint64_t u, uint16_t aux) {
  bp_value value = value_of(BP_T_UINT, aux);
  value.as.u = u;
  return value;
}

static inline bp_value value_float(double f, uint16_t aux) {
  bp_value value = value_of(BP_T_FLOAT, aux);
  value.as.f = f;
  return value;
}

static inline bp_value value_time(int64_t count, uint16_t unit) {
  bp_value value = value_of(BP_T_TIME, unit);
  value.as.i = count;
  return value;
}

static inline bp_value value_str(bp_str text) {
  bp_value value = value_of(BP_T_STRING, 0);
  value.as.s = text.ptr;
  value.len = (uint32_t)text.len;
  return value;
}

static inline bp_value value_text(const char* text) {
  bp_value value = value_of(BP_T_STRING, 0);
  value.as.s = text;
  value.len = (uint32_t)strlen(text);
  return value;
}

static inline bp_value value_bytes(const void* data, uint32_t len) {
  bp_value value = value_of(BP_T_BYTES, 0);
  value.as.p = data;
  value.len = len;
  return value;
}

static inline bp_value value_list(const bp_value* items, uint32_t n, uint16_t aux) {
  bp_value value = value_of(BP_T_LIST, aux);
  value.as.list = items;
  value.len = n;
  return value;
}

static inline bp_value value_map(const bp_pair* pairs, uint32_t n) {
  bp_value value = value_of(BP_T_MAP, 0);
  value.as.map = pairs;
  value.len = n;
  return value;
}

static inline bp_value value_doubles(const double* items, uint32_t n) {
  bp_value value = value_of(BP_T_ARRAY, BP_TYPE(BP_T_FLOAT, 64));
  value.as.p = items;
  value.len = n;
  return value;
}

// `name_and_value` has two elements: the type's name as STRING, and the value.
static inline bp_value value_typed(const bp_value* name_and_value) {
  bp_value value = value_of(BP_T_TYPED, 0);
  value.as.list = name_and_value;
  value.len = 2;
  return value;
}

static inline bp_value value_ref(bp_ref ref) {
  bp_value value = value_of(BP_T_REF, 0);
  value.as.u = ref;
  return value;
}

static inline bp_value value_fd(int fd) {
  bp_value value = value_of(BP_T_FD, 0);
  value.as.i = fd;
  return value;
}

static inline bp_pair header(uint32_t id, bp_value val) {
  bp_pair pair;
  pair.key = value_uint(id, 32);
  pair.val = val;
  return pair;
}

static inline bp_pair metadata(const char* name, bp_value val) {
  bp_pair pair;
  pair.key = value_text(name);
  pair.val = val;
  return pair;
}

static inline bp_message message_of(bp_value body) {
  bp_message message;
  memset(&message, 0, sizeof message);
  message.body = body;
  message.time_ns = BP_TIME_NONE;
  return message;
}

// The value of a header, or NULL.
static inline const bp_value* find_header(const bp_message* message, uint32_t id) {
  for (uint32_t i = 0; message != NULL && i < message->n_headers; ++i) {
    const bp_pair* pair = &message->headers[i];
    if (pair->key.tag == BP_T_UINT && pair->key.as.u == id) return &pair->val;
  }
  return NULL;
}

static inline const bp_value* find_metadata(const bp_message* message, const char* name) {
  for (uint32_t i = 0; message != NULL && i < message->n_headers; ++i) {
    const bp_pair* pair = &message->headers[i];
    if (pair->key.tag == BP_T_STRING && pair->key.len == strlen(name) &&
        memcmp(pair->key.as.s, name, pair->key.len) == 0) {
      return &pair->val;
    }
  }
  return NULL;
}

static inline int value_is_text(const bp_value* value, const char* text) {
  return value != NULL && value->tag == BP_T_STRING && value->len == strlen(text) &&
         memcmp(value->as.s, text, value->len) == 0;
}

#ifdef __cplusplus
}
#endif
// NOLINTEND(modernize-use-nullptr)
