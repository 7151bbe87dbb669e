// SPDX-License-Identifier: Apache-2.0
// A session manager that asks back. An application SERVEs `serve/session/save`; a CALL on
// `session/manager` with METHOD save and body INT budget (nanoseconds) is the log-out: the plugin
// CALLs the handler with that budget as deadline, and answers its answer. Cancelling it withdraws
// the question. `session/inhibit` is a duplex CALL whose reference delays the log-out until it is
// closed; READ `session/inhibitors` counts them, CALL waits until there is none. `session/interact`
// grants the screen.
#include "mechanisms.h"
#include "work.h"

#include <stdlib.h>
#include <time.h>

typedef struct Question {
  Served* resource;
  bp_ref handler;
  Call* request;
  bool withdrawn;
} Question;

static int64_t monotonic_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

// The budget of the phase is the deadline of the call.
static bp_status ask(Work* self, Question* q) {
  const bp_pair phase[] = {metadata("type", value_text("global")),
                           metadata("shutdown", value_bool(1)),
                           metadata("may_interact", value_bool(1))};
  const bp_pair headers[] = {header(BP_H_PATH, value_text("session/save"))};
  CallRequest request = {.verb = BP_V_CALL,
                         .target = q->handler,
                         .deadline_ns = monotonic_ns() + self->op->in->body.as.i};
  request.in = message_of(value_map(phase, 3));
  request.in.headers = headers;
  request.in.n_headers = 1;
  q->request = call_start(self->f, &request);
  return q->request == NULL ? BP_RESOURCE_EXHAUSTED : BP_PENDING;
}

static bp_status save_step(Work* self) {
  Question* q = self->state;
  if (q->request == NULL) return work_cancelled(self) ? BP_CANCELLED : ask(self, q);
  if (call_finished(q->request)) return call_hand_over(q->request, self->op);
  if (!q->withdrawn && work_cancelled(self)) {
    q->withdrawn = true;
    call_cancel(q->request);
  }
  return BP_PENDING;
}

static void save_end(Work* self) {
  Question* q = self->state;
  if (q->request != NULL) call_free(q->request);
  served_leave(self->f, q->resource);
  free(q);
}

static bp_status save(End* at, bp_op* op) {
  const bp_str path = BP_STR("session/save");
  Question* q = calloc(1, sizeof *q);
  if (q == NULL) return BP_RESOURCE_EXHAUSTED;
  q->resource = served_enter(at->f, path, &q->handler);
  if (q->resource == NULL) {
    free(q);
    return fail(op, BP_NOT_FOUND, 0, "fake", "nobody serves session/save");
  }
  const bp_status status = work_begin(at->f, op, NULL, save_step, save_end, q);
  if (status != BP_PENDING) {
    served_leave(at->f, q->resource);
    free(q);
  }
  return status;
}

static bp_status manager_submit(bp_op* op) {
  if (op->verb == BP_V_CALL && op->in != NULL && method_is(op, "save")) {
    return save(op->self, op);
  }
  return fail(op, BP_UNIMPLEMENTED, 0, "fake", "the manager saves");
}

static bp_status no_verbs(bp_op* op) {
  return fail(op, BP_UNIMPLEMENTED, 0, "fake", "an inhibitor is only held");
}

static void inhibitor_close(void* self) {
  End* at = self;
  pthread_mutex_lock(&at->f->mutex);
  --at->f->inhibitors;
  pump_wake_locked(at->f);
  pthread_mutex_unlock(&at->f->mutex);
  free(at);
}

static const bp_endpoint_ops kInhibitorOps = {BP_SIZE_TO(bp_endpoint_ops, close),
                                              0,
                                              no_verbs,
                                              NULL,
                                              work_cancel,
                                              work_add_credit,
                                              work_ack,
                                              inhibitor_close};

static bp_status inhibit_submit(bp_op* op) {
  End* at = op->self;
  bp_endpoint endpoint;
  bp_ref ref = 0;
  bp_status status = end_open(at->f, &kInhibitorOps, NULL, BP_VERB_BIT(BP_V_WRITE), &endpoint);
  if (status != BP_OK) return status;
  pthread_mutex_lock(&at->f->mutex);
  ++at->f->inhibitors;
  pthread_mutex_unlock(&at->f->mutex);
  status = at->f->endpoints->adopt(at->f->host, &endpoint, &ref);
  if (status != BP_OK) {
    inhibitor_close(endpoint.self);
    return status;
  }
  op->out.body = value_ref(ref);
  return BP_OK;
}

static bp_status uninhibited_step(Work* self) {
  pthread_mutex_lock(&self->f->mutex);
  const bool held = self->f->inhibitors != 0;
  pthread_mutex_unlock(&self->f->mutex);
  if (!held) return BP_OK;
  return work_cancelled(self) ? BP_CANCELLED : BP_PENDING;
}

static bp_status inhibitors_submit(bp_op* op) {
  End* at = op->self;
  if (op->verb == BP_V_CALL) return work_begin(at->f, op, NULL, uninhibited_step, NULL, NULL);
  if (op->verb != BP_V_READ) return fail(op, BP_UNIMPLEMENTED, 0, "fake", "read or called");
  pthread_mutex_lock(&at->f->mutex);
  op->out.body = value_uint(at->f->inhibitors, 32);
  pthread_mutex_unlock(&at->f->mutex);
  return BP_OK;
}

static bp_status interact_step(Work* self) {
  if (work_cancelled(self)) return BP_CANCELLED;
  self->op->out.body = value_bool(1);
  return BP_OK;
}

static bp_status interact_submit(bp_op* op) {
  End* at = op->self;
  if (op->verb != BP_V_CALL) return fail(op, BP_UNIMPLEMENTED, 0, "fake", "only called");
  return work_begin(at->f, op, NULL, interact_step, NULL, NULL);
}

static const bp_endpoint_ops kManagerOps = FAKE_OPS(manager_submit);
static const bp_endpoint_ops kInhibitOps = FAKE_OPS(inhibit_submit);
static const bp_endpoint_ops kInhibitorsOps = FAKE_OPS(inhibitors_submit);
static const bp_endpoint_ops kInteractOps = FAKE_OPS(interact_submit);

bp_status session_open(Fake* f, bp_str rest, bp_endpoint* out) {
  const uint32_t calls = BP_VERB_BIT(BP_V_CALL);
  if (str_is(rest, "/manager")) return end_open(f, &kManagerOps, NULL, calls, out);
  if (str_is(rest, "/inhibit")) return end_open(f, &kInhibitOps, NULL, BP_CAN_DUPLEX, out);
  if (str_is(rest, "/interact")) return end_open(f, &kInteractOps, NULL, calls, out);
  if (!str_is(rest, "/inhibitors")) return BP_NOT_FOUND;
  return end_open(f, &kInhibitorsOps, NULL, BP_VERB_BIT(BP_V_READ) | calls, out);
}
