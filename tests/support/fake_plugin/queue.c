// SPDX-License-Identifier: Apache-2.0
#include "queue.h"

#include <stdlib.h>

bool queue_push(queue* self, const bp_message* message) {
  queued* entry = calloc(1, sizeof *entry);
  if (entry == NULL || !copy_message(message, &entry->message)) {
    free(entry);
    return false;
  }
  queued** last = &self->first;
  while (*last != NULL) last = &(*last)->next;
  *last = entry;
  ++self->size;
  return true;
}

bool queue_pop(queue* self, bp_message* out) {
  queued* entry = self->first;
  if (entry == NULL) return false;
  self->first = entry->next;
  --self->size;
  *out = entry->message;
  free(entry);
  return true;
}

void queue_clear(queue* self) {
  bp_message message;
  while (queue_pop(self, &message)) drop_message(&message);
}
