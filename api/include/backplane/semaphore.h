/* SPDX-License-Identifier: Apache-2.0 */
/* Counting semaphores between processes, by native key; they survive the death of whoever uses
 * them. Needs no kernel object.
 *
 * A process holds what it acquired and has not released. When it closes its last object of the
 * semaphore, or ends in any way, that is returned and who waits is woken: at once with a key of
 * System V; with one of POSIX within a second while any process has the semaphore open by these
 * functions, else when it is opened next. What counts events rather than resources - what one
 * process releases is what another takes for good - is opened with BP_SEMAPHORE_SIGNAL: nothing of
 * it is returned.
 *
 * The objects are the system's own, so that a program without Backplane can use them: sem_open(3),
 * and semget(2) with ftok(3), semaphore 0 of the set, as QSystemSemaphore does. An anonymous one is
 * one of POSIX in a memfd_create(2), which is given away by its descriptor. What is returned of
 * a POSIX semaphore is written behind its sem_t, in the same object: docs/shared_memory.md has the
 * layout, and says what holds beside such programs.
 *
 * What a process holds of System V the system returns only at its real end: execve(2) keeps it. A
 * core dump comes before the end.
 *
 * An object is of the process that opened it: in a child made by fork(2) each call but close gives
 * FAILED_PRECONDITION. All functions marked [any] may be called for one object at once; while
 * close, which is [one thread], runs, no other is.
 *
 * `error` may be NULL everywhere; native is an errno. Every function that has one may also give
 * RESOURCE_EXHAUSTED, no memory or no descriptors, and UNKNOWN with an errno that means none of
 * what is said. Who may write the file of a semaphore of POSIX can cut it, and then SIGBUS comes of
 * using it; an anonymous one is sealed against that (F_SEAL_SHRINK). Sources:
 * https://doc.qt.io/qt-6/qsystemsemaphore.html, sem_overview(7), semop(2). */
#pragma once

#include "native_key.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bp_semaphore bp_semaphore;

/* Which semaphore is opened. */
#define BP_SEMAPHORE_EXISTING 0u /* one that there is, or NOT_FOUND */
#define BP_SEMAPHORE_ANY 1u      /* one that there is, else a new one; QSystemSemaphore::Open */
#define BP_SEMAPHORE_RESET 2u    /* the same, with its count set; QSystemSemaphore::Create */
#define BP_SEMAPHORE_NEW 3u      /* a new one, or ALREADY_EXISTS */

/* Sized; zero is a good value for every member but struct_size. */
typedef struct bp_semaphore_options {
  uint32_t struct_size;
  uint32_t which; /* BP_SEMAPHORE_EXISTING to BP_SEMAPHORE_NEW */
  uint32_t
      initial; /* the count of a new one, and after a reset; what others hold they still hold */
  uint32_t permissions; /* of a new one, as of chmod(2), whatever the umask; 0: 0600, this user
                           alone. Who may not both read and write may not open it */
  uint32_t flags;       /* BP_SEMAPHORE_SIGNAL, BP_SEMAPHORE_TRUST_OWNER */
  uint32_t reserved;    /* 0 */
} bp_semaphore_options;
#define BP_SEMAPHORE_SIGNAL 1u /* what is acquired by this object is not returned */
/* One of POSIX that another user made, not root, may be opened. Who can write its file while a
 * process has it open can write into that process: with it trust its owner, and with permissions
 * for others trust them. */
#define BP_SEMAPHORE_TRUST_OWNER 2u

/* Opens, or makes. `options` NULL: all zero. `*out` is the caller's until bp_semaphore_close, NULL
 * after an error. An anonymous one is always new, and its name is for people. For a new one of
 * System V the key's file is made, if it is not there, and stays.
 * INVALID_ARGUMENT: the key has no name, a name that the system does not take, or what it names of
 * System V is neither a file nor a folder; an unknown option. OUT_OF_RANGE: a count above
 * 2147483647, of System V 32767. UNIMPLEMENTED: the type of key is not supported for semaphores, or
 * the sem_t of this C library is not known. NOT_FOUND, ALREADY_EXISTS: as `which` says; NOT_FOUND
 * of System V also when the key's file is not there, or for a new one its folder.
 * PERMISSION_DENIED: also one of another user's (BP_SEMAPHORE_TRUST_OWNER). DATA_LOSS: there is
 * something else by this name, or what is behind the sem_t was damaged; remove it.
 * DEADLINE_EXCEEDED: another has its file locked for a second, or was stopped in the middle of a
 * change. ABORTED: others make and remove it all the time. RESOURCE_EXHAUSTED: no memory, no space
 * in /dev/shm, no thread, the system's bound of semaphores (semget(2)), 1024 processes have it
 * open. Waits for others that open the same one, and with BP_SEMAPHORE_RESET for one that changes
 * it, each a second at most. [any] */
