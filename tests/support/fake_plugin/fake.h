// SPDX-License-Identifier: Apache-2.0
// One instance of the fake plugin: mechanisms without a wire, whose peers are driven through
// addresses of their own. It stands for all real ones in the tests of the ABI, so it is plain C11
// over api/ alone.
//
// Design: whatever happens (an operation, a cancel, credit, an ack, an answer) is noted under
// `mutex`, and wakes the pump, a task on the executor. Only the pump delivers and completes, so
// that deliveries are serial and each completion happens once. Nothing is called with the mutex
// held but post, which does not call back.
#pragma once

#include "backplane/plugin.h"
#include "backplane/service/endpoint.h"
#include "backplane/service/executor.h"
#include "copy.h"
#include "values.h"

#include <pthread.h>
#include <stdbool.h>

typedef struct Work Work;
typedef struct Chat Chat;
typedef struct Node Node;
typedef struct Model Model;
typedef struct Served Served;
typedef struct Inbox Inbox;
typedef struct Gate Gate;

typedef struct Fake {
  const bp_host* host;
  const bp_endpoint_service* endpoints;
  const bp_executor_service* executor;
  uint32_t references;  // what a browse of the folder gives

  pthread_mutex_t mutex;  // guards all that follows, and the objects
  Work* works;            // pending operations, oldest first
  uint32_t calls;         // own operations under way
  bool pumping;
  bool again;
  bool stopped;
  bp_op* stop;
  uint32_t inhibitors;

  Chat* chats;  // newest first
  Node* nodes;
  Model* models;
  Served* resources;
  Inbox* inboxes;
  Gate* gates;
  bp_message kept;  // what bus/Kept holds
} Fake;

// What bp_endpoint.self points to; freed by its close.
typedef struct End {
  Fake* f;
  void* object;
} End;

// Makes an endpoint of `f`; the table needs end_close as close unless it closes `self` itself.
bp_status end_open(Fake* f, const bp_endpoint_ops* ops, void* object, uint32_t verbs,
                   bp_endpoint* out);
void end_close(void* self);

bp_status fail(bp_op* op, bp_status code, int32_t native, const char* domain, const char* text);
bool str_is(bp_str text, const char* literal);
// The rest of `text` behind `prefix`; false: it does not begin so.
bool str_after(bp_str text, const char* prefix, bp_str* rest);
bool method_is(const bp_op* op, const char* name);
// op->out from a borrowed message: scratch or an owned copy.
bp_status answer(bp_op* op, const bp_message* message);
