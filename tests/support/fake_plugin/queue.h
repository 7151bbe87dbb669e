// SPDX-License-Identifier: Apache-2.0
// A first-in first-out list of copied messages. Not locked: it lives inside somebody's mutex.
#pragma once

#include "copy.h"

typedef struct queued {
  struct queued* next;
  bp_message message;
} queued;

typedef struct queue {
  queued* first;
  uint32_t size;
} queue;

bool queue_push(queue* self, const bp_message* message);  // copies
bool queue_pop(queue* self, bp_message* out);             // hands the copy over
void queue_clear(queue* self);
