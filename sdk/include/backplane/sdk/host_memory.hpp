// SPDX-License-Identifier: Apache-2.0
// Segments and channels for a plugin, by bp.shared_memory/1: `needed` or `optional` of [services]
// in its manifest has the service, and its configuration the key, in a string that the manifest
// marks x-backplane-shared-memory.
//
//     Channel frames = open_channel(host(), config.string("frames"),
//                                   {.sample_size = sizeof(Frame)}).value();
//     Publisher camera = frames.publisher().value();
//
// What is opened, and all that comes of it, goes before the host does. A lock of the whole segment
// is there for plugins. What links the library is not: ProcessMutex, ProcessCondition, Semaphore,
// Requester, Responder, and NativeKey beyond its text (docs/shared_memory.md says what to use).
#pragma once

#include "channel.hpp"
#include "host.hpp"
#include "shared_memory.hpp"

namespace backplane {

/// Errors: as of bp_shared_memory_service. UNIMPLEMENTED: also if the plugin does not have the
/// service. In a process of its own it waits for the kernel's. [any]
inline Result<SharedMemory> open_memory(const Host& host, std::string_view key,
                                        const SharedMemory::Options& options) {
  return SharedMemory::open(host.services().shared_memory, host.raw(), key, options);
}
inline Result<Channel> open_channel(const Host& host, std::string_view key,
                                    const Channel::Options& options) {
  return Channel::open(host.services().shared_memory, host.raw(), key, options);
}
/// Of a descriptor that another process gave; it stays the caller's. Errors: as of bp_memory_adopt
/// and bp_channel_adopt. UNIMPLEMENTED: the plugin does not have the service. [any]
inline Result<SharedMemory> adopt_memory(const Host& host, int descriptor,
                                         const SharedMemory::Options& options) {
  return SharedMemory::adopt(host.services().shared_memory, descriptor, options);
}
inline Result<Channel> adopt_channel(const Host& host, int descriptor,
                                     const Channel::Options& options) {
  return Channel::adopt(host.services().shared_memory, descriptor, options);
}

}  // namespace backplane
