// SPDX-License-Identifier: Apache-2.0
// A plugin with one value that is read, written and watched. The key `way` breaks it in one way, so
// that the conformance suite can be seen to find each. Its entry is broken by BROKEN_ENTRY of the
// environment, since it has no configuration yet.
#include "backplane/plugin.h"
#include "backplane/service/endpoint.h"
#include "backplane/service/log.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { kWatches = 32, kLeak = 8 * 1024 };

typedef struct Watch {
  bp_op* op;  // NULL: free
  uint32_t credit;
  bool told;  // has the present value
} Watch;

typedef struct Broken {
  const bp_host* host;
  const bp_endpoint_service* endpoints;
  char way[32];
  pthread_mutex_t mutex;  // recursive: deliver calls back
  double value;
  double before;
  uint64_t seq;
  const bp_message* kept;
  Watch watches[kWatches];
} Broken;

static double shared;  // of all instances
static void* leaked;   // the last one, which begins with the one before

static bool is(const Broken* b, const char* way) { return strcmp(b->way, way) == 0; }
static void crash_if(const Broken* b, const char* way) {
  if (is(b, way)) abort();
}
static void leak(void) {
  void** more = calloc(1, kLeak);
  if (more == NULL) return;
  *more = leaked;
  leaked = more;
}
static void* wait_for_ever(void* nothing) {
  for (;;) pause();
  return nothing;
}
static void leave_a_thread(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, wait_for_ever, NULL);
  pthread_detach(thread);
}

static void sleep_if(const Broken* b, const char* way) {
  if (is(b, way)) usleep(200);
}

static bp_value number(double value) {
  return (bp_value){.tag = BP_T_FLOAT, .aux = 64, .as.f = value};
}

// ---- watches ----

static void end(Broken* b, Watch* w, bp_status status) {
  bp_op* op = w->op;
  w->op = NULL;
  b->endpoints->complete(b->host, op, is(b, "ends_well_always") ? BP_OK : status);
  if (is(b, "delivers_after_the_end")) {
    const bp_message late = {.body = number(b->value), .time_ns = BP_TIME_NONE};
    b->endpoints->deliver(b->host, op, &late, 1);
  }
}

static void tell(Broken* b, Watch* w, uint32_t flags) {
  if (w->op == NULL || w->credit == 0) {
    if (is(b, "keeps_for_slow_ones")) leak();
    return;
  }
  const bp_op* op = w->op;
  if (w->credit != UINT32_MAX) --w->credit;
  w->told = true;
  ++b->seq;
  const bp_message message = {
      .body = number(is(b, "is_late") ? b->before : b->value),
      .flags = flags,
      .time_ns = BP_TIME_NONE,
      .seq = is(b, "counts_backwards") ? 1000000 - b->seq : b->seq,
  };
  const bp_status status = b->endpoints->deliver(b->host, w->op, &message, 1);
  if (status < 0 && w->op == op) end(b, w, status);
}

static Watch* find(Broken* b, const bp_op* op) {
  for (size_t i = 0; i < kWatches; ++i) {
    if (b->watches[i].op == op) return &b->watches[i];
  }
  return NULL;
}

// ---- the endpoint ----

static bp_status read_value(Broken* b, bp_op* op) {
  if (is(b, "never_completes")) return BP_PENDING;
  if (is(b, "blocks")) wait_for_ever(NULL);
  if (is(b, "writes_before_the_scratch") && op->scratch != NULL)
    memset((char*)op->scratch - 8, 0, 8);
  if (is(b, "writes_behind_the_scratch") && op->scratch != NULL)
    memset(op->scratch, 0, op->scratch_len + 1);
  op->out.body = number(is(b, "shares_its_value") ? shared : b->value);
  if (is(b, "answers_with_its_own_memory")) {
    op->out.body = (bp_value){.tag = BP_T_STRING, .len = 4, .as.s = b->way};
    return BP_OK;
  }
  if (b->kept != NULL) op->out.body = number(b->kept->body.as.f);
  if (is(b, "completes_twice")) {
    b->endpoints->complete(b->host, op, BP_OK);
    b->endpoints->complete(b->host, op, BP_OK);
    return BP_PENDING;
  }
  if (is(b, "completes_and_returns")) b->endpoints->complete(b->host, op, BP_OK);
  return BP_OK;
}

