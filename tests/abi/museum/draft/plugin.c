/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin of its time: `value` is read, written and watched, `echo` answers a call a little later.
 */
#include <backplane/backplane.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { kWatches = 16 };

typedef struct Watch {
  bp_op* op; /* NULL: free */
  uint32_t credit;
} Watch;

typedef struct Exhibit {
  const bp_host* host;
  const bp_endpoint_service* endpoints;
  const bp_executor_service* executor;
  pthread_mutex_t mutex; /* of all below; recursive: deliver may call back */
  double value;
  uint64_t seq;
  Watch watches[kWatches];
  bp_op* echoes; /* pending, linked by impl[0]; impl[1] marks that it is here */
} Exhibit;

static bp_status refuse(bp_error* error, bp_status code, const char* text) {
  if (error != NULL) {
    memset(error, 0, sizeof *error);
    error->code = code;
    error->message_len = (uint32_t)strlen(text);
    memcpy(error->message, text, error->message_len);
  }
  return code;
}

static bp_value number(double value) {
  return (bp_value){.tag = BP_T_FLOAT, .aux = 64, .as.f = value};
}

/* ---- value ---- */

static void end_watch(Exhibit* e, Watch* watch, bp_status status) {
  bp_op* op = watch->op;
  watch->op = NULL;
  e->endpoints->complete(e->host, op, status);
}

static void tell(Exhibit* e, Watch* watch, uint32_t flags) {
  const bp_message message = {
      .body = number(e->value), .flags = flags, .time_ns = BP_TIME_NONE, .seq = ++e->seq};
  const bp_op* op = watch->op;
  if (op == NULL || watch->credit == 0) return;
  if (watch->credit != UINT32_MAX) --watch->credit;
  const bp_status status = e->endpoints->deliver(e->host, watch->op, &message, 1);
  if (status < 0 && watch->op == op) end_watch(e, watch, status);
}

static Watch* find(Exhibit* e, const bp_op* op) {
  for (size_t i = 0; i < kWatches; ++i) {
    if (e->watches[i].op == op) return &e->watches[i];
  }
  return NULL;
}

static bp_status value_verb(Exhibit* e, bp_op* op) {
  if (op->verb == BP_V_READ) {
    op->out.body = number(e->value);
    op->out.time_ns = BP_TIME_NONE;
    return BP_OK;
  }
  if (op->verb == BP_V_WRITE) {
    if (op->in == NULL || op->in->body.tag != BP_T_FLOAT)
      return refuse(op->error, BP_INVALID_ARGUMENT, "'value' takes a double");
    e->value = op->in->body.as.f;
    for (size_t i = 0; i < kWatches; ++i) tell(e, &e->watches[i], 0);
    return BP_OK;
  }
  Watch* watch = find(e, NULL);
  if (watch == NULL) return refuse(op->error, BP_RESOURCE_EXHAUSTED, "too many watches");
  *watch = (Watch){op, op->credit};
  tell(e, watch, BP_M_INITIAL);
  return BP_PENDING;
}

static bp_status value_submit(bp_op* op) {
  Exhibit* e = op->self;
  pthread_mutex_lock(&e->mutex);
  const bp_status status = value_verb(e, op);
  pthread_mutex_unlock(&e->mutex);
  return status;
}

static void value_cancel(bp_op* op) {
  Exhibit* e = op->self;
  pthread_mutex_lock(&e->mutex);
  Watch* watch = find(e, op);
  if (watch != NULL) end_watch(e, watch, BP_CANCELLED);
  pthread_mutex_unlock(&e->mutex);
}

static void value_credit(bp_op* op, uint32_t n) {
  Exhibit* e = op->self;
  pthread_mutex_lock(&e->mutex);
  Watch* watch = find(e, op);
  if (watch != NULL)
    watch->credit = watch->credit > UINT32_MAX - n ? UINT32_MAX : watch->credit + n;
  pthread_mutex_unlock(&e->mutex);
}

static void leave(void* self) { (void)self; }

static const bp_endpoint_ops kValue = {
    .struct_size = BP_SIZE_TO(bp_endpoint_ops, close),
    .submit = value_submit,
    .cancel = value_cancel,
    .credit = value_credit,
    .close = leave,
};

/* ---- echo ---- */

static bp_op* take_echo(Exhibit* e, const bp_op* which) {
  for (uint64_t* at = NULL;;) {
    bp_op* op = at == NULL ? e->echoes : (bp_op*)(uintptr_t)*at;
    if (op == NULL) return NULL;
    if (op == which || which == NULL) {
      if (at == NULL) {
        e->echoes = (bp_op*)(uintptr_t)op->impl[0];
      } else {
        *at = op->impl[0];
      }
      return op;
    }
    at = &op->impl[0];
  }
}

