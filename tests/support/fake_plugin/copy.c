// SPDX-License-Identifier: Apache-2.0
#include "copy.h"

#include "values.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { kMaxDepth = 16 };

// The copied tree follows the buffer's head in the same block; `descriptors` has room for all of
// them.
typedef struct Box {
  bp_buffer buffer;
  atomic_uint owners;
  uint32_t n_descriptors;
  int* descriptors;
} Box;

typedef struct Arena {
  char* at;  // NULL: only measures
  uint64_t used;
  uint32_t n_descriptors;
  int* descriptors;
  bool failed;
} Arena;

static void retain_box(bp_buffer* buffer) {
  atomic_fetch_add_explicit(&((Box*)(void*)buffer)->owners, 1, memory_order_relaxed);
}

static void release_box(bp_buffer* buffer) {
  Box* self = (Box*)(void*)buffer;
  if (atomic_fetch_sub_explicit(&self->owners, 1, memory_order_acq_rel) != 1) return;
  for (uint32_t i = 0; i < self->n_descriptors; ++i) close(self->descriptors[i]);
  free(self->descriptors);
  free(self);
}

static const bp_buffer_ops kBoxOps = {BP_SIZE_TO(bp_buffer_ops, release), BP_BUFFER_FOREIGN,
                                      retain_box, release_box};

static uint64_t element_size(uint16_t type) {
  const uint16_t width = type & 0xffu;
  switch (type >> 8) {
    case BP_T_BOOL:
      return 1;
    case BP_T_TIME:
      return 8;
    case BP_T_INT:
      if (width == BP_INT_DURATION_NS) return 8;
      return width >= 8 ? width / 8u : 4u;
    default:
      return width >= 8 ? width / 8u : 4u;
  }
}

static void* take(Arena* to, uint64_t bytes) {
  void* place = to->at == NULL ? NULL : to->at + to->used;
  to->used += (bytes + 15u) & ~(uint64_t)15u;
  return place;
}

static const void* copy_bytes(Arena* to, const void* from, uint64_t bytes) {
  void* place = take(to, bytes);
  if (place != NULL && bytes != 0) memcpy(place, from, bytes);
  return place;
}

static bp_value copy_value(Arena* to, bp_value from, unsigned depth);

static const bp_value* copy_list(Arena* to, const bp_value* from, uint32_t n, unsigned depth) {
  bp_value* place = take(to, sizeof(bp_value) * (uint64_t)n);
  for (uint32_t i = 0; i < n; ++i) {
    const bp_value copied = copy_value(to, from[i], depth + 1);
    if (place != NULL) place[i] = copied;
  }
  return place;
}

static const bp_pair* copy_pairs(Arena* to, const bp_pair* from, uint32_t n, unsigned depth) {
  bp_pair* place = take(to, sizeof(bp_pair) * (uint64_t)n);
  for (uint32_t i = 0; i < n; ++i) {
    const bp_pair copied = {copy_value(to, from[i].key, depth + 1),
                            copy_value(to, from[i].val, depth + 1)};
    if (place != NULL) place[i] = copied;
  }
  return place;
}

static bp_value copy_descriptor(Arena* to, bp_value from) {
  const uint32_t index = to->n_descriptors++;
  if (to->at == NULL) return from;
  to->descriptors[index] = fcntl((int)from.as.i, F_DUPFD_CLOEXEC, 0);
  if (to->descriptors[index] < 0) {
    to->n_descriptors = index;
    to->failed = true;
  } else {
    from.as.i = to->descriptors[index];
  }
  return from;
}

static bp_value copy_value(Arena* to, bp_value from, unsigned depth) {
  if (depth > kMaxDepth) {
    to->failed = true;
    return value_null();
  }
  switch (from.tag) {
    case BP_T_STRING:
    case BP_T_BYTES:
    case BP_T_ENCODED:
      from.as.p = copy_bytes(to, from.as.p, from.len);
      break;
    case BP_T_ARRAY:
      from.as.p = copy_bytes(to, from.as.p, from.len * element_size(from.aux));
      break;
    case BP_T_LIST:
    case BP_T_MATRIX:
    case BP_T_TYPED:
      from.as.list = copy_list(to, from.as.list, from.len, depth);
      break;
    case BP_T_MAP:
      from.as.map = copy_pairs(to, from.as.map, from.len, depth);
      break;
    case BP_T_FD:
      from = copy_descriptor(to, from);
      break;
    default:
      break;
  }
  return from;
}

static bp_message copy_into(Arena* to, const bp_message* in) {
  bp_message copied = *in;
  copied.owner = NULL;
  copied.body = copy_value(to, in->body, 0);
  copied.headers = copy_pairs(to, in->headers, in->n_headers, 0);
  return copied;
}

bool copy_message(const bp_message* in, bp_message* out) {
  Arena measure = {NULL, 0, 0, NULL, false};
  (void)copy_into(&measure, in);
  if (measure.failed) return false;
  const uint64_t head = (sizeof(Box) + 15u) & ~(uint64_t)15u;
  char* block = malloc(head + measure.used);
  if (block == NULL) return false;
  Box* self = (Box*)(void*)block;
  memset(self, 0, sizeof *self);
  self->buffer.ops = &kBoxOps;
  self->buffer.data = block + head;
  self->buffer.len = self->buffer.cap = measure.used;
  atomic_init(&self->owners, 1);
  if (measure.n_descriptors != 0) {
    self->descriptors = calloc(measure.n_descriptors, sizeof *self->descriptors);
    if (self->descriptors == NULL) {
      free(block);
      return false;
    }
  }
  Arena to = {block + head, 0, 0, self->descriptors, false};
  *out = copy_into(&to, in);
  out->owner = &self->buffer;
  self->n_descriptors = to.n_descriptors;
  if (to.failed) drop_message(out);
  return !to.failed;
}

bool copy_result(const bp_message* in, void* scratch, uint64_t scratch_len, bp_message* out) {
  Arena measure = {NULL, 0, 0, NULL, false};
  (void)copy_into(&measure, in);
  if (measure.n_descriptors != 0 || measure.used > scratch_len) return copy_message(in, out);
  if (measure.failed) return false;
  Arena to = {scratch, 0, 0, NULL, false};
  *out = copy_into(&to, in);
  return true;
}

void drop_message(bp_message* message) {
  if (message->owner != NULL) message->owner->ops->release(message->owner);
  *message = message_of(value_null());
}
