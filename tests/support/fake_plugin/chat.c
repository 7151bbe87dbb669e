// SPDX-License-Identifier: Apache-2.0
// A bidirectional stream as gRPC has it. Opening it: CALL with BP_OP_DUPLEX on `chat`. The peer is
// driven by CALLs on `chat/peer`, which mean the newest stream, by METHOD:
// - read: takes up to n (body) messages; a LIST, flag LAST when the other side has half-closed
// - send: sends the body; pends while the stream's window is full
// - finish: ends the stream with the status in the body, and with the string headers as trailers
// - metadata: answers the headers with which the stream was opened
// - await_reset: completes when the other side has closed the stream
#include "mechanisms.h"
#include "queue.h"
#include "work.h"

#include <stdlib.h>

enum { kWindow = 4, kBatch = 16 };

struct Chat {
  Chat* next;
  bp_message opening;  // its headers are the request's metadata
  // guarded by Fake.mutex
  Queue to_peer;
  Queue from_peer;
  uint32_t writers;  // WRITEs that pend
  bool half_closed;
  bool reset;
  bool head_sent;
  bool finished;
  bp_status final_status;
  bp_message trailers;
};

// With the mutex held. PENDING: no room.
static bp_status put_locked(Chat* c, const bp_message* message) {
  if (c->half_closed) return BP_FAILED_PRECONDITION;
  if (c->finished) return BP_ABORTED;
  if (message->body.tag != BP_T_NULL) {
    if (c->to_peer.size >= kWindow) return BP_PENDING;
    if (!queue_push(&c->to_peer, message)) return BP_RESOURCE_EXHAUSTED;
  }
  if ((message->flags & BP_M_LAST) != 0) c->half_closed = true;
  return BP_OK;
}

static bp_status write_step(Work* self) {
  Chat* c = self->object;
  const bool cancelled = work_cancelled(self);
  pthread_mutex_lock(&self->f->mutex);
  const bp_status status = cancelled ? BP_CANCELLED : put_locked(c, self->op->in);
  if (status != BP_PENDING) --c->writers;
  if (status == BP_OK) pump_wake_locked(self->f);  // the peer may wait for it
  pthread_mutex_unlock(&self->f->mutex);
  return status;
}

static bp_status submit_write(End* at, bp_op* op) {
  Chat* c = at->object;
  if (op->in == NULL) return fail(op, BP_INVALID_ARGUMENT, 0, "fake", "nothing to write");
  pthread_mutex_lock(&at->f->mutex);
  const bp_status status = c->writers == 0 ? put_locked(c, op->in) : BP_PENDING;
  if (status == BP_PENDING) ++c->writers;
  if (status == BP_OK) pump_wake_locked(at->f);
  pthread_mutex_unlock(&at->f->mutex);
  if (status != BP_PENDING) return status;
  const bp_status begun = work_begin(at->f, op, c, write_step, NULL, NULL);
  if (begun != BP_PENDING) {
    pthread_mutex_lock(&at->f->mutex);
    --c->writers;
    pthread_mutex_unlock(&at->f->mutex);
  }
  return begun;
}

static bp_status send_head(Work* self) {
  const bp_pair head[] = {metadata("server", value_text("fake"))};
  bp_message message = message_of(value_null());
  message.headers = head;
  message.n_headers = 1;
  message.flags = BP_M_INITIAL;
  work_spend(self, 1);
  return self->f->endpoints->deliver(self->f->host, self->op, &message, 1);
}

static bp_status finish_watch(Work* self, Chat* c) {
  self->op->out = c->trailers;  // with its owner
  c->trailers = message_of(value_null());
  if (c->final_status < 0) {
    return fail(self->op, c->final_status, -c->final_status, "grpc", "the peer ended the stream");
  }
  return BP_OK;
}

static bp_status watch_step(Work* self) {
  Chat* c = self->object;
  Fake* f = self->f;
  if (work_cancelled(self)) return BP_CANCELLED;
  uint32_t credit = work_credit(self);
  if (credit != 0 && !c->head_sent) {
    c->head_sent = true;
    const bp_status status = send_head(self);
    if (status < 0) return status;
    credit = work_credit(self);
  }
  bp_message batch[kBatch];
  uint32_t n = 0;
  pthread_mutex_lock(&f->mutex);
  while (n < credit && n < kBatch && queue_pop(&c->from_peer, &batch[n])) ++n;
  const bool ended = c->finished && c->from_peer.size == 0;
  if (n != 0) pump_wake_locked(f);  // there is room in the window, perhaps more to deliver
  pthread_mutex_unlock(&f->mutex);
  if (n != 0) {
    work_spend(self, n);
    const bp_status status = f->endpoints->deliver(f->host, self->op, batch, n);
    for (uint32_t i = 0; i < n; ++i) drop_message(&batch[i]);
    if (status < 0) return status;
  }
  return ended ? finish_watch(self, c) : BP_PENDING;
}

static bp_status stream_submit(bp_op* op) {
  End* at = op->self;
  switch (op->verb) {
    case BP_V_WRITE:
      return submit_write(at, op);
    case BP_V_WATCH:
      return work_begin(at->f, op, at->object, watch_step, NULL, NULL);
    default:
      return fail(op, BP_UNIMPLEMENTED, 0, "fake", "a stream is written and watched");
  }
}

// The last reference is gone: a reset, which the peer sees.
static void stream_close(void* self) {
  End* at = self;
  Chat* c = at->object;
  pthread_mutex_lock(&at->f->mutex);
  c->reset = true;
  queue_clear(&c->to_peer);
  pump_wake_locked(at->f);
  pthread_mutex_unlock(&at->f->mutex);
  free(at);
}