static bp_status write_value(Broken* b, bp_op* op) {
  if (op->in == NULL || (op->in->body.tag != BP_T_FLOAT && !is(b, "takes_anything")))
    return BP_INVALID_ARGUMENT;
  b->before = b->value;
  b->value = shared = op->in->body.as.f;
  if (is(b, "keeps_the_input")) b->kept = op->in;
  for (size_t i = 0; i < kWatches; ++i) tell(b, &b->watches[i], 0);
  return BP_OK;
}

static bp_status watch_value(Broken* b, bp_op* op) {
  if (is(b, "has_one_watcher") && b->watches[0].op != NULL) return BP_RESOURCE_EXHAUSTED;
  Watch* w = find(b, NULL);
  if (w == NULL) return BP_RESOURCE_EXHAUSTED;
  *w = (Watch){op, is(b, "ignores_the_first_credit") ? 0 : op->credit, false};
  tell(b, w, BP_M_INITIAL);
  return BP_PENDING;
}

static bp_status submit(bp_op* op) {
  Broken* b = op->self;
  crash_if(b, "crashes_in_submit");
  sleep_if(b, "sleeps_in_submit");
  pthread_mutex_lock(&b->mutex);
  const bp_status status = op->verb == BP_V_READ    ? read_value(b, op)
                           : op->verb == BP_V_WRITE ? write_value(b, op)
                                                    : watch_value(b, op);
  pthread_mutex_unlock(&b->mutex);
  return status;
}

static void cancel(bp_op* op) {
  Broken* b = op->self;
  crash_if(b, "crashes_in_cancel");
  sleep_if(b, "sleeps_in_cancel");
  if (is(b, "ignores_cancel")) return;
  pthread_mutex_lock(&b->mutex);
  Watch* w = find(b, op);
  if (w != NULL) end(b, w, BP_CANCELLED);
  pthread_mutex_unlock(&b->mutex);
}

static void credit(bp_op* op, uint32_t n) {
  Broken* b = op->self;
  if (is(b, "ignores_more_credit")) return;
  pthread_mutex_lock(&b->mutex);
  Watch* w = find(b, op);
  if (w != NULL) w->credit = w->credit > UINT32_MAX - n ? UINT32_MAX : w->credit + n;
  pthread_mutex_unlock(&b->mutex);
}

static void close_endpoint(void* self) { crash_if(self, "crashes_in_close"); }

static const bp_endpoint_ops kOps = {
    BP_SIZE_TO(bp_endpoint_ops, close), 0, submit, NULL, cancel, credit, NULL, close_endpoint};

// ---- the instance ----

static void forget(bp_op* op) { (void)op; }

/// What is wrong about its ways with the host.
static bp_status meet(const Broken* b) {
  const bp_host* host = b->host;
  const bp_endpoint_service* endpoints = b->endpoints;
  static volatile char seen;
  if (is(b, "looks_behind_the_table"))
    seen = ((const char*)endpoints)[BP_SIZE_TO(bp_endpoint_service, verbs)];
  if (is(b, "takes_no_other_size") && endpoints->struct_size != sizeof *endpoints)
    return BP_UNIMPLEMENTED;
  if (is(b, "trusts_in_a_log")) {
    const bp_log_service* log = host->get_service(host, BP_S_LOG);
    log->write(host, BP_LOG_DEBUG, (bp_str)BP_STR("hello"), NULL, 0);
  }
  if (is(b, "trusts_in_memory")) {
    bp_op* op = endpoints->op_new(host);
    op->verb = BP_V_READ;
    endpoints->op_free(host, op);
  }
  if (is(b, "trusts_in_an_answer_at_once")) {
    bp_op* op = endpoints->op_new(host);
    op->verb = BP_V_READ; /* of nothing */
    op->done = &forget;
    if (endpoints->submit(host, op) == BP_PENDING) return BP_INTERNAL;
    endpoints->op_free(host, op);
  }
  if (is(b, "waits_for_an_answer_at_once")) {
    bp_op* op = endpoints->op_new(host);
    op->verb = BP_V_READ; /* of nothing */
    op->done = &forget;
    if (endpoints->submit(host, op) >= BP_OK) return BP_INTERNAL; /* `done` is not called */
    endpoints->op_free(host, op);
  }
  (void)seen;
  return BP_OK;
}

