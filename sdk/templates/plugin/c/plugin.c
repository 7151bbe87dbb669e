/* my_plugin: one value that is read and written. */
#include <backplane/backplane.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An instance, and the `self` of its endpoint. */
typedef struct Value {
  _Atomic double now;
} Value;

static bp_status fail(bp_error* error, bp_status code, const char* text) {
  if (error != NULL) {
    const size_t size = strlen(text);
    memset(error, 0, sizeof *error);
    error->code = code;
    error->message_len = (uint32_t)(size < sizeof error->message ? size : sizeof error->message);
    memcpy(error->message, text, error->message_len);
  }
  return code;
}

/* ---- the endpoint ---- */

static bp_status value_submit(bp_op* op) {
  Value* value = op->self;
  switch (op->verb) {
    case BP_V_READ:
      op->out.body.tag = BP_T_FLOAT;
      op->out.body.aux = 64;
      op->out.body.as.f = atomic_load(&value->now);
      op->out.time_ns = BP_TIME_NONE;
      return BP_OK;
    case BP_V_WRITE:
      if (op->in != NULL && op->in->body.tag == BP_T_FLOAT) {
        atomic_store(&value->now, op->in->body.as.f);
      } else if (op->in != NULL && op->in->body.tag == BP_T_INT) {
        atomic_store(&value->now, (double)op->in->body.as.i);
      } else {
        return fail(op->error, BP_INVALID_ARGUMENT, "'value' takes a number");
      }
      return BP_OK;
    default:
      return fail(op->error, BP_UNIMPLEMENTED, "'value' is read and written");
  }
}

/* Nothing pends here, so there is nothing to cancel; and the instance owns the value. */
static void value_cancel(bp_op* op) { (void)op; }
static void value_close(void* self) { (void)self; }

static const bp_endpoint_ops kValue = {
    .struct_size = BP_SIZE_TO(bp_endpoint_ops, close),
    .submit = value_submit,
    .cancel = value_cancel,
    .close = value_close,
};

/* ---- the instance ---- */

static bp_status create(const bp_host* host, const bp_value* config, void** instance,
                        bp_error* error) {
  (void)host;
  Value* value = calloc(1, sizeof *value);
  if (value == NULL) return fail(error, BP_RESOURCE_EXHAUSTED, "no memory");
  for (uint32_t i = 0; i < config->len; ++i) {
    const bp_pair* key = &config->as.map[i];
    if (key->key.len == 7 && memcmp(key->key.as.s, "initial", 7) == 0) {
      const bp_value* initial = &key->val;
      atomic_init(&value->now, initial->tag == BP_T_INT ? (double)initial->as.i : initial->as.f);
    }
  }
  *instance = value;
  return BP_OK;
}

static bp_status nothing(void* instance, bp_op* op) {
  (void)instance;
  (void)op;
  return BP_OK;
}

static void destroy(void* instance) { free(instance); }

static bp_status open_path(void* instance, bp_str path, const bp_message* options, bp_op* op,
                           bp_endpoint* out) {
  (void)options;
  if (path.len != 5 || memcmp(path.ptr, "value", 5) != 0) {
    char text[96];
    (void)snprintf(text, sizeof text, "no '%.*s' here: there is 'value'",
                   (int)(path.len < 40 ? path.len : 40), path.ptr);
    return fail(op->error, BP_NOT_FOUND, text);
  }
  *out = (bp_endpoint){
      .ops = &kValue,
      .self = instance,
      .verbs = BP_VERB_BIT(BP_V_READ) | BP_VERB_BIT(BP_V_WRITE),
  };
  return BP_OK;
}

static const bp_plugin kPlugin = {
    .struct_size = BP_SIZE_TO(bp_plugin, cancel),
    .minor_built = BP_ABI_MINOR,
    .minor_needed = 0,
    .id = BP_STR("my_plugin"),
    .version = BP_STR("0.1.0"),
    .flags = BP_PLUGIN_MULTI_INSTANCE,
    .needs = (const char* const[]){NULL},
    .create = create,
    .start = nothing,
    .drain = nothing,
    .stop = nothing,
    .destroy = destroy,
    .open = open_path,
};

bp_status bp_plugin_entry_1(const bp_offer* offer, const bp_plugin** out, bp_error* error) {
  if (offer->minor_max < kPlugin.minor_needed) {
    return fail(error, BP_FAILED_PRECONDITION, "my_plugin needs a newer kernel");
  }
  *out = &kPlugin;
  return BP_OK;
}