static const bp_endpoint_ops kStreamOps = {BP_SIZE_TO(bp_endpoint_ops, close),
                                           0,
                                           stream_submit,
                                           NULL,
                                           work_cancel,
                                           work_add_credit,
                                           work_ack,
                                           stream_close};

static bp_status open_step(Work* self) {
  Fake* f = self->f;
  if (work_cancelled(self)) return BP_CANCELLED;
  Chat* c = calloc(1, sizeof *c);
  if (c == NULL) return BP_RESOURCE_EXHAUSTED;
  c->trailers = message_of(value_null());
  const bp_message nothing = message_of(value_null());
  if (!copy_message(self->op->in == NULL ? &nothing : self->op->in, &c->opening)) {
    free(c);
    return BP_RESOURCE_EXHAUSTED;
  }
  pthread_mutex_lock(&f->mutex);
  c->next = f->chats;
  f->chats = c;
  pthread_mutex_unlock(&f->mutex);
  bp_endpoint endpoint;
  bp_ref ref = 0;
  bp_status status =
      end_open(f, &kStreamOps, c, BP_VERB_BIT(BP_V_WRITE) | BP_VERB_BIT(BP_V_WATCH), &endpoint);
  if (status == BP_OK) {
    status = f->endpoints->adopt(f->host, &endpoint, &ref);
    if (status != BP_OK) stream_close(endpoint.self);
  }
  if (status == BP_OK) self->op->out.body = value_ref(ref);
  return status;
}

static bp_status method_submit(bp_op* op) {
  End* at = op->self;
  return work_begin(at->f, op, NULL, open_step, NULL, NULL);
}

static bp_status peer_read(End* at, Chat* c, bp_op* op) {
  bp_message taken[kBatch];
  bp_value bodies[kBatch];
  uint32_t n = 0;
  pthread_mutex_lock(&at->f->mutex);
  const uint64_t wanted = op->in->body.as.u;
  while (n < wanted && n < kBatch && queue_pop(&c->to_peer, &taken[n])) ++n;
  const bool last = c->half_closed && c->to_peer.size == 0 && c->writers == 0;
  pump_wake_locked(at->f);
  pthread_mutex_unlock(&at->f->mutex);
  for (uint32_t i = 0; i < n; ++i) bodies[i] = taken[i].body;
  bp_message message = message_of(value_list(bodies, n, 0));
  message.flags = last ? BP_M_LAST : 0;
  const bp_status status = answer(op, &message);
  for (uint32_t i = 0; i < n; ++i) drop_message(&taken[i]);
  return status;
}

static bp_status send_step(Work* self) {
  Chat* c = self->object;
  if (work_cancelled(self)) return BP_CANCELLED;
  bp_status status = BP_PENDING;
  pthread_mutex_lock(&self->f->mutex);
  if (c->from_peer.size < kWindow) {
    status = queue_push(&c->from_peer, self->op->in) ? BP_OK : BP_RESOURCE_EXHAUSTED;
    pump_wake_locked(self->f);
  }
  pthread_mutex_unlock(&self->f->mutex);
  return status;
}

static bp_status reset_step(Work* self) {
  const Chat* c = self->object;
  pthread_mutex_lock(&self->f->mutex);
  const bool reset = c->reset;
  pthread_mutex_unlock(&self->f->mutex);
  if (reset) return BP_OK;
  return work_cancelled(self) ? BP_CANCELLED : BP_PENDING;
}

static bp_status peer_finish(End* at, Chat* c, bp_op* op) {
  bp_message trailers = *op->in;
  trailers.body = value_null();
  pthread_mutex_lock(&at->f->mutex);
  const bool copied = copy_message(&trailers, &c->trailers);
  c->final_status = (bp_status)op->in->body.as.i;
  c->finished = true;
  pump_wake_locked(at->f);
  pthread_mutex_unlock(&at->f->mutex);
  return copied ? BP_OK : BP_RESOURCE_EXHAUSTED;
}

static bp_status peer_submit(bp_op* op) {
  End* at = op->self;
  pthread_mutex_lock(&at->f->mutex);
  Chat* c = at->f->chats;
  pthread_mutex_unlock(&at->f->mutex);
  if (c == NULL) return fail(op, BP_FAILED_PRECONDITION, 0, "fake", "no stream is open");
  if (op->in == NULL) return fail(op, BP_INVALID_ARGUMENT, 0, "fake", "a method is needed");
  if (method_is(op, "read")) return peer_read(at, c, op);
  if (method_is(op, "send")) return work_begin(at->f, op, c, send_step, NULL, NULL);
  if (method_is(op, "await_reset")) return work_begin(at->f, op, c, reset_step, NULL, NULL);
  if (method_is(op, "finish")) return peer_finish(at, c, op);
  if (method_is(op, "metadata")) return answer(op, &c->opening);
  return fail(op, BP_UNIMPLEMENTED, 0, "fake", "no such method");
}

static const bp_endpoint_ops kMethodOps = FAKE_OPS(method_submit);
static const bp_endpoint_ops kPeerOps = FAKE_OPS(peer_submit);

bp_status chat_open(Fake* f, bp_str rest, bp_endpoint* out) {
  if (rest.len == 0) return end_open(f, &kMethodOps, NULL, BP_CAN_DUPLEX, out);
  if (str_is(rest, "/peer")) return end_open(f, &kPeerOps, NULL, BP_VERB_BIT(BP_V_CALL), out);
  return BP_NOT_FOUND;
}

void chat_free_all(Fake* f) {
  while (f->chats != NULL) {
    Chat* c = f->chats;
    f->chats = c->next;
    queue_clear(&c->to_peer);
    queue_clear(&c->from_peer);
    drop_message(&c->opening);
    drop_message(&c->trailers);
    free(c);
  }
}
