// SPDX-License-Identifier: Apache-2.0
// The exported functions of backplane/channel.h.
#include "channel_publisher.hpp"
#include "channel_subscriber.hpp"
#include "error.hpp"
#include "futex.hpp"
#include "in_its_process.hpp"
#include "native_key_argument.hpp"

#include <bit>

struct bp_channel {
  std::shared_ptr<backplane::kernel::Channel> object;
};
struct bp_publisher {
  std::unique_ptr<backplane::kernel::ChannelPublisher> object;
};
struct bp_subscriber {
  std::unique_ptr<backplane::kernel::ChannelSubscriber> object;
};

namespace {

using namespace backplane::kernel;

constexpr std::uint32_t kKnownFlags =
    BP_CHANNEL_LOSSLESS | BP_CHANNEL_HUGE_PAGES | BP_CHANNEL_TRUST_OWNER;
constexpr std::uint32_t kMostCapacity = 1U << 15U;

bp_status to_options(const bp_channel_options* options, ChannelOptions& out, bp_error* error) {
  bp_channel_options known{};
  if (options != nullptr) {
    if (const bp_status status = check_options(options, BP_SIZE_TO(bp_channel_options, flags),
                                               "bp_channel_options", error);
        status < 0) {
      return status;
    }
    known = *options;
  }
  if (known.which > BP_CHANNEL_NEW || (known.flags & ~kKnownFlags) != 0 ||
      known.permissions > 0777 || known.capacity > kMostCapacity) {
    return set_error(error, BP_INVALID_ARGUMENT,
                     "bp_channel_options has an unknown value: 'which' is 0 to 2, 'capacity' up to "
                     "32768, 'permissions' up to 0777, 'flags' are BP_CHANNEL_*");
  }
  const auto has = [&](std::uint32_t flag) { return (known.flags & flag) != 0; };
  out.which = known.which;
  out.shape = {known.sample_size,
               std::bit_ceil(or_default(known.capacity, 16)),
               or_default(known.held, 2),
               or_default(known.publishers, 4),
               or_default(known.subscribers, 8),
               known.flags & BP_CHANNEL_LOSSLESS,
               or_default(known.permissions, 0600),
               0};
  out.memory_flags = (has(BP_CHANNEL_HUGE_PAGES) ? BP_MEMORY_HUGE_PAGES : 0) |
                     (has(BP_CHANNEL_TRUST_OWNER) ? BP_MEMORY_TRUST_OWNER : 0);
  return BP_OK;
}

}  // namespace

bp_status bp_channel_open(const bp_key* key, const bp_channel_options* options, bp_channel** out,
                          bp_error* error) {
  *out = nullptr;
  return guarded(error, [&] {
    NativeKey native;
    ChannelOptions known;
    bp_status status = to_native_key(*key, KeyUse::kSharedMemory, native, error);
    if (status == BP_OK) status = to_options(options, known, error);
    if (status < 0) return status;
    auto opened = std::make_unique<bp_channel>();
    status = Channel::open(native, known, opened->object, error);
    if (status == BP_OK) *out = opened.release();
    return status;
  });
}

bp_status bp_channel_adopt(int32_t descriptor, const bp_channel_options* options, bp_channel** out,
                           bp_error* error) {
  *out = nullptr;
  return guarded(error, [&] {
    ChannelOptions known;
    bp_status status = to_options(options, known, error);
    if (status < 0) return status;
    auto opened = std::make_unique<bp_channel>();
    status = Channel::adopt(descriptor, known, opened->object, error);
    if (status == BP_OK) *out = opened.release();
    return status;
  });
}

void bp_channel_close(bp_channel* channel) { delete channel; }

int32_t bp_channel_descriptor(bp_channel* channel, bp_error* error) {
  int32_t out = -1;
  guarded(error, [&] {
    out = channel->object->segment().descriptor(error);
    return BP_OK;
  });
  return out;
}

bp_status bp_channel_remove(const bp_key* key, bp_error* error) {
  return bp_memory_remove(key, error);
}

bp_status bp_channel_get_info(bp_channel* channel, bp_channel_info* out, bp_error* error) {
  if (out->struct_size < BP_SIZE_TO(bp_channel_info, most_behind)) {
    return set_error(error, BP_INVALID_ARGUMENT, "bp_channel_info: struct_size is not its size");
  }
  channel->object->get_info(*out);
  return BP_OK;
}

bp_status bp_publisher_open(bp_channel* channel, bp_publisher** out, bp_error* error) {
  *out = nullptr;
  return guarded(error, [&] {
    auto opened = std::make_unique<bp_publisher>();
    const bp_status status =
        ChannelPublisher::open(channel->object, "publishers", opened->object, error);
    if (status == BP_OK) *out = opened.release();
    return status;
  });
}

void bp_publisher_close(bp_publisher* publisher) { delete publisher; }

bp_status bp_publisher_loan(bp_publisher* publisher, uint64_t size, void** out, bp_error* error) {
  *out = nullptr;
  ChannelPublisher& object = *publisher->object;
  return in_its_process(object, error, [&] { return object.loan(size, *out, error); });
}

bp_status bp_publisher_publish(bp_publisher* publisher, uint64_t size, int64_t deadline_ns,
                               bp_error* error) {
  ChannelPublisher& object = *publisher->object;
  return in_its_process(object, error,
                        [&] { return object.publish(size, deadline_from(deadline_ns), error); });
}

bp_status bp_subscriber_open(bp_channel* channel, const bp_subscriber_options* options,
                             bp_subscriber** out, bp_error* error) {
  *out = nullptr;
  return guarded(error, [&] {
    bp_subscriber_options known{};
    if (options != nullptr) {
      if (const bp_status status = check_options(
              options, BP_SIZE_TO(bp_subscriber_options, spin_ns), "bp_subscriber_options", error);
          status < 0) {
        return status;
      }
      known = *options;
    }
    auto opened = std::make_unique<bp_subscriber>();
    const bp_status status = ChannelSubscriber::open(channel->object, known.history, known.spin_ns,
                                                     opened->object, error);
    if (status == BP_OK) *out = opened.release();
    return status;
  });
}

void bp_subscriber_close(bp_subscriber* subscriber) { delete subscriber; }

bp_status bp_subscriber_receive(bp_subscriber* subscriber, int64_t deadline_ns, bp_sample* out,
                                bp_error* error) {
  ChannelSubscriber& object = *subscriber->object;
  return in_its_process(object, error,
                        [&] { return object.receive(deadline_from(deadline_ns), *out, error); });
}

void bp_subscriber_release(bp_subscriber* subscriber, const bp_sample* sample) {
  if (subscriber->object->is_of_this_process()) subscriber->object->release(*sample);
}

int32_t bp_subscriber_descriptor(bp_subscriber* subscriber, bp_error* error) {
  return descriptor_of(*subscriber->object, error);
}
