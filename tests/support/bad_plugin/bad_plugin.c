// SPDX-License-Identifier: Apache-2.0
// A good plugin, `bad`, which each target of CMakeLists.txt makes bad in one way, mostly by
// BP_BAD_STATEMENT, which its entry runs before it answers. Its endpoints are good or bad by their
// path.
#include "backplane/plugin.h"
#include "backplane/service/endpoint.h"

#include <string.h>

#ifndef BP_BAD_ENTRY
#define BP_BAD_ENTRY bp_plugin_entry_1
#endif
#ifndef BP_BAD_STATEMENT
#define BP_BAD_STATEMENT (void)0
#endif

static bp_status submit(bp_op* op) {
  (void)op;
  return BP_OK;
}
static void cancel(bp_op* op) { (void)op; }
static void close_endpoint(void* self) { (void)self; }

// What a newer plugin shows: more than this kernel knows.
typedef struct LongerOps {
  bp_endpoint_ops known;
  void* more[4];
} LongerOps;

static char junk;
static const LongerOps kOps = {
    {sizeof(LongerOps), 0, submit, NULL, cancel, NULL, NULL, close_endpoint}, {&junk, &junk}};
static const bp_endpoint_ops kNoSubmit = {
    BP_SIZE_TO(bp_endpoint_ops, close), 0, NULL, NULL, cancel, NULL, NULL, close_endpoint};
static const bp_endpoint_ops kNoCancel = {
    BP_SIZE_TO(bp_endpoint_ops, close), 0, submit, NULL, NULL, NULL, NULL, close_endpoint};
static const bp_endpoint_ops kNoClose = {
    BP_SIZE_TO(bp_endpoint_ops, close), 0, submit, NULL, cancel, NULL, NULL, NULL};
static const bp_endpoint_ops kShort = {
    BP_SIZE_TO(bp_endpoint_ops, ack), 0, submit, NULL, cancel, NULL, NULL, close_endpoint};

static const struct {
  const char* path;
  const bp_endpoint_ops* ops;
} kPaths[] = {{"good", &kOps.known},   {"no_submit", &kNoSubmit}, {"no_cancel", &kNoCancel},
              {"no_close", &kNoClose}, {"short", &kShort},        {"no_table", NULL}};

static bp_status create(const bp_host* host, const bp_value* config, void** instance,
                        bp_error* error) {
  (void)host;
  (void)config;
  (void)error;
  *instance = &junk;
  return BP_OK;
}
static bp_status step(void* instance, bp_op* op) {
  (void)instance;
  (void)op;
  return BP_OK;
}
static void destroy(void* instance) { (void)instance; }
static bp_status open_path(void* instance, bp_str path, const bp_message* options, bp_op* op,
                           bp_endpoint* out) {
  (void)options;
  (void)op;
  for (size_t i = 0; i < sizeof kPaths / sizeof kPaths[0]; ++i) {
    if (path.len != strlen(kPaths[i].path) || memcmp(path.ptr, kPaths[i].path, path.len) != 0)
      continue;
    *out = (bp_endpoint){kPaths[i].ops, instance, BP_VERB_BIT(BP_V_READ), 0};
    return BP_OK;
  }
  return BP_NOT_FOUND;
}

static const char* const kNeeds[] = {BP_S_ENDPOINT, NULL};
static const char* const kOtherNeeds[] = {BP_S_ENDPOINT, "bp.log/1", NULL};

static struct {
  bp_plugin known;
  void* more[4];
} table = {{.struct_size = BP_SIZE_TO(bp_plugin, cancel),
            .minor_built = BP_ABI_MINOR,
            .minor_needed = 0,
            .id = BP_STR("bad"),
            .version = BP_STR("1.0.0"),
            .flags = BP_PLUGIN_MULTI_INSTANCE,
            .needs = kNeeds,
            .create = create,
            .start = step,
            .drain = step,
            .stop = step,
            .destroy = destroy,
            .open = open_path},
           {&junk, &junk}};

#ifdef BP_BAD_UNRESOLVED
void bp_test_symbol_that_nobody_has(void);
#endif

static bp_status refuse(bp_error* error) {
  static const char kReason[] = "no licence";
  error->message_len = sizeof kReason - 1;
  memcpy(error->message, kReason, error->message_len);
  return BP_PERMISSION_DENIED;
}

BP_EXPORT bp_status BP_BAD_ENTRY(const bp_offer* offer, const bp_plugin** out, bp_error* error);
bp_status BP_BAD_ENTRY(const bp_offer* offer, const bp_plugin** out, bp_error* error) {
  bp_plugin* plugin = &table.known;
  (void)offer;
  (void)kOtherNeeds;
  (void)refuse;
  *out = plugin;
  memset(error, 0, sizeof *error);
#ifdef BP_BAD_UNRESOLVED
  // Never called: a lazy loader would not notice that it is missing.
  if (offer->minor_max == UINT16_MAX) bp_test_symbol_that_nobody_has();
#endif
  BP_BAD_STATEMENT;
  return BP_OK;
}
