// SPDX-License-Identifier: Apache-2.0
// The plugin as a server. SERVE on `serve/PATH` binds a handler; a foreign client is played by the
// address `wire/PATH`: READ, WRITE and CALL reach the handler with BP_H_PATH and BP_H_PEER_ADDRESS;
// WATCH is an observer.
#include "served.h"

#include <stdlib.h>

enum { kMaxHeaders = 16 };

static Served* find_locked(Fake* f, bp_str path) {
  for (Served* s = f->resources; s != NULL; s = s->next) {
    const size_t len = strlen(s->path);
    if (s->handler == 0 || path.len < len || memcmp(path.ptr, s->path, len) != 0) continue;
    if (path.len == len || s->prefix) return s;
  }
  return NULL;
}

Served* served_enter(Fake* f, bp_str path, bp_ref* handler) {
  pthread_mutex_lock(&f->mutex);
  Served* s = find_locked(f, path);
  if (s != NULL) {
    ++s->inbound;
    *handler = s->handler;
  }
  pthread_mutex_unlock(&f->mutex);
  return s;
}

void served_leave(Fake* f, Served* resource) {
  pthread_mutex_lock(&f->mutex);
  --resource->inbound;
  pump_wake_locked(f);  // its SERVE may wait for this
  pthread_mutex_unlock(&f->mutex);
}

// ---- serve/PATH ----

// Withdrawn: no new requests from now on; completes when the ones under way have ended.
static bp_status serve_step(Work* self) {
  Served* s = self->state;
  reap_watch(s);
  if (!work_cancelled(self)) return BP_PENDING;
  pthread_mutex_lock(&self->f->mutex);
  if (s->handler != 0) pump_wake_locked(self->f);  // observers have to see it
  s->handler = 0;
  const bool idle = s->inbound == 0 && s->watching == NULL;
  pthread_mutex_unlock(&self->f->mutex);
  return idle ? BP_CANCELLED : BP_PENDING;
}

static bp_status serve_submit(bp_op* op) {
  ServeEnd* at = op->self;
  Fake* f = at->base.f;
  if (op->verb != BP_V_SERVE || op->in == NULL || op->in->body.tag != BP_T_REF) {
    return fail(op, BP_UNIMPLEMENTED, 0, "fake", "served with the reference of a handler");
  }
  Served* s = calloc(1, sizeof *s);
  if (s == NULL) return BP_RESOURCE_EXHAUSTED;
  const bp_value* match = find_header(op->in, BP_H_MATCH);
  memcpy(s->path, at->path, sizeof s->path);
  s->f = f;
  s->prefix = match != NULL && match->as.u == BP_MATCH_PREFIX;
  s->handler = op->in->body.as.u;
  s->last = message_of(value_null());
  pthread_mutex_lock(&f->mutex);
  const bool taken = find_locked(f, (bp_str){s->path, strlen(s->path)}) != NULL;
  if (!taken) {
    s->next = f->resources;  // stays until destroy
    f->resources = s;
  }
  pthread_mutex_unlock(&f->mutex);
  if (taken) {
    free(s);
    return fail(op, BP_ALREADY_EXISTS, 0, "fake", "the path is served");
  }
  const bp_status status = work_begin(f, op, NULL, serve_step, NULL, s);
  if (status != BP_PENDING) s->handler = 0;
  return status;
}

static const bp_endpoint_ops kServeOps = FAKE_OPS(serve_submit);

// ---- wire/PATH ----

typedef struct Inbound {
  Served* resource;
  bp_ref handler;
  Call* request;
  bool cancelled;
} Inbound;

// The operation as the handler gets it: marked with the path and with who asks.
static bp_status ask_handler(Work* self, Inbound* in) {
  const bp_op* op = self->op;
  const ServeEnd* at = op->self;
  bp_pair headers[kMaxHeaders] = {header(BP_H_PATH, value_text(at->path)),
                                  header(BP_H_PEER_ADDRESS, value_text("127.0.0.1:50000"))};
  CallRequest request = {
      .verb = op->verb, .flags = op->flags, .target = in->handler, .deadline_ns = op->deadline_ns};
  request.in = op->in == NULL ? message_of(value_null()) : *op->in;
  uint32_t n = 2;
  for (uint32_t i = 0; i < request.in.n_headers && n < kMaxHeaders; ++i) {
    headers[n++] = request.in.headers[i];
  }
  request.in.headers = headers;
  request.in.n_headers = n;
  in->request = call_start(self->f, &request);
  return in->request == NULL ? BP_RESOURCE_EXHAUSTED : BP_PENDING;
}

static bp_status inbound_step(Work* self) {
  Inbound* in = self->state;
  if (in->request == NULL) return work_cancelled(self) ? BP_CANCELLED : ask_handler(self, in);
  if (!call_finished(in->request)) {
    if (!in->cancelled && work_cancelled(self)) {
      in->cancelled = true;
      call_cancel(in->request);
    }
    return BP_PENDING;
  }
  return call_hand_over(in->request, self->op);
}

static void inbound_end(Work* self) {
  Inbound* in = self->state;
  if (in->request != NULL) call_free(in->request);
  served_leave(self->f, in->resource);
  free(in);
}

static bp_status pass_on(ServeEnd* at, bp_op* op, Served* s, bp_ref handler) {
  Inbound* in = calloc(1, sizeof *in);
  if (in == NULL) return BP_RESOURCE_EXHAUSTED;
  in->resource = s;
  in->handler = handler;
  const bp_status status = work_begin(at->base.f, op, NULL, inbound_step, inbound_end, in);
  if (status != BP_PENDING) free(in);
  return status;
}

static bp_status wire_submit(bp_op* op) {
  ServeEnd* at = op->self;
  bp_ref handler = 0;
  Served* s = served_enter(at->base.f, (bp_str){at->path, strlen(at->path)}, &handler);
  if (s == NULL) return fail(op, BP_NOT_FOUND, 404, "coap", "nobody serves this path");
  const bp_status status = op->verb == BP_V_WATCH ? observe(op, s) : pass_on(at, op, s, handler);
  if (status != BP_PENDING) served_leave(at->base.f, s);
  return status;
}

static const bp_endpoint_ops kWireOps = FAKE_OPS(wire_submit);

static bp_status open_end(Fake* f, bp_str rest, const bp_endpoint_ops* ops, uint32_t verbs,
                          bp_endpoint* out) {
  ServeEnd* self = calloc(1, sizeof *self);
  if (self == NULL) return BP_RESOURCE_EXHAUSTED;
  if (rest.len == 0 || rest.len >= sizeof self->path) {
    free(self);
    return BP_NOT_FOUND;
  }
  self->base.f = f;
  memcpy(self->path, rest.ptr, rest.len);
  *out = (bp_endpoint){ops, self, verbs, 0};
  return BP_OK;
}

bp_status serve_open(Fake* f, bp_str rest, bp_endpoint* out) {
  return open_end(f, rest, &kServeOps, BP_VERB_BIT(BP_V_SERVE), out);
}

bp_status wire_open(Fake* f, bp_str rest, bp_endpoint* out) {
  const uint32_t verbs = BP_VERB_BIT(BP_V_READ) | BP_VERB_BIT(BP_V_WRITE) | BP_VERB_BIT(BP_V_CALL) |
                         BP_VERB_BIT(BP_V_WATCH) | BP_CAN_DUPLEX;
  return open_end(f, rest, &kWireOps, verbs, out);
}

void served_free_all(Fake* f) {
  while (f->resources != NULL) {
    Served* s = f->resources;
    f->resources = s->next;
    drop_message(&s->last);
    free(s);
  }
}