/* On the loop. */
static void answer(void* user) {
  Exhibit* e = user;
  pthread_mutex_lock(&e->mutex);
  bp_op* op = take_echo(e, NULL);
  pthread_mutex_unlock(&e->mutex);
  if (op == NULL) return; /* cancelled */
  op->out.body = op->in != NULL && op->in->body.tag == BP_T_INT ? op->in->body : number(0);
  op->out.time_ns = BP_TIME_NONE;
  e->endpoints->complete(e->host, op, BP_OK);
}

static bp_status echo_submit(bp_op* op) {
  Exhibit* e = op->self;
  pthread_mutex_lock(&e->mutex);
  const bp_status status = e->executor->post(e->host, answer, e);
  if (status == BP_OK) {
    op->impl[0] = (uintptr_t)e->echoes;
    e->echoes = op;
  }
  pthread_mutex_unlock(&e->mutex);
  return status == BP_OK ? BP_PENDING : status;
}

static void echo_cancel(bp_op* op) {
  Exhibit* e = op->self;
  pthread_mutex_lock(&e->mutex);
  bp_op* pending = take_echo(e, op);
  pthread_mutex_unlock(&e->mutex);
  if (pending != NULL) e->endpoints->complete(e->host, pending, BP_CANCELLED);
}

static const bp_endpoint_ops kEcho = {
    .struct_size = BP_SIZE_TO(bp_endpoint_ops, close),
    .submit = echo_submit,
    .cancel = echo_cancel,
    .close = leave,
};

/* ---- the instance ---- */

static bp_status create(const bp_host* host, const bp_value* config, void** instance,
                        bp_error* error) {
  Exhibit* e = calloc(1, sizeof *e);
  if (e == NULL) return refuse(error, BP_RESOURCE_EXHAUSTED, "no memory");
  e->host = host;
  e->endpoints = host->get_service(host, BP_S_ENDPOINT);
  e->executor = host->get_service(host, BP_S_EXECUTOR);
  for (uint32_t i = 0; i < config->len; ++i) {
    const bp_pair* key = &config->as.map[i];
    if (key->key.len == 7 && memcmp(key->key.as.s, "initial", 7) == 0)
      e->value = key->val.tag == BP_T_INT ? (double)key->val.as.i : key->val.as.f;
  }
  pthread_mutexattr_t recursive;
  pthread_mutexattr_init(&recursive);
  pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
  pthread_mutex_init(&e->mutex, &recursive);
  pthread_mutexattr_destroy(&recursive);
  *instance = e;
  return BP_OK;
}

static bp_status nothing(void* instance, bp_op* op) {
  (void)instance;
  (void)op;
  return BP_OK;
}

static bp_status stop(void* instance, bp_op* op) {
  Exhibit* e = instance;
  (void)op;
  pthread_mutex_lock(&e->mutex);
  for (size_t i = 0; i < kWatches; ++i) {
    if (e->watches[i].op != NULL) end_watch(e, &e->watches[i], BP_UNAVAILABLE);
  }
  bp_op* echo = take_echo(e, NULL);
  while (echo != NULL) {
    e->endpoints->complete(e->host, echo, BP_UNAVAILABLE);
    echo = take_echo(e, NULL);
  }
  pthread_mutex_unlock(&e->mutex);
  return BP_OK;
}

static void destroy(void* instance) {
  Exhibit* e = instance;
  pthread_mutex_destroy(&e->mutex);
  free(e);
}

static bp_status open_path(void* instance, bp_str path, const bp_message* options, bp_op* op,
                           bp_endpoint* out) {
  (void)options;
  if (path.len == 5 && memcmp(path.ptr, "value", 5) == 0) {
    *out = (bp_endpoint){&kValue, instance,
                         BP_VERB_BIT(BP_V_READ) | BP_VERB_BIT(BP_V_WRITE) | BP_VERB_BIT(BP_V_WATCH),
                         0};
    return BP_OK;
  }
  if (path.len == 4 && memcmp(path.ptr, "echo", 4) == 0) {
    *out = (bp_endpoint){&kEcho, instance, BP_VERB_BIT(BP_V_CALL), 0};
    return BP_OK;
  }
  return refuse(op->error, BP_NOT_FOUND, "there are 'value' and 'echo'");
}

static const char* const kNeeds[] = {BP_S_ENDPOINT, BP_S_EXECUTOR, NULL};
static const bp_plugin kPlugin = {
    .struct_size = BP_SIZE_TO(bp_plugin, cancel),
    .minor_built = BP_ABI_MINOR,
    .minor_needed = 0,
    .id = BP_STR("exhibit"),
    .version = BP_STR("1.0.0"),
    .flags = BP_PLUGIN_MULTI_INSTANCE,
    .needs = kNeeds,
    .create = create,
    .start = nothing,
    .drain = nothing,
    .stop = stop,
    .destroy = destroy,
    .open = open_path,
};

BP_EXPORT bp_status bp_plugin_entry_1(const bp_offer* offer, const bp_plugin** out,
                                      bp_error* error) {
  (void)offer;
  (void)error;
  *out = &kPlugin;
  return BP_OK;
}