static bp_status create(const bp_host* host, const bp_value* config, void** instance,
                        bp_error* error) {
  (void)error;
  Broken* b = calloc(1, sizeof *b);
  if (b == NULL) return BP_RESOURCE_EXHAUSTED;
  b->host = host;
  b->endpoints = host->get_service(host, BP_S_ENDPOINT);
  b->value = 20.5;
  for (uint32_t i = 0; i < config->len; ++i) {
    const bp_value* way = &config->as.map[i].val;
    if (way->tag == BP_T_STRING && way->len < sizeof b->way) memcpy(b->way, way->as.s, way->len);
  }
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
  pthread_mutex_init(&b->mutex, &attributes);
  pthread_mutexattr_destroy(&attributes);
  crash_if(b, "crashes_in_create");
  const bp_status met = meet(b);
  if (met != BP_OK) {
    free(b);
    return met;
  }
  *instance = b;
  return BP_OK;
}

static bp_status start(void* instance, bp_op* op) {
  const Broken* b = instance;
  (void)op;
  crash_if(b, "crashes_in_start");
  if (is(b, "leaks_memory")) leak();
  if (is(b, "leaks_a_thread")) leave_a_thread();
  if (is(b, "leaks_a_descriptor")) (void)open("/dev/null", O_RDONLY | O_CLOEXEC);
  return is(b, "never_starts") ? BP_PENDING : BP_OK;
}

static bp_status drain(void* instance, bp_op* op) {
  (void)op;
  crash_if(instance, "crashes_in_drain");
  return BP_OK;
}

static bp_status stop(void* instance, bp_op* op) {
  Broken* b = instance;
  (void)op;
  crash_if(b, "crashes_in_stop");
  if (is(b, "never_stops")) return BP_PENDING;
  pthread_mutex_lock(&b->mutex);
  for (size_t i = 0; i < kWatches; ++i) {
    if (b->watches[i].op != NULL) end(b, &b->watches[i], BP_UNAVAILABLE);
  }
  pthread_mutex_unlock(&b->mutex);
  return BP_OK;
}

static void destroy(void* instance) {
  Broken* b = instance;
  crash_if(b, "crashes_in_destroy");
  pthread_mutex_destroy(&b->mutex);
  free(b);
}

static bp_status open_path(void* instance, bp_str path, const bp_message* options, bp_op* op,
                           bp_endpoint* out) {
  (void)options;
  (void)op;
  crash_if(instance, "crashes_in_open");
  if (path.len != 5 || memcmp(path.ptr, "value", 5) != 0) return BP_NOT_FOUND;
  *out = (bp_endpoint){&kOps, instance, 1u << BP_V_READ | 1u << BP_V_WRITE | 1u << BP_V_WATCH, 0};
  return BP_OK;
}

static const char* const kNeeds[] = {BP_S_ENDPOINT, NULL};
#define BROKEN_TABLE                                                                    \
  {                                                                                     \
    .struct_size = BP_SIZE_TO(bp_plugin, cancel), .id = BP_STR("broken"),               \
    .version = BP_STR("1.0.0"), .flags = BP_PLUGIN_MULTI_INSTANCE, .needs = kNeeds,     \
    .create = create, .start = start, .drain = drain, .stop = stop, .destroy = destroy, \
    .open = open_path                                                                   \
  }
static bp_plugin tables[2] = {BROKEN_TABLE, BROKEN_TABLE};

BP_EXPORT bp_status bp_plugin_entry_1(const bp_offer* offer, const bp_plugin** out,
                                      bp_error* error) {
  static unsigned calls;
  const char* way = getenv("BROKEN_ENTRY");
  (void)offer;
  (void)error;
  *out = &tables[0];
  if (way == NULL) return BP_OK;
  if (strcmp(way, "prints") == 0) puts("hello");
  if (strcmp(way, "is_slow") == 0) usleep(1200000);
  if (strcmp(way, "starts_a_thread") == 0) leave_a_thread();
  if (strcmp(way, "opens_a_file") == 0) (void)open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (strcmp(way, "gives_another_table") == 0) *out = &tables[calls++ % 2];
  if (strcmp(way, "changes_its_table") == 0) tables[0].flags ^= BP_PLUGIN_OWN_THREADS;
  if (strcmp(way, "lies_about_its_id") == 0) tables[0].id = (bp_str)BP_STR("sound");
  if (strcmp(way, "lies_about_its_version") == 0) tables[0].version = (bp_str)BP_STR("1.0.1");
  if (strcmp(way, "lacks_stop") == 0) tables[0].stop = NULL;
  if (strcmp(way, "crashes") == 0) abort();
  return BP_OK;
}
