// SPDX-License-Identifier: Apache-2.0
#include "work.h"

#include <stdlib.h>

static void complete(Work* self, bp_status status) {
  Fake* f = self->f;
  bp_op* op = self->op;
  if (self->finish != NULL) self->finish(self);
  pthread_mutex_lock(&f->mutex);
  op->impl[0] = 0;  // from here on cancel, credit and ack find nothing
  for (Work** at = &f->works; *at != NULL; at = &(*at)->next) {
    if (*at == self) {
      *at = self->next;
      break;
    }
  }
  pthread_mutex_unlock(&f->mutex);
  free(self->settled);
  free(self);
  f->endpoints->complete(f->host, op, status);
}

// One round over all pending operations. Only the pump removes, so `next` stays good; it is read
// before the step that may remove `self`, and what was appended meanwhile is seen in the next
// round.
static void advance_all(Fake* f) {
  pthread_mutex_lock(&f->mutex);
  Work* self = f->works;
  pthread_mutex_unlock(&f->mutex);
  while (self != NULL) {
    pthread_mutex_lock(&f->mutex);
    Work* next = self->next;
    pthread_mutex_unlock(&f->mutex);
    const bp_status status = self->step(self);
    if (status != BP_PENDING) complete(self, status);
    self = next;
  }
}

static void pump(void* user) {
  Fake* f = user;
  for (;;) {
    advance_all(f);
    pthread_mutex_lock(&f->mutex);
    if (!f->again) break;
    f->again = false;
    pthread_mutex_unlock(&f->mutex);
  }
  f->pumping = false;
  bp_op* stop = NULL;
  if (f->stopped && f->works == NULL && f->calls == 0) {
    stop = f->stop;
    f->stop = NULL;
  }
  pthread_mutex_unlock(&f->mutex);
  // The instance may be destroyed as soon as its stop has completed.
  if (stop != NULL) f->endpoints->complete(f->host, stop, BP_OK);
}

void pump_wake_locked(Fake* f) {
  if (f->pumping) {
    f->again = true;
  } else {
    f->pumping = f->executor->post(f->host, pump, f) == BP_OK;
  }
}

void pump_wake(Fake* f) {
  pthread_mutex_lock(&f->mutex);
  pump_wake_locked(f);
  pthread_mutex_unlock(&f->mutex);
}

bp_status work_begin(Fake* f, bp_op* op, void* object, bp_status (*step)(Work*),
                     void (*finish)(Work*), void* state) {
  Work* self = calloc(1, sizeof *self);
  if (self == NULL) return fail(op, BP_RESOURCE_EXHAUSTED, 0, "fake", "no memory");
  self->f = f;
  self->op = op;
  self->object = object;
  self->step = step;
  self->finish = finish;
  self->state = state;
  self->credit = op->credit;
  pthread_mutex_lock(&f->mutex);
  if (f->stopped) {
    pthread_mutex_unlock(&f->mutex);
    free(self);
    return fail(op, BP_UNAVAILABLE, 0, "fake", "the instance has stopped");
  }
  op->impl[0] = (uint64_t)(uintptr_t)self;
  Work** last = &f->works;
  while (*last != NULL) last = &(*last)->next;
  *last = self;
  pump_wake_locked(f);
  pthread_mutex_unlock(&f->mutex);
  return BP_PENDING;
}

bool work_cancelled(Work* self) {
  pthread_mutex_lock(&self->f->mutex);
  const bool cancelled = self->cancelled || self->f->stopped;
  pthread_mutex_unlock(&self->f->mutex);
  return cancelled;
}

uint32_t work_credit(Work* self) {
  pthread_mutex_lock(&self->f->mutex);
  const uint32_t credit = self->credit;
  pthread_mutex_unlock(&self->f->mutex);
  return credit;
}

void work_spend(Work* self, uint32_t n) {
  pthread_mutex_lock(&self->f->mutex);
  if (self->credit != UINT32_MAX) self->credit -= n;
  pthread_mutex_unlock(&self->f->mutex);
}