BP_EXPORT bp_status bp_semaphore_open(const bp_key* key, const bp_semaphore_options* options,
                                      bp_semaphore** out, bp_error* error);

/* Opens what another process gave by bp_semaphore_descriptor. The descriptor stays the caller's. Of
 * `options` the flags count; the rest must be possible. INVALID_ARGUMENT: there is no such
 * descriptor, or an unknown option. FAILED_PRECONDITION: it is not sealed, so that it could be cut
 * (fcntl(2), F_SEAL_SHRINK). DATA_LOSS: it is no semaphore, or was damaged. OUT_OF_RANGE,
 * UNIMPLEMENTED (the sem_t), PERMISSION_DENIED, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED as above.
 * [any] */
BP_EXPORT bp_status bp_semaphore_adopt(int32_t descriptor, const bp_semaphore_options* options,
                                       bp_semaphore** out, bp_error* error);

/* A descriptor of an anonymous one, to be given to another process, which adopts it: the caller's,
 * to be closed; -1 after an error. UNIMPLEMENTED: it has a name in the system. RESOURCE_EXHAUSTED:
 * no descriptors. FAILED_PRECONDITION: opened before fork(2). [any] */
BP_EXPORT int32_t bp_semaphore_descriptor(bp_semaphore* semaphore, bp_error* error);

/* Returns what this process holds of the semaphore, if this is its last object of it. Wakes nobody
 * who waits with this object: that must be over. NULL is nothing. Allowed after fork(2).
 * [one thread] */
BP_EXPORT void bp_semaphore_close(bp_semaphore* semaphore);

/* Takes one, and waits for it until `deadline_ns` (monotonic; 0: for ever; in the past: takes one
 * or does not wait, but a tenth of a second for a process that was stopped in the middle of a
 * change). OK: it is taken. DEADLINE_EXCEEDED: there was none, or a process was stopped in the
 * middle of a change. DATA_LOSS: it was damaged (of POSIX). FAILED_PRECONDITION: opened before
 * fork(2); removed (of System V, also while it waits). PERMISSION_DENIED, RESOURCE_EXHAUSTED: of
 * System V, as semop(2) says. [any] */
BP_EXPORT bp_status bp_semaphore_acquire(bp_semaphore* semaphore, int64_t deadline_ns,
                                         bp_error* error);

/* Adds `n` and wakes those that can go on: first what this process holds, then more. Nothing is
 * added after an error. INVALID_ARGUMENT: n is 0. DEADLINE_EXCEEDED: for a second a stopped process
 * was in the middle of a change of a POSIX semaphore. OUT_OF_RANGE: the count would exceed its
 * bound (see bp_semaphore_open). DATA_LOSS, FAILED_PRECONDITION, PERMISSION_DENIED,
 * RESOURCE_EXHAUSTED as above. [any] */
BP_EXPORT bp_status bp_semaphore_release(bp_semaphore* semaphore, uint32_t n, bp_error* error);

/* How many can be taken now, which the next instant may change. FAILED_PRECONDITION and, of System
 * V, PERMISSION_DENIED as above. [any] */
BP_EXPORT bp_status bp_semaphore_count(bp_semaphore* semaphore, uint32_t* out, bp_error* error);

/* Takes the semaphore from its key. Who has it open goes on with one of POSIX; of System V their
 * calls give FAILED_PRECONDITION, waiting ones too. NOT_FOUND: there is none, or of System V no
 * file of the key. PERMISSION_DENIED: this user may not. INVALID_ARGUMENT: no name, or one that the
 * system does not take. UNIMPLEMENTED: the type of key is not supported, or is anonymous.
 * DEADLINE_EXCEEDED: of System V another has its file locked for a second; it waits no longer than
 * that. [any] */
BP_EXPORT bp_status bp_semaphore_remove(const bp_key* key, bp_error* error);

#ifdef __cplusplus
}
#endif
