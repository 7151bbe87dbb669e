// SPDX-License-Identifier: Apache-2.0
// Fan-out, as CoAP's Observe has it: however many observers there are, the handler is watched once,
// and each of them gets the latest value that it has credit for. The source's seq travels along, so
// that a skipped value shows as a gap.
#include "served.h"

#include <stdlib.h>

void reap_watch(Served* s) {
  if (!s->unwatching || !call_finished(s->watching)) return;
  call_free(s->watching);
  s->watching = NULL;
  s->unwatching = false;
}

static bp_status on_notification(bp_op* op, const bp_message* messages, uint32_t n) {
  Call* watching = op->user;
  Served* s = watching->user;
  pthread_mutex_lock(&s->f->mutex);
  for (Observer* o = s->observers; o != NULL; o = o->next) {
    bp_message copied;
    if (!copy_message(&messages[n - 1], &copied)) continue;
    drop_message(&o->latest);
    o->latest = copied;
    o->latest.flags = 0;
    o->fresh = true;
  }
  drop_message(&s->last);
  if (!copy_message(&messages[n - 1], &s->last)) s->last = message_of(value_null());
  pump_wake_locked(s->f);
  pthread_mutex_unlock(&s->f->mutex);
  return BP_OK;
}

static const bp_sink kNotifications = {BP_SIZE_TO(bp_sink, next), 0, on_notification};

// The first observer starts the one watch of the handler, the last one ends it. PENDING: it stands,
// or will.
static bp_status watch_handler(Served* s) {
  reap_watch(s);
  if (s->unwatching) return BP_PENDING;
  if (s->watching == NULL) {
    const bp_pair headers[] = {header(BP_H_PATH, value_text(s->path))};
    CallRequest request = {.verb = BP_V_WATCH,
                           .target = s->handler,
                           .credit = UINT32_MAX,
                           .sink = &kNotifications,
                           .user = s};
    request.in = message_of(value_null());
    request.in.headers = headers;
    request.in.n_headers = 1;
    s->watching = call_start(s->f, &request);
    if (s->watching == NULL) return BP_RESOURCE_EXHAUSTED;
  }
  return call_finished(s->watching) ? s->watching->op->status : BP_PENDING;
}

static void unwatch_handler(Served* s) {
  if (s->watching == NULL || s->unwatching) return;
  s->unwatching = true;
  call_cancel(s->watching);
  reap_watch(s);
}

static void join(Observer* o) {
  Served* s = o->resource;
  pthread_mutex_lock(&s->f->mutex);
  if (s->last.owner != NULL && copy_message(&s->last, &o->latest)) {
    o->latest.flags = BP_M_INITIAL;
    o->fresh = true;
  }
  o->next = s->observers;
  s->observers = o;
  o->joined = true;
  pthread_mutex_unlock(&s->f->mutex);
}

static bp_status observer_step(Work* self) {
  Observer* o = self->state;
  Served* s = o->resource;
  Fake* f = self->f;
  pthread_mutex_lock(&f->mutex);
  const bool withdrawn = s->handler == 0;
  pthread_mutex_unlock(&f->mutex);
  if (work_cancelled(self)) return BP_CANCELLED;
  if (withdrawn) return fail(self->op, BP_NOT_FOUND, 404, "coap", "not served any more");
  if (!o->joined) join(o);
  const bp_status watching = watch_handler(s);
  if (watching != BP_PENDING) return watching < 0 ? watching : BP_UNAVAILABLE;
  if (work_credit(self) == 0) return BP_PENDING;
  bp_message latest = message_of(value_null());
  pthread_mutex_lock(&f->mutex);
  const bool fresh = o->fresh;
  if (fresh) {
    latest = o->latest;
    o->latest = message_of(value_null());
    o->fresh = false;
  }
  pthread_mutex_unlock(&f->mutex);
  if (!fresh) return BP_PENDING;
  work_spend(self, 1);
  const bp_status status = f->endpoints->deliver(f->host, self->op, &latest, 1);
  drop_message(&latest);
  return status < 0 ? status : BP_PENDING;
}

static void observer_end(Work* self) {
  Observer* o = self->state;
  Served* s = o->resource;
  pthread_mutex_lock(&self->f->mutex);
  for (Observer** at = &s->observers; *at != NULL; at = &(*at)->next) {
    if (*at == o) {
      *at = o->next;
      break;
    }
  }
  const bool last = s->observers == NULL;
  pthread_mutex_unlock(&self->f->mutex);
  if (last) unwatch_handler(s);
  drop_message(&o->latest);
  free(o);
  served_leave(self->f, s);
}

bp_status observe(bp_op* op, Served* s) {
  Observer* o = calloc(1, sizeof *o);
  if (o == NULL) return BP_RESOURCE_EXHAUSTED;
  o->resource = s;
  o->latest = message_of(value_null());
  const bp_status status = work_begin(s->f, op, NULL, observer_step, observer_end, o);
  if (status != BP_PENDING) free(o);
  return status;
}