bool work_next_settlement(Work* self, Settlement* out) {
  pthread_mutex_lock(&self->f->mutex);
  const bool found = self->n_settled != 0;
  if (found) {
    *out = self->settled[0];
    --self->n_settled;
    memmove(self->settled, self->settled + 1, self->n_settled * sizeof *self->settled);
  }
  pthread_mutex_unlock(&self->f->mutex);
  return found;
}

// The pending work of an operation, or NULL when it is gone. The self of the operation outlives
// this call.
static Work* find(const bp_op* op) { return (Work*)(uintptr_t)op->impl[0]; }

static Fake* fake_of(const bp_op* op) { return ((End*)op->self)->f; }

void work_cancel(bp_op* op) {
  Fake* f = fake_of(op);
  pthread_mutex_lock(&f->mutex);
  Work* self = find(op);
  if (self != NULL) {
    self->cancelled = true;
    pump_wake_locked(f);
  }
  pthread_mutex_unlock(&f->mutex);
}

void work_add_credit(bp_op* op, uint32_t n) {
  Fake* f = fake_of(op);
  pthread_mutex_lock(&f->mutex);
  Work* self = find(op);
  if (self != NULL) {
    self->credit = self->credit > UINT32_MAX - n ? UINT32_MAX : self->credit + n;
    pump_wake_locked(f);
  }
  pthread_mutex_unlock(&f->mutex);
}

void work_ack(bp_op* op, uint64_t seq, bp_status status) {
  Fake* f = fake_of(op);
  pthread_mutex_lock(&f->mutex);
  Work* self = find(op);
  if (self != NULL && self->n_settled == self->settled_room) {
    const uint32_t room = self->settled_room == 0 ? 8 : self->settled_room * 2;
    Settlement* grown = realloc(self->settled, room * sizeof *grown);
    if (grown != NULL) {
      self->settled = grown;
      self->settled_room = room;
    }
  }
  if (self != NULL && self->n_settled < self->settled_room) {
    self->settled[self->n_settled++] = (Settlement){seq, status};
    pump_wake_locked(f);
  }
  pthread_mutex_unlock(&f->mutex);
}

// After the unlock the pump may free `self`, and a stop may complete: nothing is touched any more.
static void finish_call(Call* self) {
  Fake* f = self->f;
  pthread_mutex_lock(&f->mutex);
  self->finished = true;
  --f->calls;
  pump_wake_locked(f);
  pthread_mutex_unlock(&f->mutex);
}

static void call_done(bp_op* op) { finish_call(op->user); }

Call* call_start(Fake* f, const CallRequest* request) {
  Call* self = calloc(1, sizeof *self);
  bp_op* op = self == NULL ? NULL : f->endpoints->op_new(f->host);
  if (op == NULL || !copy_message(&request->in, &self->in)) {
    if (op != NULL) f->endpoints->op_free(f->host, op);
    free(self);
    return NULL;
  }
  self->f = f;
  self->op = op;
  self->user = request->user;
  op->verb = request->verb;
  op->flags = request->flags;
  op->target = request->target;
  op->in = &self->in;
  op->deadline_ns = request->deadline_ns;
  op->credit = request->credit;
  op->sink = request->sink;
  op->error = &self->error;
  op->done = call_done;
  op->user = self;
  pthread_mutex_lock(&f->mutex);
  ++f->calls;
  pthread_mutex_unlock(&f->mutex);
  const bp_status status = f->endpoints->submit(f->host, op);
  if (status != BP_PENDING) {
    op->status = status;
    finish_call(self);
  }
  return self;
}

bool call_finished(Call* self) {
  pthread_mutex_lock(&self->f->mutex);
  const bool finished = self->finished;
  pthread_mutex_unlock(&self->f->mutex);
  return finished;
}

void call_cancel(Call* self) { self->f->endpoints->cancel(self->f->host, self->op); }

bp_status call_hand_over(Call* self, bp_op* op) {
  op->out = self->op->out;  // with its owner
  self->op->out = message_of(value_null());
  if (self->op->status < 0 && op->error != NULL) *op->error = self->error;
  return self->op->status;
}

void call_free(Call* self) {
  if (self->op->out.owner != NULL) self->op->out.owner->ops->release(self->op->out.owner);
  self->f->endpoints->op_free(self->f->host, self->op);
  drop_message(&self->in);
  free(self);
}
