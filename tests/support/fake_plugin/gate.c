// SPDX-License-Identifier: Apache-2.0
// A destination whose acknowledgement is in somebody's hand. A WRITE on `gate/NAME` pends, as a
// publication does until its PUBCOMP. A CALL on `gate/NAME/settle` with body INT status completes
// the oldest one, and answers what was written; it waits for one.
#include "mechanisms.h"
#include "work.h"

#include <stdlib.h>

struct Gate {
  Gate* next;
  char name[32];
  Work* settled;  // on the pump only: which write completes next, with what
  bp_status status;
};

static bp_status write_step(Work* self) {
  Gate* g = self->object;
  if (g->settled == self) {
    g->settled = NULL;
    return g->status;
  }
  return work_cancelled(self) ? BP_CANCELLED : BP_PENDING;
}

static Work* oldest_write(Work* self) {
  pthread_mutex_lock(&self->f->mutex);
  Work* found = self->f->works;
  while (found != NULL && (found->object != self->object || found->op->verb != BP_V_WRITE)) {
    found = found->next;
  }
  pthread_mutex_unlock(&self->f->mutex);
  return found;
}

static bp_status settle_step(Work* self) {
  Gate* g = self->object;
  if (work_cancelled(self)) return BP_CANCELLED;
  Work* write = oldest_write(self);
  if (write == NULL || g->settled != NULL) return BP_PENDING;
  const bp_status status = answer(self->op, write->op->in);
  g->settled = write;
  g->status = (bp_status)self->op->in->body.as.i;
  pump_wake(self->f);
  return status;
}

static bp_status gate_submit(bp_op* op) {
  End* at = op->self;
  if (op->verb != BP_V_WRITE || op->in == NULL) {
    return fail(op, BP_UNIMPLEMENTED, 0, "fake", "a gate is written");
  }
  return work_begin(at->f, op, at->object, write_step, NULL, NULL);
}

static bp_status settle_submit(bp_op* op) {
  End* at = op->self;
  if (op->verb != BP_V_CALL || op->in == NULL) {
    return fail(op, BP_UNIMPLEMENTED, 0, "fake", "settle is called");
  }
  return work_begin(at->f, op, at->object, settle_step, NULL, NULL);
}

static const bp_endpoint_ops kGateOps = FAKE_OPS(gate_submit);
static const bp_endpoint_ops kSettleOps = FAKE_OPS(settle_submit);

static Gate* find_or_make(Fake* f, bp_str name) {
  Gate* g = NULL;
  if (name.len >= sizeof g->name) return NULL;
  pthread_mutex_lock(&f->mutex);
  for (g = f->gates; g != NULL && !str_is(name, g->name);) g = g->next;
  if (g == NULL && (g = calloc(1, sizeof *g)) != NULL) {
    memcpy(g->name, name.ptr, name.len);
    g->next = f->gates;
    f->gates = g;
  }
  pthread_mutex_unlock(&f->mutex);
  return g;
}

bp_status gate_open(Fake* f, bp_str rest, bp_endpoint* out) {
  static const char kSettle[] = "/settle";
  const uint64_t suffix = sizeof kSettle - 1;
  const bool settles =
      rest.len > suffix && memcmp(rest.ptr + rest.len - suffix, kSettle, suffix) == 0;
  Gate* g = find_or_make(f, (bp_str){rest.ptr, settles ? rest.len - suffix : rest.len});
  if (g == NULL) return BP_NOT_FOUND;
  if (settles) return end_open(f, &kSettleOps, g, BP_VERB_BIT(BP_V_CALL), out);
  return end_open(f, &kGateOps, g, BP_VERB_BIT(BP_V_WRITE), out);
}

void gate_free_all(Fake* f) {
  while (f->gates != NULL) {
    Gate* g = f->gates;
    f->gates = g->next;
    free(g);
  }
}
