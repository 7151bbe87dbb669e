/* SPDX-License-Identifier: Apache-2.0 */
/* A mutex and a condition between processes, in memory that they share. Both survive the death of
 * whoever uses them. They need no kernel object.
 *
 *   struct line { bp_mutex mutex; bp_condition changed; double value; };   // in shared memory
 *
 *   uint32_t owner_died = 0;
 *   if (bp_mutex_lock(&line->mutex, 0, &owner_died, &error) == BP_OK) {
 *     if (owner_died) { repair(line); bp_mutex_repaired(&line->mutex); }
 *     line->value = 1.5;
 *     bp_condition_notify(&line->changed);
 *     bp_mutex_unlock(&line->mutex, &error);
 *   }
 *
 * The memory is mapped as shared and writable, and trusted: a process that can write it can break
 * what is in it. It is not unmapped by a process one of whose threads has a mutex in it locked.
 * Its processes are of one PID namespace: the owner is known by the number of its thread. All that
 * is marked [any] may run at once for one mutex or condition, in all its threads and processes, but
 * who unlocks, repairs or waits is the thread that locked. `error` may be NULL everywhere; no error
 * has a native number. Sources: pthread_mutexattr_setrobust(3), futex(2). */
#pragma once

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Frozen: 64 bytes, aligned to 8. Of one machine, and of one C library. */
typedef struct bp_mutex {
  uint64_t opaque[8];
} bp_mutex;

/* Frozen: 8 bytes. */
typedef struct bp_condition {
  uint32_t opaque[2];
} bp_condition;

/* Makes it, unlocked; once, before any other process or thread sees it. What was a mutex is one
 * again, if nobody uses it: the way out of DATA_LOSS. [one thread][nb] */
BP_EXPORT void bp_mutex_init(bp_mutex* mutex);

/* Locks it, and waits for that until `deadline_ns` (monotonic; 0: for ever; in the past: does not
 * wait). With OK `*owner_died`, unless NULL, is 1 if the last owner ended while it had it: what it
 * guards may be half done, and is to be repaired (bp_mutex_repaired). DEADLINE_EXCEEDED.
 * FAILED_PRECONDITION: this thread has it already. DATA_LOSS: an owner ended, and who came next
 * unlocked it, or waited with it, without having repaired anything; or this is no mutex, as zeroed
 * memory is none. [any] */
BP_EXPORT bp_status bp_mutex_lock(bp_mutex* mutex, int64_t deadline_ns, uint32_t* owner_died,
                                  bp_error* error);

/* What it guards is whole again: the next who lock it are not told. The caller has it locked.
 * [any][nb] */
BP_EXPORT void bp_mutex_repaired(bp_mutex* mutex);

/* After an owner's death, without bp_mutex_repaired: nobody can lock it any more (DATA_LOSS).
 * FAILED_PRECONDITION: this thread does not have it. [any][nb] */
BP_EXPORT bp_status bp_mutex_unlock(bp_mutex* mutex, bp_error* error);

/* Makes it; once, before any other process or thread sees it. Zeroed memory is one, too.
 * [one thread][nb] */
BP_EXPORT void bp_condition_init(bp_condition* condition);

/* Unlocks the mutex, waits for a notification until `deadline_ns` (as above), and locks the mutex
 * again. What is waited for has to be looked at again: it ends without a notification, too, at the
 * latest after a quarter of a second, since whoever was to notify may have been killed. For the
 * mutex it waits without a deadline. A dead owner is repaired (bp_mutex_repaired) before it waits.
 * DEADLINE_EXCEEDED: the mutex is locked all the same; so it is with OK. FAILED_PRECONDITION: this
 * thread does not have the mutex. DATA_LOSS as of bp_mutex_lock: the mutex is not locked.
 * `*owner_died` as there, with DEADLINE_EXCEEDED, too. [any] */
BP_EXPORT bp_status bp_condition_wait(bp_condition* condition, bp_mutex* mutex, int64_t deadline_ns,
                                      uint32_t* owner_died, bp_error* error);

/* Wakes all that wait. There is none that wakes one: who is woken may be killed before it acts, and
 * the others would sleep. To be called with the mutex locked, or after it. [any][nb] */
BP_EXPORT void bp_condition_notify(bp_condition* condition);

#ifdef __cplusplus
}
#endif
