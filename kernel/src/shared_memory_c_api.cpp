// SPDX-License-Identifier: Apache-2.0
// The exported functions of backplane/shared_memory.h.
#include "error.hpp"
#include "memory_list.hpp"
#include "native_key_argument.hpp"
#include "shared_memory.hpp"

struct bp_memory {
  std::unique_ptr<backplane::kernel::SharedMemory> object;
};

namespace {

using namespace backplane::kernel;

constexpr std::uint32_t kKnownFlags = BP_MEMORY_READ_ONLY | BP_MEMORY_PLAIN | BP_MEMORY_KEPT |
                                      BP_MEMORY_HUGE_PAGES | BP_MEMORY_FIXED |
                                      BP_MEMORY_ONE_WRITER | BP_MEMORY_TRUST_OWNER;

bp_status to_options(const bp_memory_options* options, MemoryOptions& out, bp_error* error) {
  out = MemoryOptions();
  if (options == nullptr) return BP_OK;
  if (const bp_status status =
          check_options(options, BP_SIZE_TO(bp_memory_options, flags), "bp_memory_options", error);
      status < 0) {
    return status;
  }
  out = {options->which,
         options->size,
         options->permissions == 0 ? 0600 : options->permissions,
         options->flags,
         {}};
  if (out.which > BP_MEMORY_NEW || (out.flags & ~kKnownFlags) != 0 || out.permissions > 0777) {
    return set_error(error, BP_INVALID_ARGUMENT,
                     "bp_memory_options has an unknown value: 'which' is 0 to 2, 'permissions' up "
                     "to 0777, 'flags' are BP_MEMORY_*");
  }
  return BP_OK;
}

bp_status check_for_making(const NativeKey& key, MemoryOptions& options, bp_error* error) {
  if (key.type == BP_KEY_ANONYMOUS) {
    if (options.has(BP_MEMORY_READ_ONLY)) {
      return set_error(error, BP_INVALID_ARGUMENT, "an anonymous segment is new, and written");
    }
    options.which = BP_MEMORY_NEW;
  } else if (options.has(BP_MEMORY_READ_ONLY) && options.which != BP_MEMORY_EXISTING) {
    return set_error(error, BP_INVALID_ARGUMENT, "a segment that is opened to read is not made");
  } else if (options.has(BP_MEMORY_FIXED) || options.has(BP_MEMORY_ONE_WRITER)) {
    return set_error(error, BP_INVALID_ARGUMENT, "anonymous segments alone can be sealed");
  }
  if (options.which != BP_MEMORY_EXISTING && options.size == 0) {
    return set_error(error, BP_INVALID_ARGUMENT, "a new segment needs a size");
  }
  return BP_OK;
}

}  // namespace

bp_status bp_memory_open(const bp_key* key, const bp_memory_options* options, bp_memory** out,
                         bp_error* error) {
  *out = nullptr;
  return guarded(error, [&] {
    NativeKey native;
    MemoryOptions known;
    bp_status status = to_native_key(*key, KeyUse::kSharedMemory, native, error);
    if (status == BP_OK) status = to_options(options, known, error);
    if (status == BP_OK) status = check_for_making(native, known, error);
    if (status < 0) return status;
    auto opened = std::make_unique<bp_memory>();
    status = open_memory(native, known, opened->object, error);
    if (status == BP_OK) *out = opened.release();
    return status;
  });
}

bp_status bp_memory_adopt(int32_t descriptor, const bp_memory_options* options, bp_memory** out,
                          bp_error* error) {
  *out = nullptr;
  return guarded(error, [&] {
    MemoryOptions known;
    bp_status status = to_options(options, known, error);
    if (status < 0) return status;
    auto opened = std::make_unique<bp_memory>();
    status = adopt_memory(descriptor, known, opened->object, error);
    if (status == BP_OK) *out = opened.release();
    return status;
  });
}

void bp_memory_close(bp_memory* memory) { delete memory; }

void* bp_memory_data(bp_memory* memory) { return memory->object->data(); }

uint64_t bp_memory_size(const bp_memory* memory) { return memory->object->size(); }

bp_status bp_memory_grow(bp_memory* memory, uint64_t size, bp_error* error) {
  return guarded(error, [&] { return memory->object->grow(size, error); });
}

bp_status bp_memory_refresh(bp_memory* memory, bp_error* error) {
  return guarded(error, [&] { return memory->object->refresh(error); });
}

bp_mutex* bp_memory_mutex(bp_memory* memory) { return memory->object->mutex(); }

int32_t bp_memory_descriptor(bp_memory* memory, bp_error* error) {
  int32_t out = -1;
  guarded(error, [&] {
    out = memory->object->descriptor(error);
    return BP_OK;
  });
  return out;
}

bp_status bp_memory_remove(const bp_key* key, bp_error* error) {
  return guarded(error, [&] {
    NativeKey native;
    const bp_status status = to_native_key(*key, KeyUse::kSharedMemory, native, error);
    if (status < 0) return status;
    if (native.type == BP_KEY_ANONYMOUS) {
      return set_error(error, BP_UNIMPLEMENTED, "an anonymous segment has no name in the system");
    }
    return remove_memory(native, error);
  });
}

bp_status bp_memory_list(void (*each)(void* user, const bp_memory_info* info), void* user,
                         bp_error* error) {
  return guarded(error, [&] {
    std::vector<FoundMemory> found;
    const bp_status status = list_memory(found, error);
    for (const FoundMemory& memory : found) {
      const bp_memory_info info{sizeof info,  memory.flags, str(memory.key),   memory.size,
                                memory.maker, memory.owner, memory.permissions};
      each(user, &info);
    }
    return status;
  });
}

bp_status bp_memory_clean(uint64_t* removed, bp_error* error) {
  return guarded(error, [&] {
    std::uint64_t count = 0;
    const bp_status status = clean_memory(count, error);
    if (removed != nullptr) *removed = count;
    return status;
  });
}
