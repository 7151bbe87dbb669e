/* SPDX-License-Identifier: Apache-2.0 */
/* The cheapest endpoint there can be: what is measured is the way to it. Paths: `value` answers
 * inline; `later` keeps one call pending until the next operation on `finish`, and feeds a watcher
 * from `feed`. One thread. */
#include "backplane/plugin.h"
#include "backplane/service/endpoint.h"

#include <stdlib.h>
#include <string.h>

typedef struct instance {
  const bp_host* host;
  const bp_endpoint_service* service;
  double value;
  uint64_t bytes_seen;
  bp_op* pending;
  bp_op* watcher;
  uint64_t seq;
  uint64_t acked;
  bp_message batch[64];
} instance;

static bp_status submit_value(bp_op* op) {
  instance* self = op->self;
  switch (op->verb) {
    case BP_V_READ:
      op->out.body.tag = BP_T_FLOAT;
      op->out.body.aux = 64;
      op->out.body.as.f = self->value;
      return BP_OK;
    case BP_V_WRITE: {
      const bp_message* in = op->in;
      if (in->body.tag == BP_T_FLOAT) {
        self->value = in->body.as.f;
      } else if (in->body.tag == BP_T_MAP) {
        for (uint32_t i = 0; i < in->body.len; ++i)
          self->bytes_seen += in->body.as.map[i].key.len + in->body.as.map[i].val.len;
      }
      for (uint32_t i = 0; i < in->n_headers; ++i) self->bytes_seen += in->headers[i].val.len;
      return BP_OK;
    }
    default:
      return BP_UNIMPLEMENTED;
  }
}

static bp_status submit_later(bp_op* op) {
  instance* self = op->self;
  if (op->verb == BP_V_WATCH) {
    self->watcher = op;
    return BP_PENDING;
  }
  self->pending = op;
  return BP_PENDING;
}

static bp_status submit_finish(bp_op* op) {
  instance* self = op->self;
  bp_op* pending = self->pending;
  self->pending = NULL;
  if (pending != NULL) self->service->complete(self->host, pending, BP_OK);
  return BP_OK;
}

/* Feeds as many messages as the written number says, at most 64. */
static bp_status submit_feed(bp_op* op) {
  instance* self = op->self;
  const uint32_t n = (uint32_t)op->in->body.as.u;
  if ((self->watcher->flags & BP_OP_ACK) != 0) {
    for (uint32_t i = 0; i < n; ++i) self->batch[i].seq = ++self->seq;
  }
  return self->service->deliver(self->host, self->watcher, self->batch, n);
}

static void cancel(bp_op* op) {
  instance* self = op->self;
  if (self->pending == op) self->pending = NULL;
  if (self->watcher == op) self->watcher = NULL;
  self->service->complete(self->host, op, BP_CANCELLED);
}
static void ack(bp_op* op, uint64_t seq, bp_status status) {
  instance* self = op->self;
  self->acked = status == BP_OK ? seq : self->acked;
}
static void close_endpoint(void* self) { (void)self; }

#define TABLE(function) \
  { BP_SIZE_TO(bp_endpoint_ops, close), 0, function, NULL, cancel, NULL, ack, close_endpoint }
static const bp_endpoint_ops value_ops = TABLE(submit_value);
static const bp_endpoint_ops later_ops = TABLE(submit_later);
static const bp_endpoint_ops finish_ops = TABLE(submit_finish);
static const bp_endpoint_ops feed_ops = TABLE(submit_feed);

static bp_status create(const bp_host* host, const bp_value* config, void** out, bp_error* error) {
  (void)config;
  (void)error;
  instance* self = calloc(1, sizeof *self);
  if (self == NULL) return BP_RESOURCE_EXHAUSTED;
  self->host = host;
  self->service = host->get_service(host, BP_S_ENDPOINT);
  for (size_t i = 0; i < 64; ++i) {
    self->batch[i].body.tag = BP_T_FLOAT;
    self->batch[i].body.aux = 64;
    self->batch[i].time_ns = BP_TIME_NONE;
  }
  *out = self;
  return BP_OK;
}
static bp_status nothing(void* self, bp_op* op) {
  (void)self;
  (void)op;
  return BP_OK;
}
static bp_status open_path(void* self, bp_str path, const bp_message* options, bp_op* op,
                           bp_endpoint* out) {
  (void)options;
  (void)op;
  const bp_endpoint_ops* ops = path.ptr[0] == 'v'   ? &value_ops
                               : path.ptr[0] == 'l' ? &later_ops
                               : path.len == 6      ? &finish_ops
                                                    : &feed_ops;
  *out = (bp_endpoint){ops, self, UINT32_MAX, 0};
  return BP_OK;
}

static const char* const needs[] = {BP_S_ENDPOINT, NULL};
static const bp_plugin plugin = {BP_SIZE_TO(bp_plugin, cancel),
                                 BP_ABI_MINOR,
                                 0,
                                 BP_STR("bench"),
                                 BP_STR("1.0.0"),
                                 BP_PLUGIN_MULTI_INSTANCE,
                                 needs,
                                 create,
                                 nothing,
                                 nothing,
                                 nothing,
                                 free,
                                 open_path,
                                 NULL};

BP_EXPORT bp_status bp_plugin_entry_1(const bp_offer* offer, const bp_plugin** out,
                                      bp_error* error) {
  (void)offer;
  (void)error;
  *out = &plugin;
  return BP_OK;
}
