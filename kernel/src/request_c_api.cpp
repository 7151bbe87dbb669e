// SPDX-License-Identifier: Apache-2.0
// The exported functions of backplane/request.h.
#include "error.hpp"
#include "futex.hpp"
#include "in_its_process.hpp"
#include "native_key_argument.hpp"
#include "request.hpp"

#include <bit>

struct bp_responder {
  std::unique_ptr<backplane::kernel::Responder> object;
};
struct bp_requester {
  std::unique_ptr<backplane::kernel::Requester> object;
};

namespace {

using namespace backplane::kernel;

constexpr std::uint32_t kCapacity = 16;  // of the ring of requests; more than that wait
constexpr std::uint32_t kMostOutstanding = 1U << 10U;
constexpr std::uint64_t kMostSize = ChannelMemory::kMostSampleSize - sizeof(RequestHead) - 1;

std::uint32_t memory_flags_of(std::uint32_t flags) noexcept {
  return (flags & BP_CHANNEL_TRUST_OWNER) != 0 ? BP_MEMORY_TRUST_OWNER : 0;
}

bp_status to_options(const bp_responder_options* options, ChannelOptions& out, bp_error* error) {
  if (const bp_status status = check_options(options, BP_SIZE_TO(bp_responder_options, reserved),
                                             "bp_responder_options", error);
      status < 0) {
    return status;
  }
  if ((options->flags & ~BP_CHANNEL_TRUST_OWNER) != 0 || options->reserved != 0 ||
      options->permissions > 0777 || options->outstanding > kMostOutstanding) {
    return set_error(error, BP_INVALID_ARGUMENT,
                     "bp_responder_options has an unknown value: 'outstanding' is up to 1024, "
                     "'permissions' up to 0777, 'flags' are BP_CHANNEL_TRUST_OWNER or 0");
  }
  const std::uint32_t requesters = or_default(options->requesters, 16);
  const char* const wrong = options->request_size > kMostSize ? "'request_size' is less than 1 GiB"
                            : options->response_size > kMostSize
                                ? "'response_size' is less than 1 GiB"
                            : requesters >= ChannelMemory::kMostPlaces ? "'requesters' are up to 63"
                                                                       : nullptr;
  if (wrong != nullptr) {
    return set_error(error, BP_INVALID_ARGUMENT, std::string("bp_responder_options: ") + wrong);
  }
  out.which = BP_CHANNEL_ANY;
  out.takes_any_shape = true;
  out.shape = {options->request_size + sizeof(RequestHead),
               kCapacity,
               std::bit_ceil(or_default(options->outstanding, 4)),
               requesters,
               1,
               BP_CHANNEL_LOSSLESS,
               or_default(options->permissions, 0600),
               options->response_size + sizeof(RequestHead)};
  out.memory_flags = memory_flags_of(options->flags);
  return BP_OK;
}

bp_status to_named_key(const bp_key& key, NativeKey& out, bp_error* error) {
  const bp_status status = to_native_key(key, KeyUse::kSharedMemory, out, error);
  if (status == BP_OK && out.type == BP_KEY_ANONYMOUS) {
    return set_error(error, BP_INVALID_ARGUMENT,
                     "requesters find a responder by its key: an anonymous one is found by nobody");
  }
  return status;
}

}  // namespace

bp_status bp_responder_open(const bp_key* key, const bp_responder_options* options,
                            bp_responder** out, bp_error* error) {
  *out = nullptr;
  return guarded(error, [&] {
    NativeKey native;
    ChannelOptions known;
    bp_status status = to_named_key(*key, native, error);
    if (status == BP_OK) status = to_options(options, known, error);
    if (status < 0) return status;
    auto opened = std::make_unique<bp_responder>();
    status = Responder::open(native, known, options->spin_ns, opened->object, error);
    if (status == BP_OK) *out = opened.release();
    return status;
  });
}

void bp_responder_close(bp_responder* responder) { delete responder; }

bp_status bp_responder_receive(bp_responder* responder, int64_t deadline_ns, bp_request* out,
                               bp_error* error) {
  Responder& object = *responder->object;
  return in_its_process(object, error,
                        [&] { return object.receive(deadline_from(deadline_ns), *out, error); });
}

bp_status bp_responder_loan(bp_responder* responder, const bp_request* request, uint64_t size,
                            void** out, bp_error* error) {
  *out = nullptr;
  Responder& object = *responder->object;
  return in_its_process(object, error, [&] { return object.loan(*request, size, *out, error); });
}

bp_status bp_responder_respond(bp_responder* responder, const bp_request* request, uint64_t size,
                               bp_error* error) {
  Responder& object = *responder->object;
  return in_its_process(object, error, [&] { return object.respond(*request, size, error); });
}

void bp_responder_release(bp_responder* responder, const bp_request* request) {
  in_its_process(*responder->object, nullptr, [&] {
    responder->object->release(*request);
    return BP_OK;
  });
}

int32_t bp_responder_descriptor(bp_responder* responder, bp_error* error) {
  return descriptor_of(*responder->object, error);
}

bp_status bp_requester_open(const bp_key* key, const bp_requester_options* options,
                            bp_requester** out, bp_error* error) {
  *out = nullptr;
  return guarded(error, [&] {
    NativeKey native;
    bp_requester_options known{};
    bp_status status = to_named_key(*key, native, error);
    if (status == BP_OK && options != nullptr) {
      status = check_options(options, BP_SIZE_TO(bp_requester_options, spin_ns),
                             "bp_requester_options", error);
      if (status == BP_OK) known = *options;
    }
    if (status < 0) return status;
    if ((known.flags & ~BP_CHANNEL_TRUST_OWNER) != 0) {
      return set_error(error, BP_INVALID_ARGUMENT,
                       "bp_requester_options: 'flags' are BP_CHANNEL_TRUST_OWNER or 0");
    }
    auto opened = std::make_unique<bp_requester>();
    status =
        Requester::open(native, memory_flags_of(known.flags), known.spin_ns, opened->object, error);
    if (status == BP_OK) *out = opened.release();
    return status;
  });
}

void bp_requester_close(bp_requester* requester) { delete requester; }

bp_status bp_requester_loan(bp_requester* requester, uint64_t size, void** out, bp_error* error) {
  *out = nullptr;
  Requester& object = *requester->object;
  return in_its_process(object, error, [&] { return object.loan(size, *out, error); });
}

bp_status bp_requester_send(bp_requester* requester, uint64_t size, int64_t deadline_ns,
                            uint64_t* number, bp_error* error) {
  *number = 0;
  Requester& object = *requester->object;
  return in_its_process(
      object, error, [&] { return object.send(size, deadline_from(deadline_ns), *number, error); });
}

bp_status bp_requester_receive(bp_requester* requester, int64_t deadline_ns, bp_response* out,
                               bp_error* error) {
  *out = {};
  Requester& object = *requester->object;
  return in_its_process(object, error,
                        [&] { return object.receive(deadline_from(deadline_ns), *out, error); });
}

void bp_requester_release(bp_requester* requester, const bp_response* response) {
  if (requester->object->is_of_this_process()) requester->object->release(*response);
}

void bp_requester_forget(bp_requester* requester, uint64_t number) {
  if (requester->object->is_of_this_process()) requester->object->forget(number);
}

int32_t bp_requester_descriptor(bp_requester* requester, bp_error* error) {
  return descriptor_of(*requester->object, error);
}
