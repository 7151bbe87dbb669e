// SPDX-License-Identifier: Apache-2.0
#include "shared_memory_service.hpp"

#include "error.hpp"
#include "host.hpp"
#include "kernel.hpp"
#include "native_key.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>

namespace backplane::kernel {

bp_status SharedNames::open(const std::string& name, std::uint32_t which, const Make& make,
                            const Adopt& adopt, bp_error* error) {
  const std::lock_guard lock(mutex_);
  const auto found = descriptors_.find(name);
  if (found != descriptors_.end()) {
    return which == BP_MEMORY_NEW
               ? set_error(error, BP_ALREADY_EXISTS, "this kernel has an 'anonymous:" + name + "'")
               : adopt(found->second.get());
  }
  if (which == BP_MEMORY_EXISTING) {
    return set_error(error, BP_NOT_FOUND, "nobody has made an 'anonymous:" + name + "' here");
  }
  int descriptor = -1;
  const bp_status status = make(descriptor);
  if (status == BP_OK) descriptors_.emplace(name, descriptor);
  return status;
}

namespace {

static_assert(BP_MEMORY_EXISTING == BP_CHANNEL_EXISTING && BP_MEMORY_NEW == BP_CHANNEL_NEW);

constexpr std::size_t kLongestName = 200;  // memfd_create(2) takes 249 bytes

// The functions of a segment and of a channel that opening needs.
template <typename Object, typename Options>
struct Functions {
  bp_status (*open)(const bp_key*, const Options*, Object**, bp_error*);
  bp_status (*adopt)(std::int32_t, const Options*, Object**, bp_error*);
  std::int32_t (*descriptor)(Object*, bp_error*);
  void (*close)(Object*);
};

bp_status check_permission(const Host& owner, const bp_key& key, bp_error* error) {
  if (owner.instance == nullptr) return BP_OK;
  const std::string text = text_of({key.type, std::string(key.name, key.length)});
  const auto& allowed = owner.shared_memory;
  if (std::find(allowed.begin(), allowed.end(), text) != allowed.end()) return BP_OK;
  return set_error(error, BP_PERMISSION_DENIED,
                   "the configuration of '" + owner.name + "' does not have the key '" + text +
                       "' of shared memory");
}

// The key, if this instance may have it.
bp_status to_allowed_key(const Host& owner, bp_str text, bp_key& key, bp_error* error) {
  const bp_status status = bp_key_parse(text, &key, error);
  return status < 0 ? status : check_permission(owner, key, error);
}

bool is_for_one_writer(const bp_memory_options* options) noexcept {
  return options != nullptr && (options->flags & BP_MEMORY_ONE_WRITER) != 0;
}
bool is_for_one_writer(const bp_channel_options* /*options*/) noexcept { return false; }

// Makes one that has a name here, as `object`, with a descriptor for the kernel; or has `adopt`
// take the descriptor of the one that there is.
template <typename Object, typename Options, typename Adopt>
bp_status open_named(Host& owner, const bp_key& key, const Options* options, Object*& object,
                     bp_error* error, const Functions<Object, Options>& functions, Adopt adopt) {
  if (is_for_one_writer(options)) {
    return set_error(error, BP_INVALID_ARGUMENT,
                     "BP_MEMORY_ONE_WRITER is for a segment without a name, whose descriptor is "
                     "given to the readers");
  }
  const auto make = [&](int& descriptor) {
    const bp_status made = functions.open(&key, options, &object, error);
    if (made < 0) return made;
    descriptor = functions.descriptor(object, error);
    if (descriptor >= 0) return made;
    functions.close(std::exchange(object, nullptr));
    return bp_status{BP_RESOURCE_EXHAUSTED};
  };
  const std::uint32_t which = options == nullptr ? BP_MEMORY_EXISTING : options->which;
  return owner.kernel.shared_names().open({key.name, key.length}, which, make, adopt, error);
}

template <typename Object, typename Options>
bp_status open_for(const bp_host* host, bp_str text, const Options* options, Object** out,
                   bp_error* error, const Functions<Object, Options>& functions) {
  *out = nullptr;
  return guarded(error, [&]() -> bp_status {
    Host& owner = Host::of(host);
    bp_key key{};
    if (text.len == 0) {  // its name is for people
      key.type = BP_KEY_ANONYMOUS;
      key.length = static_cast<std::uint32_t>(
          (owner.name.empty() ? "application" : owner.name).copy(key.name, kLongestName));
      return functions.open(&key, options, out, error);
    }
    if (const bp_status status = to_allowed_key(owner, text, key, error); status < 0) return status;
    if (key.type != BP_KEY_ANONYMOUS) return functions.open(&key, options, out, error);
    return open_named(owner, key, options, *out, error, functions, [&](int descriptor) {
      const bp_status status = functions.adopt(descriptor, options, out, error);
      return status < 0
                 ? add_context(error, status, "'" + std::string(view(text)) + "' of this kernel")
                 : status;
    });
  });
}

template <typename Object, typename Options>
bp_status share_for(const bp_host* host, bp_str text, const Options* options, std::int32_t* out,
                    bp_error* error, const Functions<Object, Options>& functions) {
  *out = -1;
  return guarded(error, [&]() -> bp_status {
    Host& owner = Host::of(host);
    bp_key key{};
    if (const bp_status status = to_allowed_key(owner, text, key, error); status < 0) return status;
    if (key.type != BP_KEY_ANONYMOUS) {
      return set_error(error, BP_UNIMPLEMENTED,
                       "'" + std::string(view(text)) +
                           "': a plugin in a process of its own shares what has a name in its "
                           "kernel alone: give all who share it a key such as 'anonymous:frames'");
    }
    const auto give = [&](int descriptor) {
      *out = ::fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
      return *out < 0 ? set_errno_error(error, errno, "cannot give a segment away") : BP_OK;
    };
    Object* made = nullptr;
    bp_status status = open_named(owner, key, options, made, error, functions, give);
    if (made == nullptr) return status;
    *out = functions.descriptor(made, error);
    functions.close(made);
    return *out < 0 ? bp_status{BP_RESOURCE_EXHAUSTED} : status;
  });
}

constexpr Functions<bp_memory, bp_memory_options> kOfMemory{bp_memory_open, bp_memory_adopt,
                                                            bp_memory_descriptor, bp_memory_close};
constexpr Functions<bp_channel, bp_channel_options> kOfChannels{
    bp_channel_open, bp_channel_adopt, bp_channel_descriptor, bp_channel_close};

bp_status open_memory_for(const bp_host* host, bp_str key, const bp_memory_options* options,
                          bp_memory** out, bp_error* error) {
  return open_for(host, key, options, out, error, kOfMemory);
}
bp_status open_channel_for(const bp_host* host, bp_str key, const bp_channel_options* options,
                           bp_channel** out, bp_error* error) {
  return open_for(host, key, options, out, error, kOfChannels);
}
bp_status share_memory_for(const bp_host* host, bp_str key, const bp_memory_options* options,
                           std::int32_t* out, bp_error* error) {
  return share_for(host, key, options, out, error, kOfMemory);
}
bp_status share_channel_for(const bp_host* host, bp_str key, const bp_channel_options* options,
                            std::int32_t* out, bp_error* error) {
  return share_for(host, key, options, out, error, kOfChannels);
}

}  // namespace

constexpr bp_shared_memory_service kSharedMemoryService = {
    BP_SIZE_TO(bp_shared_memory_service, subscriber_descriptor),
    0,
    open_memory_for,
    open_channel_for,
    share_memory_for,
    share_channel_for,
    bp_memory_adopt,
    bp_memory_close,
    bp_memory_data,
    bp_memory_size,
    bp_memory_grow,
    bp_memory_refresh,
    bp_memory_mutex,
    bp_memory_descriptor,
    bp_mutex_lock,
    bp_mutex_repaired,
    bp_mutex_unlock,
    bp_channel_adopt,
    bp_channel_close,
    bp_channel_descriptor,
    bp_channel_get_info,
    bp_publisher_open,
    bp_publisher_close,
    bp_publisher_loan,
    bp_publisher_publish,
    bp_subscriber_open,
    bp_subscriber_close,
    bp_subscriber_receive,
    bp_subscriber_release,
    bp_subscriber_descriptor};

}  // namespace backplane::kernel

const bp_shared_memory_service* bp_shared_memory(void) {
  return &backplane::kernel::kSharedMemoryService;
}
