// SPDX-License-Identifier: Apache-2.0
// Pending operations, and the pump that alone advances them; own operations on other endpoints.
#pragma once

#include "fake.h"

typedef struct Settlement {
  uint64_t seq;
  bp_status status;
} Settlement;

struct Work {
  Work* next;
  Fake* f;
  bp_op* op;
  void* object;
  // On the pump, without the mutex: PENDING stays; anything else completes with it.
  bp_status (*step)(Work* self);
  // On the pump, before completion: gives back what `state` holds. May be NULL.
  void (*finish)(Work* self);
  void* state;  // of the verb
  uint64_t position;

  // guarded by Fake.mutex
  uint32_t credit;
  bool cancelled;
  Settlement* settled;
  uint32_t n_settled;
  uint32_t settled_room;
};

// Takes `op` as pending: PENDING, or why not. `state` is taken only if PENDING.
bp_status work_begin(Fake* f, bp_op* op, void* object, bp_status (*step)(Work*),
                     void (*finish)(Work*), void* state);

bool work_cancelled(Work* self);
uint32_t work_credit(Work* self);
void work_spend(Work* self, uint32_t n);
// The next ack that has come; false: none.
bool work_next_settlement(Work* self, Settlement* out);

// Wakes the pump; the second form is for who holds the mutex.
void pump_wake(Fake* f);
void pump_wake_locked(Fake* f);

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
typedef struct Call {
  Fake* f;
  bp_op* op;
  bp_error error;
  bp_message in;  // a copy
  void* user;
  bool finished;  // guarded by Fake.mutex
} Call;

typedef struct CallRequest {
  uint16_t verb;
  uint16_t flags;
  bp_ref target;
  bp_message in;
  int64_t deadline_ns;
  uint32_t credit;
  const bp_sink* sink;
  void* user;
} CallRequest;

// NULL: no memory. Anything else is found out by call_finished, and ended by call_free.
Call* call_start(Fake* f, const CallRequest* request);
bool call_finished(Call* self);
void call_cancel(Call* self);
// Hands the outcome to `op`, trailers and error included, and returns its status.
bp_status call_hand_over(Call* self, bp_op* op);
void call_free(Call* self);  // finished ones only
