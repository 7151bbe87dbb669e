/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that processes share, by native key or by descriptor. Needs no kernel object.
 *
 * A segment has 4096 bytes in front of its data, which say what it is, who made it, and guard it by
 * a lock (docs/shared_memory.md has the layout). It lives as long as a process has it open, however
 * that process ends; what nobody has open is none: it is removed by whoever opens its key next, or
 * by `backplane shm clean`. One that was made with BP_MEMORY_KEPT lives until it is removed.
 *
 * BP_MEMORY_PLAIN is for programs without Backplane, QSharedMemory among them: the data begins at
 * the first byte, and there is no lock. The object that made it removes it, unless it is kept.
 *
 * Memory is given by the system when a segment is made or grows, and not when it is written: where
 * there is none there is an error, and no SIGBUS later. But who may write a POSIX segment, a plain
 * one too, may cut it, and then SIGBUS comes of touching what is gone; an anonymous segment is
 * sealed against that (F_SEAL_SHRINK), and one of System V has no file that could be cut.
 *
 * The memory is for several threads and processes at once. Of an object, functions marked [any] may
 * run at once; while one marked [one thread] runs, nothing else is done with this object, nor with
 * what its bp_memory_data gave. `error` may be NULL everywhere; native is an errno. Every function
 * that has an `error` may also give RESOURCE_EXHAUSTED, no memory or no descriptors, and UNKNOWN
 * with an errno that means none of what is said. Sources:
 * https://doc.qt.io/qt-6/qsharedmemory.html, shm_overview(7), shmget(2), memfd_create(2), fcntl(2)
 * on seals. */
#pragma once

#include "native_key.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bp_memory bp_memory;

/* Which segment is opened. */
#define BP_MEMORY_EXISTING 0u /* one that there is, or NOT_FOUND */
#define BP_MEMORY_ANY 1u      /* one that there is, else a new one */
#define BP_MEMORY_NEW 2u      /* a new one, or ALREADY_EXISTS */

#define BP_MEMORY_READ_ONLY 1u /* the data cannot be written here; of one that there is */
#define BP_MEMORY_PLAIN 2u     /* for programs without Backplane */
#define BP_MEMORY_KEPT 4u      /* of a new one: lives until it is removed */
#define BP_MEMORY_HUGE_PAGES \
  8u /* of POSIX it is asked for, of the others RESOURCE_EXHAUSTED may come */
#define BP_MEMORY_FIXED 16u      /* of a new anonymous one: its size is sealed, too */
#define BP_MEMORY_ONE_WRITER 32u /* of a new anonymous one: who adopts it can read it alone */

/* One that another user made, not root, may be opened. Who can write it can write into a process
 * that uses its lock: with it trust its owner, and with permissions for others trust them. Not
 * needed for plain ones, which have no lock. */
#define BP_MEMORY_TRUST_OWNER 64u

/* Sized; zero is a good value for every member but struct_size. */
typedef struct bp_memory_options {
  uint32_t struct_size;
  uint32_t which;       /* BP_MEMORY_EXISTING to BP_MEMORY_NEW */
  uint64_t size;        /* bytes of data of a new one; the least of one that there is */
  uint32_t permissions; /* of a new one, as of chmod(2), whatever the umask; 0: 0600. Of System V
                           bits of execution are dropped */
  uint32_t flags;       /* BP_MEMORY_* */
} bp_memory_options;

/* Opens, or makes; a new one is zero. `options` NULL: all zero. `*out` is the caller's until
 * bp_memory_close, NULL after an error. An anonymous one is always new, and its name is for people.
 * For a new one of System V the key's file is made, if it is not there, and stays.
 * INVALID_ARGUMENT: no name, or one that the system does not take; no size for a new one, or one
 * that no file has; an unknown option, or two that exclude each other; what the key of System V
 * names is neither a file nor a folder. OUT_OF_RANGE: there is one, smaller than `size`.
 * UNIMPLEMENTED: the type of key is not supported. NOT_FOUND, ALREADY_EXISTS: as `which` says;
 * NOT_FOUND of System V also when the key's file is not there, or for a new one its folder.
 * PERMISSION_DENIED: also one of another user's (BP_MEMORY_TRUST_OWNER), or nobody's that only they
 * can remove. DATA_LOSS: there is something else by this name, or it was damaged or cut.
 * RESOURCE_EXHAUSTED: no memory, no space, the system's bound of segments. DEADLINE_EXCEEDED:
 * another has its file locked for a second. ABORTED: others make and remove it all the time. Two
 * files may have the same key of System V (ftok(3) takes 16 bits of the inode): then they are one
 * segment. Waits for others that open the same one, a second at most. [any] */
BP_EXPORT bp_status bp_memory_open(const bp_key* key, const bp_memory_options* options,
                                   bp_memory** out, bp_error* error);

