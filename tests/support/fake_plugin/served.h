// SPDX-License-Identifier: Apache-2.0
// A served path, and who observes it.
#pragma once

#include "mechanisms.h"
#include "work.h"

typedef struct Observer {
  struct Observer* next;
  Served* resource;
  bp_message latest;  // guarded by Fake.mutex; fresh says whether it is to be delivered
  bool fresh;
  bool joined;
} Observer;

struct Served {
  Served* next;
  Fake* f;
  char path[64];
  bool prefix;
  // guarded by Fake.mutex
  bp_ref handler;  // 0: not served any more
  uint32_t inbound;
  bp_message last;  // what a new observer gets first
  Observer* observers;
  // on the pump only
  Call* watching;  // of the handler
  bool unwatching;
};

typedef struct ServeEnd {
  End base;  // first: `self` of the shared slots
  char path[64];
} ServeEnd;

// Makes a WATCH on the wire an observer of `resource`, which has been entered.
bp_status observe(bp_op* op, Served* resource);
// On the pump: forgets the ended watch of the handler when it has completed.
void reap_watch(Served* resource);
