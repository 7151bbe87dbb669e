// SPDX-License-Identifier: Apache-2.0
// The exported functions of backplane/semaphore.h.
#include "error.hpp"
#include "futex.hpp"
#include "in_its_process.hpp"
#include "native_key_argument.hpp"
#include "semaphore.hpp"

struct bp_semaphore {
  std::shared_ptr<backplane::kernel::Semaphore> object;
  bool is_held = true;
};

namespace {

using namespace backplane::kernel;

bp_status to_options(const bp_semaphore_options* options, bp_semaphore_options& out,
                     bp_error* error) {
  out = bp_semaphore_options{};
  if (options == nullptr) return BP_OK;
  if (const bp_status status = check_options(options, BP_SIZE_TO(bp_semaphore_options, reserved),
                                             "bp_semaphore_options", error);
      status < 0) {
    return status;
  }
  out = *options;
  if (out.which > BP_SEMAPHORE_NEW ||
      (out.flags & ~(BP_SEMAPHORE_SIGNAL | BP_SEMAPHORE_TRUST_OWNER)) != 0 ||
      out.permissions > 0777 || out.reserved != 0) {
    return set_error(error, BP_INVALID_ARGUMENT,
                     "bp_semaphore_options has an unknown value: 'which' is 0 to 3, 'permissions' "
                     "up to 0777, 'flags' are BP_SEMAPHORE_*");
  }
  return BP_OK;
}

// What `check` lets pass is opened by `open`.
template <typename Check, typename Open>
bp_status open_object(const bp_semaphore_options* options, bp_semaphore** out, bp_error* error,
                      Check check, Open open) {
  *out = nullptr;
  return guarded(error, [&]() -> bp_status {
    bp_semaphore_options known;
    if (const bp_status status = check(); status < 0) return status;
    if (const bp_status status = to_options(options, known, error); status < 0) return status;
    auto opened = std::make_unique<bp_semaphore>();
    opened->is_held = (known.flags & BP_SEMAPHORE_SIGNAL) == 0;
    const bool is_owner_trusted = (known.flags & BP_SEMAPHORE_TRUST_OWNER) != 0;
    const bp_status status =
        open(SemaphoreOptions{known.which, known.initial, or_default(known.permissions, 0600),
                              is_owner_trusted},
             opened->object);
    if (status == BP_OK) *out = opened.release();
    return status;
  });
}

}  // namespace

bp_status bp_semaphore_open(const bp_key* key, const bp_semaphore_options* options,
                            bp_semaphore** out, bp_error* error) {
  NativeKey native;
  return open_object(
      options, out, error, [&] { return to_native_key(*key, KeyUse::kSemaphore, native, error); },
      [&](const SemaphoreOptions& known, std::shared_ptr<Semaphore>& object) {
        return open_semaphore(native, known, object, error);
      });
}

bp_status bp_semaphore_adopt(int32_t descriptor, const bp_semaphore_options* options,
                             bp_semaphore** out, bp_error* error) {
  return open_object(
      options, out, error, [] { return bp_status{BP_OK}; },
      [&](const SemaphoreOptions& known, std::shared_ptr<Semaphore>& object) {
        return adopt_semaphore(descriptor, known, object, error);
      });
}

int32_t bp_semaphore_descriptor(bp_semaphore* semaphore, bp_error* error) {
  return descriptor_of(*semaphore->object, error);
}

void bp_semaphore_close(bp_semaphore* semaphore) { delete semaphore; }

bp_status bp_semaphore_acquire(bp_semaphore* semaphore, int64_t deadline_ns, bp_error* error) {
  return in_its_process(*semaphore->object, error, [&] {
    return semaphore->object->acquire(semaphore->is_held, deadline_from(deadline_ns), error);
  });
}

bp_status bp_semaphore_release(bp_semaphore* semaphore, uint32_t n, bp_error* error) {
  if (n == 0) return set_error(error, BP_INVALID_ARGUMENT, "nothing is to be released");
  return in_its_process(*semaphore->object, error,
                        [&] { return semaphore->object->release(n, error); });
}

bp_status bp_semaphore_count(bp_semaphore* semaphore, uint32_t* out, bp_error* error) {
  *out = 0;
  return in_its_process(*semaphore->object, error,
                        [&] { return semaphore->object->count(*out, error); });
}

bp_status bp_semaphore_remove(const bp_key* key, bp_error* error) {
  return guarded(error, [&] {
    NativeKey native;
    if (const bp_status status = to_native_key(*key, KeyUse::kSemaphore, native, error); status < 0)
      return status;
    if (native.type == BP_KEY_ANONYMOUS) {
      return set_error(error, BP_UNIMPLEMENTED, "an anonymous semaphore has no name in the system");
    }
    return remove_semaphore(native, error);
  });
}
