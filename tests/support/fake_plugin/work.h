// SPDX-License-Identifier: Apache-2.0
// Pending operations, and the pump that alone advances them; own operations on other endpoints.
#pragma once

#include "fake.h"

typedef struct settlement {
  uint64_t seq;
  bp_status status;
} settlement;

struct work {
  work* next;
  fake* f;
  bp_op* op;
  void* object;
  // On the pump, without the mutex: PENDING stays; anything else completes with it.
  bp_status (*step)(work* self);
  // On the pump, before completion: gives back what `state` holds. May be NULL.
  void (*finish)(work* self);
  void* state;  // of the verb
  uint64_t position;

  // guarded by fake.mutex
  uint32_t credit;
  bool cancelled;
  settlement* settled;
  uint32_t n_settled;
  uint32_t settled_room;
};

// Takes `op` as pending: PENDING, or why not. `state` is taken only if PENDING.
bp_status work_begin(fake* f, bp_op* op, void* object, bp_status (*step)(work*),
                     void (*finish)(work*), void* state);

bool work_cancelled(work* self);
uint32_t work_credit(work* self);
void work_spend(work* self, uint32_t n);
// The next ack that has come; false: none.
bool work_next_settlement(work* self, settlement* out);

// Wakes the pump; the second form is for who holds the mutex.
void pump_wake(fake* f);
void pump_wake_locked(fake* f);

// The slots that all tables of this plugin share.
void work_cancel(bp_op* op);
void work_add_credit(bp_op* op, uint32_t n);
void work_ack(bp_op* op, uint64_t seq, bp_status status);

#define FAKE_OPS(submit)                                                                         \
  {                                                                                              \
    BP_SIZE_TO(bp_endpoint_ops, close), 0, submit, NULL, work_cancel, work_add_credit, work_ack, \
        end_close                                                                                \
  }

// An operation of this plugin on somebody else's endpoint.
typedef struct call {
  fake* f;
  bp_op* op;
  bp_error error;
  bp_message in;  // a copy
  void* user;
  bool finished;  // guarded by fake.mutex
} call;

typedef struct call_request {
  uint16_t verb;
  uint16_t flags;
  bp_ref target;
  bp_message in;
  int64_t deadline_ns;
  uint32_t credit;
  const bp_sink* sink;
  void* user;
} call_request;

// NULL: no memory. Anything else is found out by call_finished, and ended by call_free.
call* call_start(fake* f, const call_request* request);
bool call_finished(call* self);
void call_cancel(call* self);
// Hands the outcome to `op`, trailers and error included, and returns its status.
bp_status call_hand_over(call* self, bp_op* op);
void call_free(call* self);  // finished ones only
