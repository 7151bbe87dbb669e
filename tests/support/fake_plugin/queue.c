// SPDX-License-Identifier: Apache-2.0
#include "queue.h"

#include <stdlib.h>

bool queue_push(Queue* self, const bp_message* message) {
  Queued* entry = calloc(1, sizeof *entry);
  if (entry == NULL || !copy_message(message, &entry->message)) {
    free(entry);
    return false;
  }
  Queued** last = &self->first;
  while (*last != NULL) last = &(*last)->next;
  *last = entry;
  ++self->size;
  return true;
}

bool queue_pop(Queue* self, bp_message* out) {
  Queued* entry = self->first;
  if (entry == NULL) return false;
  self->first = entry->next;
  --self->size;
  *out = entry->message;
  free(entry);
  return true;
}

void queue_clear(Queue* self) {
  bp_message message;
  while (queue_pop(self, &message)) drop_message(&message);
}
