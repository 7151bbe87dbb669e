// SPDX-License-Identifier: Apache-2.0
// A folder with very many references: BROWSE in batches, as continuation points give them, never
// more than the credit.
#include "mechanisms.h"
#include "work.h"

#include <stdio.h>

enum { kBatch = 64, kHeaders = 4 };

typedef struct Entry {
  char path[32];
  char title[32];
  bp_pair headers[kHeaders];
  bp_pair reference[2];
} Entry;

static bp_message describe(Entry* e, uint64_t index) {
  snprintf(e->path, sizeof e->path, "ns=2;i=%llu", (unsigned long long)index);
  snprintf(e->title, sizeof e->title, "Sensor %llu", (unsigned long long)index);
  e->headers[0] = header(BP_H_PATH, value_text(e->path));
  e->headers[1] = header(BP_H_TYPE, value_text("Variable"));
  e->headers[2] = header(BP_H_TITLE, value_text(e->title));
  e->headers[3] =
      header(BP_H_VERBS, value_uint(BP_VERB_BIT(BP_V_READ) | BP_VERB_BIT(BP_V_WATCH), 32));
  e->reference[0] = metadata("reference", value_text("HasComponent"));
  e->reference[1] = metadata("forward", value_bool(1));
  bp_message message = message_of(value_map(e->reference, 2));
  message.headers = e->headers;
  message.n_headers = kHeaders;
  message.seq = index + 1;
  return message;
}

static bp_status browse_step(Work* self) {
  Fake* f = self->f;
  if (work_cancelled(self)) return BP_CANCELLED;
  const uint32_t credit = work_credit(self);
  const uint64_t left = f->references - self->position;
  uint32_t n = credit < kBatch ? credit : kBatch;
  if (n > left) n = (uint32_t)left;
  if (n != 0) {
    Entry entries[kBatch];
    bp_message batch[kBatch];
    for (uint32_t i = 0; i < n; ++i) batch[i] = describe(&entries[i], self->position + i);
    self->position += n;
    work_spend(self, n);
    const bp_status status = f->endpoints->deliver(f->host, self->op, batch, n);
    if (status < 0) return status;
    pump_wake(f);  // one batch a round, so that a cancel gets between
  }
  return self->position == f->references ? BP_OK : BP_PENDING;
}

static bp_status references_submit(bp_op* op) {
  End* at = op->self;
  return work_begin(at->f, op, NULL, browse_step, NULL, NULL);
}

static const bp_endpoint_ops kOps = FAKE_OPS(references_submit);

bp_status references_open(Fake* f, bp_str rest, bp_endpoint* out) {
  if (rest.len != 0) return BP_NOT_FOUND;
  return end_open(f, &kOps, NULL, BP_VERB_BIT(BP_V_BROWSE), out);
}
