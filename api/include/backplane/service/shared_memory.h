/* SPDX-License-Identifier: Apache-2.0 */
/* bp.shared_memory/1: segments and channels for a plugin, which links no kernel. An instance gets
 * those whose keys its configuration has (x-backplane-shared-memory in its plugin's manifest), and
 * no others.
 *
 * Not here, and not made for plugins: semaphores, conditions, requests and answers, native keys
 * (native_key.h), making a mutex, and removing or listing what there is. Instead: a channel, whose
 * subscriber is woken by what is published, for a condition or for events that are counted; the
 * lock of a segment for a mutex; CALL (operation.h) for requests; the text of a key from the
 * configuration. docs/shared_memory.md has them all. */
#pragma once

#include "../channel.h"
#include "../host.h"
#include "../mutex.h"
#include "../shared_memory.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BP_S_SHARED_MEMORY "bp.shared_memory/1"

/* Sized. */
typedef struct bp_shared_memory_service {
  uint32_t struct_size;
  uint32_t reserved;

  /* As bp_memory_open and bp_channel_open, of the key with this text (native_key.h).
   * `anonymous:NAME` is found by its name by all instances of this kernel, and by the application:
   * who opens it first makes it, `which` counts as for a key that the system knows, and it lives as
   * long as the kernel. An empty text is a new anonymous one, which nobody else finds.
   * INVALID_ARGUMENT: also a text that is no key, and BP_MEMORY_ONE_WRITER with a name, whose
   * writer would be whoever came first. PERMISSION_DENIED: also if the configuration has no such
   * key. NOT_FOUND, ALREADY_EXISTS: as `which` says. UNIMPLEMENTED: also a key of the system for a
   * plugin in a process of its own, which shares what is anonymous alone. RESOURCE_EXHAUSTED: also
   * no descriptors, and more than that process may share (memory_mib). In such a process they wait
   * for the kernel's, and so may block. Other errors: as of bp_memory_open or bp_channel_open, and
   * of a name that is there as of bp_memory_adopt or bp_channel_adopt. [any][nr] */
  bp_status (*open_memory)(const bp_host* host, bp_str key, const bp_memory_options* options,
                           bp_memory** out, bp_error* error);
  bp_status (*open_channel)(const bp_host* host, bp_str key, const bp_channel_options* options,
                            bp_channel** out, bp_error* error);

  /* The descriptor of what these would open, for another process, which adopts it (*descriptor, the
   * caller's; -1 after an error). One that there is, is not looked at here, so that nothing of what
   * that process has done with it is believed. INVALID_ARGUMENT: also an empty text.
   * UNIMPLEMENTED: a key of the system, which is given away by its text. Other errors as above.
   * [any][nr] */
  bp_status (*share_memory)(const bp_host* host, bp_str key, const bp_memory_options* options,
                            int32_t* descriptor, bp_error* error);
  bp_status (*share_channel)(const bp_host* host, bp_str key, const bp_channel_options* options,
                             int32_t* descriptor, bp_error* error);

  /* What opens with them are objects of shared_memory.h, mutex.h and channel.h. These are the
   * functions of the same names there, bp_memory_adopt first; their marks and errors are there. */
  bp_status (*memory_adopt)(int32_t descriptor, const bp_memory_options* options, bp_memory** out,
                            bp_error* error);
  void (*memory_close)(bp_memory* memory);
  void* (*memory_data)(bp_memory* memory);
  uint64_t (*memory_size)(const bp_memory* memory);
  bp_status (*memory_grow)(bp_memory* memory, uint64_t size, bp_error* error);
  bp_status (*memory_refresh)(bp_memory* memory, bp_error* error);
  bp_mutex* (*memory_mutex)(bp_memory* memory);
  int32_t (*memory_descriptor)(bp_memory* memory, bp_error* error);

  bp_status (*mutex_lock)(bp_mutex* mutex, int64_t deadline_ns, uint32_t* owner_died,
                          bp_error* error);
  void (*mutex_repaired)(bp_mutex* mutex);
  bp_status (*mutex_unlock)(bp_mutex* mutex, bp_error* error);

  bp_status (*channel_adopt)(int32_t descriptor, const bp_channel_options* options,
                             bp_channel** out, bp_error* error);
  void (*channel_close)(bp_channel* channel);
  int32_t (*channel_descriptor)(bp_channel* channel, bp_error* error);
  bp_status (*channel_get_info)(bp_channel* channel, bp_channel_info* out, bp_error* error);

  bp_status (*publisher_open)(bp_channel* channel, bp_publisher** out, bp_error* error);
  void (*publisher_close)(bp_publisher* publisher);
  bp_status (*publisher_loan)(bp_publisher* publisher, uint64_t size, void** out, bp_error* error);
  bp_status (*publisher_publish)(bp_publisher* publisher, uint64_t size, int64_t deadline_ns,
                                 bp_error* error);

  bp_status (*subscriber_open)(bp_channel* channel, const bp_subscriber_options* options,
                               bp_subscriber** out, bp_error* error);
  void (*subscriber_close)(bp_subscriber* subscriber);
  bp_status (*subscriber_receive)(bp_subscriber* subscriber, int64_t deadline_ns, bp_sample* out,
                                  bp_error* error);
  void (*subscriber_release)(bp_subscriber* subscriber, const bp_sample* sample);
  int32_t (*subscriber_descriptor)(bp_subscriber* subscriber, bp_error* error);
} bp_shared_memory_service;

/* The same table for who links the library; open_memory and open_channel want the application's
 * host (bp_kernel_host). [any][nb] */
BP_EXPORT const bp_shared_memory_service* bp_shared_memory(void);

#ifdef __cplusplus
}
#endif
