// SPDX-License-Identifier: Apache-2.0
#include "fake_plugin.h"
#include "mechanisms.h"
#include "work.h"

#include <stdio.h>
#include <stdlib.h>

static const struct {
  const char* word;
  bp_status (*open)(Fake* f, bp_str rest, bp_endpoint* out);
} kPaths[] = {
    {"chat", chat_open},    {"node", node_open},   {"folder", references_open},
    {"bus", bus_open},      {"model", model_open}, {"session", session_open},
    {"serve/", serve_open}, {"wire/", wire_open},  {"inbox/", inbox_open},
    {"gate/", gate_open},
};

static const bp_value* config_key(const bp_value* config, const char* key) {
  for (uint32_t i = 0; i < config->len; ++i) {
    if (value_is_text(&config->as.map[i].key, key)) return &config->as.map[i].val;
  }
  return NULL;
}

static void set_error(bp_error* error, bp_status code, const char* text) {
  if (error == NULL) return;
  memset(error, 0, sizeof *error);
  error->code = code;
  error->message_len = (uint32_t)strlen(text);
  memcpy(error->message, text, error->message_len);
}

static bp_status create(const bp_host* host, const bp_value* config, void** instance,
                        bp_error* error) {
  Fake* f = calloc(1, sizeof *f);
  if (f == NULL) {
    set_error(error, BP_RESOURCE_EXHAUSTED, "no memory");
    return BP_RESOURCE_EXHAUSTED;
  }
  f->host = host;
  f->endpoints = host->get_service(host, BP_S_ENDPOINT);
  f->executor = host->get_service(host, BP_S_EXECUTOR);
  if (f->endpoints == NULL || f->executor == NULL) {
    free(f);
    set_error(error, BP_FAILED_PRECONDITION, "bp.endpoint/1 and bp.executor/1 are needed");
    return BP_FAILED_PRECONDITION;
  }
  const bp_value* references = config_key(config, "references");
  f->references = references == NULL ? 10000u : (uint32_t)references->as.i;
  f->kept = message_of(value_null());
  pthread_mutex_init(&f->mutex, NULL);
  *instance = f;
  return BP_OK;
}

static bp_status start(void* instance, bp_op* op) {
  (void)instance;
  (void)op;
  return BP_OK;
}

static bp_status drain(void* instance, bp_op* op) {
  (void)instance;
  (void)op;
  return BP_OK;
}

static bp_status stop(void* instance, bp_op* op) {
  Fake* f = instance;
  pthread_mutex_lock(&f->mutex);
  f->stopped = true;
  f->stop = op;
  pump_wake_locked(f);
  pthread_mutex_unlock(&f->mutex);
  return BP_PENDING;
}

static void destroy(void* instance) {
  Fake* f = instance;
  chat_free_all(f);
  node_free_all(f);
  model_free_all(f);
  served_free_all(f);
  inbox_free_all(f);
  gate_free_all(f);
  drop_message(&f->kept);
  pthread_mutex_destroy(&f->mutex);
  free(f);
}

static bp_status open_path(void* instance, bp_str path, const bp_message* options, bp_op* op,
                           bp_endpoint* out) {
  (void)options;
  for (size_t i = 0; i < sizeof kPaths / sizeof kPaths[0]; ++i) {
    bp_str rest;
    if (str_after(path, kPaths[i].word, &rest)) {
      const bp_status status = kPaths[i].open(instance, rest, out);
      return status == BP_OK ? BP_OK : fail(op, status, 0, "fake", "no such path");
    }
  }
  return fail(op, BP_NOT_FOUND, 0, "fake", "no such path: kPaths in plugin.c has all");
}

static const char* const kNeeds[] = {BP_S_ENDPOINT, BP_S_EXECUTOR, NULL};

static const bp_plugin kPlugin = {.struct_size = BP_SIZE_TO(bp_plugin, cancel),
                                  .minor_built = BP_ABI_MINOR,
                                  .minor_needed = 0,
                                  .id = BP_STR("fake"),
                                  .version = BP_STR("1.0.0"),
                                  .flags = BP_PLUGIN_MULTI_INSTANCE,
                                  .needs = kNeeds,
                                  .create = create,
                                  .start = start,
                                  .drain = drain,
                                  .stop = stop,
                                  .destroy = destroy,
                                  .open = open_path};

bp_status fake_plugin_entry(const bp_offer* offer, const bp_plugin** out, bp_error* error) {
  if (offer->minor_max < kPlugin.minor_needed) {
    set_error(error, BP_FAILED_PRECONDITION, "this kernel is older than the plugin needs");
    return BP_FAILED_PRECONDITION;
  }
  *out = &kPlugin;
  return BP_OK;
}

bp_status end_open(Fake* f, const bp_endpoint_ops* ops, void* object, uint32_t verbs,
                   bp_endpoint* out) {
  End* self = malloc(sizeof *self);
  if (self == NULL) return BP_RESOURCE_EXHAUSTED;
  *self = (End){f, object};
  *out = (bp_endpoint){ops, self, verbs, 0};
  return BP_OK;
}

void end_close(void* self) { free(self); }

bp_status fail(bp_op* op, bp_status code, int32_t native, const char* domain, const char* text) {
  set_error(op->error, code, text);
  if (op->error != NULL) {
    op->error->native = native;
    snprintf(op->error->domain, sizeof op->error->domain, "%s", domain);
  }
  return code;
}

bool str_is(bp_str text, const char* literal) {
  return text.len == strlen(literal) && memcmp(text.ptr, literal, text.len) == 0;
}

bool str_after(bp_str text, const char* prefix, bp_str* rest) {
  const size_t len = strlen(prefix);
  if (text.len < len || memcmp(text.ptr, prefix, len) != 0) return false;
  *rest = (bp_str){text.ptr + len, text.len - len};
  return true;
}

bool method_is(const bp_op* op, const char* name) {
  return value_is_text(find_header(op->in, BP_H_METHOD), name);
}

bp_status answer(bp_op* op, const bp_message* message) {
  if (copy_result(message, op->scratch, op->scratch_len, &op->out)) return BP_OK;
  return fail(op, BP_RESOURCE_EXHAUSTED, 0, "fake", "no memory for the result");
}
