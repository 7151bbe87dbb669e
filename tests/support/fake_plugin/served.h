// SPDX-License-Identifier: Apache-2.0
// A served path, and who observes it.
#pragma once

#include "mechanisms.h"
#include "work.h"

typedef struct observer {
  struct observer* next;
  served* resource;
  bp_message latest;  // guarded by fake.mutex; fresh says whether it is to be delivered
  bool fresh;
  bool joined;
} observer;

struct served {
  served* next;
  fake* f;
  char path[64];
  bool prefix;
  // guarded by fake.mutex
  bp_ref handler;  // 0: not served any more
  uint32_t inbound;
  bp_message last;  // what a new observer gets first
  observer* observers;
  // on the pump only
  call* watching;  // of the handler
  bool unwatching;
};

typedef struct serve_end {
  end base;  // first: `self` of the shared slots
  char path[64];
} serve_end;

// Makes a WATCH on the wire an observer of `resource`, which has been entered.
bp_status observe(bp_op* op, served* resource);
// On the pump: forgets the ended watch of the handler when it has completed.
void reap_watch(served* resource);