/* Opens what another process gave by bp_memory_descriptor. The descriptor stays the caller's. Of
 * `options` the size, BP_MEMORY_READ_ONLY, BP_MEMORY_PLAIN and BP_MEMORY_TRUST_OWNER count; NULL:
 * all zero. INVALID_ARGUMENT: there is no such descriptor, or an unknown option.
 * FAILED_PRECONDITION: it is not sealed, so that it could be cut. PERMISSION_DENIED: it is of
 * another user (BP_MEMORY_TRUST_OWNER), or of BP_MEMORY_ONE_WRITER and not opened to read.
 * OUT_OF_RANGE, DATA_LOSS, RESOURCE_EXHAUSTED as above. [any] */
BP_EXPORT bp_status bp_memory_adopt(int32_t descriptor, const bp_memory_options* options,
                                    bp_memory** out, bp_error* error);

/* Unmaps it. The last process that closes one which is not kept removes it; a child made by fork(2)
 * closes its own mapping alone. Of System V it waits for who opens or removes it, a second at most.
 * NULL is nothing. [one thread] */
BP_EXPORT void bp_memory_close(bp_memory* memory);

/* The first byte of its data, aligned to 4096; the next bp_memory_grow or bp_memory_refresh may
 * move it. [any][nb] */
BP_EXPORT void* bp_memory_data(bp_memory* memory);
/* Bytes of data that can be touched. Of a plain one, those of the file. [any][nb] */
BP_EXPORT uint64_t bp_memory_size(const bp_memory* memory);

/* Makes it as large as `size`, for all; others see that by bp_memory_refresh. The lock may be had
 * meanwhile; a mutex in the data not, which moves. A smaller size is nothing. UNIMPLEMENTED: of
 * System V, of anonymous huge pages, or fixed. FAILED_PRECONDITION: opened to read.
 * INVALID_ARGUMENT: no file is as large. RESOURCE_EXHAUSTED: no memory, no space; it is as it was.
 * DATA_LOSS: its file was cut meanwhile, or its header written over; it may have moved, and what is
 * cut cannot be touched. Several processes may grow it at once: it becomes as large as the largest
 * says. [one thread] */
BP_EXPORT bp_status bp_memory_grow(bp_memory* memory, uint64_t size, bp_error* error);
/* Maps what others made larger. DATA_LOSS: it was cut, or its header written over; what is mapped
 * stays. RESOURCE_EXHAUSTED: no memory; it is as it was. [one thread] */
BP_EXPORT bp_status bp_memory_refresh(bp_memory* memory, bp_error* error);

/* The lock of the whole segment: a bp_mutex (mutex.h) behind bp_memory_mutex, NULL for one that is
 * plain or opened to read. [any][nb] */
BP_EXPORT struct bp_mutex* bp_memory_mutex(bp_memory* memory);

/* A descriptor of an anonymous one, to be given to another process, which adopts it: the caller's,
 * to be closed; -1 after an error. UNIMPLEMENTED: it has a name in the system. RESOURCE_EXHAUSTED:
 * no descriptors. [any] */
BP_EXPORT int32_t bp_memory_descriptor(bp_memory* memory, bp_error* error);

/* Takes the segment from its key; who has it open goes on. NOT_FOUND: there is none, or of System V
 * no file of the key. PERMISSION_DENIED: this user may not. INVALID_ARGUMENT: no name, or one that
 * the system does not take. UNIMPLEMENTED: the type of key is not supported, or is anonymous.
 * DEADLINE_EXCEEDED: of System V another has its file locked for a second; it waits no longer than
 * that. [any] */
BP_EXPORT bp_status bp_memory_remove(const bp_key* key, bp_error* error);

/* A segment with a name, as it is found. Sized; borrowed for the call. */
typedef struct bp_memory_info {
  uint32_t struct_size;
  uint32_t flags; /* BP_MEMORY_INFO_* */
  bp_str key;     /* its text; empty: not known */
  uint64_t size;  /* bytes of data */
  uint64_t maker; /* number of the process that made it */
  uint32_t owner; /* number of the user */
  uint32_t permissions;
} bp_memory_info;
#define BP_MEMORY_INFO_OPEN 1u /* a process has it open; else it is nobody's, unless it is kept */
#define BP_MEMORY_INFO_KEPT 2u
#define BP_MEMORY_INFO_MAKER_LIVES 4u

/* Calls `each` for every segment of Backplane's that this user may read; not for plain ones. Within
 * a call nothing of this header but bp_memory_remove may be used. PERMISSION_DENIED, NOT_FOUND:
 * /dev/shm cannot be read. Removes segments of System V that were closed while it looked. [any] */
BP_EXPORT bp_status bp_memory_list(void (*each)(void* user, const bp_memory_info* info), void* user,
                                   bp_error* error);

/* Removes those that nobody has open and that are not kept, as far as this user may. `*removed`:
 * how many, unless NULL. Errors as above. [any] */
BP_EXPORT bp_status bp_memory_clean(uint64_t* removed, bp_error* error);

#ifdef __cplusplus
}
#endif
