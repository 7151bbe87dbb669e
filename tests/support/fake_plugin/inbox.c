// SPDX-License-Identifier: Apache-2.0
// A topic whose messages are kept until they are accepted. A WRITE on `inbox/NAME` is the broker's
// publication at QoS 2: it completes (PUBCOMP) when a consumer has acknowledged it. WATCH with
// BP_OP_ACK delivers; a negative ack, or the end of the watch before the ack, delivers again with
// the same seq. Without BP_OP_ACK a message is accepted when `next` has accepted it.
#include "mechanisms.h"
#include "work.h"

#include <stdlib.h>

typedef struct Publication {
  struct Publication* next;
  bp_message message;
  Work* writer;  // NULL: cancelled
  Work* holder;  // the watch that has it unsettled
  bool settled;
} Publication;

// All of it is used on the pump only, but for the list of inboxes.
struct Inbox {
  Inbox* next;
  char name[32];
  uint64_t last_seq;
  Publication* publications;  // oldest first
};

static bool publish(Work* self, Inbox* box) {
  const bp_pair qos[] = {header(BP_H_QOS, value_uint(2, 8))};
  bp_message message = *self->op->in;
  message.headers = qos;
  message.n_headers = 1;
  message.seq = ++box->last_seq;
  Publication* p = calloc(1, sizeof *p);
  if (p == NULL || !copy_message(&message, &p->message)) {
    free(p);
    return false;
  }
  p->writer = self;
  Publication** last = &box->publications;
  while (*last != NULL) last = &(*last)->next;
  *last = p;
  self->state = p;
  pump_wake(self->f);  // a watch further up the list may want it
  return true;
}

static void remove_publication(Inbox* box, Publication* gone) {
  for (Publication** at = &box->publications; *at != NULL; at = &(*at)->next) {
    if (*at == gone) {
      *at = gone->next;
      break;
    }
  }
  drop_message(&gone->message);
  free(gone);
}

static bp_status write_step(Work* self) {
  Inbox* box = self->object;
  Publication* p = self->state;
  if (p == NULL) return publish(self, box) ? BP_PENDING : BP_RESOURCE_EXHAUSTED;
  if (!p->settled && !work_cancelled(self)) return BP_PENDING;
  const bp_status status = p->settled ? BP_OK : BP_CANCELLED;
  remove_publication(box, p);
  return status;
}

static void settle(Inbox* box, Work* watch, uint64_t seq, bp_status status) {
  for (Publication* p = box->publications; p != NULL; p = p->next) {
    if (p->message.seq != seq || p->holder != watch || p->settled) continue;
    p->holder = NULL;
    p->settled = status == BP_OK;
    p->message.flags |= BP_M_REDELIVERED;  // should it go out again
    return;
  }
}

static bp_status watch_step(Work* self) {
  Inbox* box = self->object;
  Settlement ack;
  while (work_next_settlement(self, &ack)) {
    settle(box, self, ack.seq, ack.status);
    pump_wake(self->f);
  }
  if (work_cancelled(self)) return BP_CANCELLED;
  const bool acked = (self->op->flags & BP_OP_ACK) != 0;
  uint32_t credit = work_credit(self);
  for (Publication* p = box->publications; p != NULL && credit != 0; p = p->next) {
    if (p->holder != NULL || p->settled) continue;
    p->holder = self;
    work_spend(self, 1);
    const bp_status status = self->f->endpoints->deliver(self->f->host, self->op, &p->message, 1);
    if (status < 0) return status;
    if (!acked) settle(box, self, p->message.seq, BP_OK);
    if (!acked) pump_wake(self->f);
    credit = work_credit(self);
  }
  return BP_PENDING;
}

// What is unsettled at the end was not accepted: the next watch gets it.
static void watch_end(Work* self) {
  Inbox* box = self->object;
  for (Publication* p = box->publications; p != NULL; p = p->next) {
    if (p->holder == self) settle(box, self, p->message.seq, BP_CANCELLED);
  }
  pump_wake(self->f);
}

static bp_status inbox_submit(bp_op* op) {
  End* at = op->self;
  switch (op->verb) {
    case BP_V_WRITE:
      if (op->in == NULL) return fail(op, BP_INVALID_ARGUMENT, 0, "fake", "nothing to publish");
      return work_begin(at->f, op, at->object, write_step, NULL, NULL);
    case BP_V_WATCH:
      return work_begin(at->f, op, at->object, watch_step, watch_end, NULL);
    default:
      break;
  }
  return fail(op, BP_UNIMPLEMENTED, 0, "fake", "a topic is written and watched");
}

static const bp_endpoint_ops kOps = FAKE_OPS(inbox_submit);

bp_status inbox_open(Fake* f, bp_str rest, bp_endpoint* out) {
  Inbox* box = NULL;
  if (rest.len == 0 || rest.len >= sizeof box->name) return BP_NOT_FOUND;
  pthread_mutex_lock(&f->mutex);
  for (box = f->inboxes; box != NULL && !str_is(rest, box->name);) box = box->next;
  if (box == NULL && (box = calloc(1, sizeof *box)) != NULL) {
    memcpy(box->name, rest.ptr, rest.len);
    box->next = f->inboxes;
    f->inboxes = box;
  }
  pthread_mutex_unlock(&f->mutex);
  if (box == NULL) return BP_RESOURCE_EXHAUSTED;
  return end_open(f, &kOps, box, BP_VERB_BIT(BP_V_WRITE) | BP_VERB_BIT(BP_V_WATCH) | BP_CAN_ACK,
                  out);
}

void inbox_free_all(Fake* f) {
  while (f->inboxes != NULL) {
    Inbox* box = f->inboxes;
    f->inboxes = box->next;
    while (box->publications != NULL) remove_publication(box, box->publications);
    free(box);
  }
}
