// SPDX-License-Identifier: Apache-2.0
// A first-in first-out list of copied messages. Not locked: it lives inside somebody's mutex.
#pragma once

#include "copy.h"

typedef struct Queued {
  struct Queued* next;
  bp_message message;
} Queued;

typedef struct Queue {
  Queued* first;
  uint32_t size;
} Queue;

bool queue_push(Queue* self, const bp_message* message);  // copies
bool queue_pop(Queue* self, bp_message* out);             // hands the copy over
void queue_clear(Queue* self);
