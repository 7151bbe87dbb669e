// SPDX-License-Identifier: Apache-2.0
// Channel, Publisher, Subscriber, Sample: messages through shared memory without a copy
// (backplane/channel.h says what holds).
#pragma once

#include "deadline.hpp"
#include "native_key.hpp"
#include "shared_handle.hpp"
#include <backplane/channel.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <ranges>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

namespace backplane {

namespace detail {
/// Objects that other processes can have, and that fit where samples begin.
template <class Object>
constexpr void check_sample() {
  static_assert(std::is_trivially_copyable_v<Object>);
  static_assert(alignof(Object) <= (sizeof(Object) <= 40 ? 32 : 64));
}
/// Of the C API; max(): always.
inline uint64_t spin_of(std::chrono::nanoseconds spin) noexcept {
  return spin == std::chrono::nanoseconds::max()
             ? UINT64_MAX
             : static_cast<uint64_t>(std::max<int64_t>(0, spin.count()));
}

/// What is sent as its bytes: no pointer to others, and no view of them.
template <class Object>
concept BytesOfItsOwn = std::is_trivially_copyable_v<Object> && !std::is_pointer_v<Object> &&
                        !std::is_null_pointer_v<Object> && !std::ranges::view<Object> &&
                        !std::convertible_to<const Object&, std::span<const std::byte>> &&
                        !std::convertible_to<const Object&, std::string_view>;

/// What `loan` of the C API gives for so many bytes.
template <class Loan>
Result<std::span<std::byte>> loaned(uint64_t size, const Loan& loan) {
  bp_error error;  // not zeroed, which would take as long as the rest
  void* data = nullptr;
  const bp_status status = loan(&data, &error);
  if (status < 0) {
    return Status::from(status, error);
  }
  return std::span(static_cast<std::byte*>(data), size);
}
/// Loans as many bytes as these are, and copies them there.
template <class Loaner>
Status copy_into_loan(Loaner& loaner, std::span<const std::byte> bytes) {
  const Result<std::span<std::byte>> memory = loaner.loan(bytes.size());
  if (!memory) {
    return memory.status();
  }
  if (!bytes.empty()) {
    std::memcpy(memory->data(), bytes.data(), bytes.size());
  }
  return {};
}
template <class Get>
Result<int> descriptor_by(const Get& get) {
  bp_error error{};
  const int out = get(&error);
  if (out < 0) {
    return Status::from(error.code, error);
  }
  return out;
}

/// What was received; its owner has it back when it is destroyed.
template <class Raw, class Owner>
class Borrowed {
 public:
  Borrowed(Borrowed&& other) noexcept
      : owner_(std::exchange(other.owner_, Owner{})), raw_(other.raw_) {}
  Borrowed& operator=(Borrowed&& other) noexcept {
    std::swap(owner_, other.owner_);
    std::swap(raw_, other.raw_);
    return *this;
  }
  ~Borrowed() {
    if (owner_.object != nullptr) {
      owner_.take_back(raw_);
    }
  }

  std::span<const std::byte> data() const noexcept {
    return {static_cast<const std::byte*>(raw_.data), raw_.size};
  }
  /// OUT_OF_RANGE is thrown: it is too small for one.
  template <class Object>
  const Object& as() const {
    Owner::template check<Object>();
    if (raw_.size < sizeof(Object)) {
      throw Error(BP_OUT_OF_RANGE, "there are ", raw_.size, " bytes, the object has ",
                  sizeof(Object));
    }
    return *static_cast<const Object*>(raw_.data);
  }

 protected:
  Borrowed(const Owner& owner, const Raw& raw) : owner_(owner), raw_(raw) {}

  Owner owner_;
  Raw raw_;
};

struct SampleOwner {
  template <class Object>
  static constexpr void check() {
    check_sample<Object>();
  }
  void take_back(const bp_sample& raw) const noexcept {
    functions->subscriber_release(object, &raw);
  }
  const bp_shared_memory_service* functions = nullptr;
  bp_subscriber* object = nullptr;
};
}  // namespace detail

/// What was received; given back when it is destroyed. It does not outlive its subscriber.
class Sample : public detail::Borrowed<bp_sample, detail::SampleOwner> {
 public:
  /// How many were published before it.
  uint64_t sequence() const noexcept { return raw_.sequence; }
  /// Of those between it and the one received before.
  uint64_t lost() const noexcept { return raw_.lost; }

 private:
  friend class Subscriber;
  using Borrowed::Borrowed;
};

/// For one thread at a time.
class Publisher {
 public:
  using Clock = std::chrono::steady_clock;

  /// Memory for a sample, which holds what an earlier one left. Errors: as of bp_publisher_loan.
  Result<std::span<std::byte>> loan(uint64_t size) {
    auto out = detail::loaned(size, [&](void** data, bp_error* error) {
      return functions().publisher_loan(raw_.get(), size, data, error);
    });
    if (out) {
      loaned_ = size;
    }
    return out;
  }
  /// The same as an object, which is zero. What it throws: as loan.
  template <class Object>
  Object& loan() {
    detail::check_sample<Object>();
    return *new (loan(sizeof(Object)).value().data()) Object{};
  }

  /// What was loaned, or its first `size` bytes. Errors: as of bp_publisher_publish.
  Status publish() { return publish_raw(loaned_, 0); }
  Status publish(uint64_t size) { return publish_raw(size, 0); }
  /// Of a lossless channel; DEADLINE_EXCEEDED: there is no room, and it is still loaned.
  Status try_publish() { return publish_raw(loaned_, 1); }
  Status publish_within(std::chrono::nanoseconds at_most) {
    return publish_until(detail::time_after(at_most));
  }
  Status publish_until(Clock::time_point deadline) {
    return publish_raw(loaned_, detail::deadline_of(deadline));
  }

  /// A copy of these bytes. Errors: as of loan and publish.
  Status send(std::span<const std::byte> bytes) {
    const Status copied = detail::copy_into_loan(*this, bytes);
    return copied.is_error() ? copied : publish();
  }
  Status send(std::string_view text) { return send(std::as_bytes(std::span(text))); }
  template <detail::BytesOfItsOwn Object>
  Status send(const Object& object) {
    detail::check_sample<Object>();
    return send(std::as_bytes(std::span(&object, 1)));
  }

  /// For the functions of C.
  bp_publisher* raw() const noexcept { return raw_.get(); }

 private:
  friend class Channel;
  using Handle = detail::SharedHandle<bp_publisher, &bp_shared_memory_service::publisher_close>;
  explicit Publisher(Handle raw) : raw_(std::move(raw)) {}
  const bp_shared_memory_service& functions() const noexcept { return detail::functions_of(raw_); }
  Status publish_raw(uint64_t size, int64_t deadline_ns) {
    bp_error error;  // not zeroed, which would take as long as the rest
    const bp_status status = functions().publisher_publish(raw_.get(), size, deadline_ns, &error);
    return Status::from(status, error);
  }

  Handle raw_;
  uint64_t loaned_ = 0;
};

/// For one thread at a time.
class Subscriber {
 public:
  using Clock = std::chrono::steady_clock;

  /// The next sample, waited for as long as it takes. Errors: as of bp_subscriber_receive.
  Result<Sample> receive() { return receive_until(Clock::time_point::max()); }
  Result<Sample> receive_within(std::chrono::nanoseconds at_most) {
    return receive_until(detail::time_after(at_most));
  }
  /// DEADLINE_EXCEEDED: there is none now.
  Result<Sample> try_receive() { return receive_raw(1); }
  Result<Sample> receive_until(Clock::time_point deadline) {
    return receive_raw(detail::deadline_of(deadline));
  }

  /// For poll(2), the subscriber's: readable when there is a sample, after try_receive() found
  /// none. Errors: as of bp_subscriber_descriptor.
  Result<int> descriptor() {
    return detail::descriptor_by(
        [&](bp_error* error) { return functions().subscriber_descriptor(raw_.get(), error); });
  }

  /// For the functions of C.
  bp_subscriber* raw() const noexcept { return raw_.get(); }

 private:
  friend class Channel;
  using Handle = detail::SharedHandle<bp_subscriber, &bp_shared_memory_service::subscriber_close>;
  explicit Subscriber(Handle raw) : raw_(std::move(raw)) {}
  const bp_shared_memory_service& functions() const noexcept { return detail::functions_of(raw_); }
  Result<Sample> receive_raw(int64_t deadline_ns) {
    bp_error error;  // not zeroed, which would take as long as the rest
    bp_sample sample{};
    const bp_status status =
        functions().subscriber_receive(raw_.get(), deadline_ns, &sample, &error);
    if (status < 0) {
      return Status::from(status, error);
    }
    return Sample({&functions(), raw_.get()}, sample);
  }

  Handle raw_;
};

/// Lives as long as a process has it open:
///
///     const auto key = NativeKey::safe(NativeKey::Use::kSharedMemory, "camera").value();
///     Channel channel = Channel::open(key, {.sample_size = sizeof(Frame)}).value();
///
///     Publisher camera = channel.publisher().value();
///     camera.loan<Frame>().exposure_us = 250;
///     camera.publish().or_throw();
///
///     Subscriber viewer = channel.subscriber({.history = 1}).value();  // in another process
///     const Sample sample = viewer.receive_within(1s).value();
///     show(sample.as<Frame>());
class Channel {
 public:
  enum class Which : uint32_t {
    kExisting = BP_CHANNEL_EXISTING,
    kAny = BP_CHANNEL_ANY,
    kNew = BP_CHANNEL_NEW,
  };
  struct Options {
    Which which = Which::kAny;
    uint64_t sample_size = 0;
    uint32_t capacity = 0;
    uint32_t held = 0;
    uint32_t publishers = 0;
    uint32_t subscribers = 0;
    uint32_t permissions = 0600;
    bool lossless = false;
    bool huge_pages = false;
    bool trust_owner = false;
  };
  struct SubscriberOptions {
    uint32_t history = 0;
    /// How long it looks without sleeping when it waits; max(): always.
    std::chrono::nanoseconds spin{0};
  };

  /// Errors: as of bp_channel_open and NativeKey::raw.
  static Result<Channel> open(const NativeKey& key, const Options& options) {
    bp_key raw_key{};
    if (Status status = key.raw(raw_key); status.is_error()) {
      return status;
    }
    const bp_channel_options raw_options = raw_of(options);
    bp_error error{};
    bp_channel* raw = nullptr;
    const bp_status status = bp_channel_open(&raw_key, &raw_options, &raw, &error);
    return made<Channel>(status, error, raw, bp_shared_memory());
  }
  /// One that there is. Errors: as of open.
  static Result<Channel> attach(const NativeKey& key) {
    return open(key, {.which = Which::kExisting});
  }
  /// Of a descriptor that another process gave; it stays the caller's. Errors: as of
  /// bp_channel_adopt.
  static Result<Channel> adopt(int descriptor, Options options) {
    return adopt(*bp_shared_memory(), descriptor, options);
  }
  static Result<Channel> adopt(int descriptor) { return adopt(descriptor, Options()); }
  /// Errors: as of bp_channel_remove and NativeKey::raw.
  static Status remove(const NativeKey& key) {
    bp_key raw_key{};
    if (Status status = key.raw(raw_key); status.is_error()) {
      return status;
    }
    bp_error error{};
    const bp_status status = bp_channel_remove(&raw_key, &error);
    return Status::from(status, error);
  }

  /// For a plugin, whose host has the service (open_channel of host_memory.hpp). Errors: as of
  /// bp_shared_memory_service.
  static Result<Channel> open(const bp_shared_memory_service& service, const bp_host* host,
                              std::string_view key, const Options& options) {
    const bp_channel_options raw_options = raw_of(options);
    bp_error error{};
    bp_channel* raw = nullptr;
    const bp_status status = service.open_channel(host, to_str(key), &raw_options, &raw, &error);
    return made<Channel>(status, error, raw, &service);
  }
  static Result<Channel> adopt(const bp_shared_memory_service& service, int descriptor,
                               Options options) {
    options.which = Which::kExisting;
    const bp_channel_options raw_options = raw_of(options);
    bp_error error{};
    bp_channel* raw = nullptr;
    const bp_status status = service.channel_adopt(descriptor, &raw_options, &raw, &error);
    return made<Channel>(status, error, raw, &service);
  }

  /// Errors: as of bp_publisher_open.
  Result<Publisher> publisher() {
    bp_error error{};
    bp_publisher* raw = nullptr;
    const bp_status status = functions().publisher_open(raw_.get(), &raw, &error);
    return made<Publisher>(status, error, raw, &functions());
  }
  /// Errors: as of bp_subscriber_open.
  Result<Subscriber> subscriber(const SubscriberOptions& options) {
    const bp_subscriber_options raw_options{sizeof raw_options, options.history,
                                            detail::spin_of(options.spin)};
    bp_error error{};
    bp_subscriber* raw = nullptr;
    const bp_status status = functions().subscriber_open(raw_.get(), &raw_options, &raw, &error);
    return made<Subscriber>(status, error, raw, &functions());
  }
  Result<Subscriber> subscriber() { return subscriber(SubscriberOptions()); }

  /// What it is, and what is done with it at this instant.
  bp_channel_info info() const {
    bp_channel_info out{};
    out.struct_size = sizeof out;
    functions().channel_get_info(raw_.get(), &out, nullptr);
    return out;
  }
  /// Of an anonymous one, to be given away and closed. Errors: as of bp_channel_descriptor.
  Result<int> descriptor() {
    return detail::descriptor_by(
        [&](bp_error* error) { return functions().channel_descriptor(raw_.get(), error); });
  }

  /// For the functions of C.
  bp_channel* raw() const noexcept { return raw_.get(); }

 private:
  using Handle = detail::SharedHandle<bp_channel, &bp_shared_memory_service::channel_close>;
  explicit Channel(Handle raw) : raw_(std::move(raw)) {}
  const bp_shared_memory_service& functions() const noexcept { return detail::functions_of(raw_); }

  template <class Object, class Raw>
  static Result<Object> made(bp_status status, const bp_error& error, Raw* raw,
                             const bp_shared_memory_service* functions) {
    if (status < 0) {
      return Status::from(status, error);
    }
    return Object(typename Object::Handle(raw, {functions}));
  }
  static bp_channel_options raw_of(const Options& options) noexcept {
    const uint32_t flags = (options.lossless ? BP_CHANNEL_LOSSLESS : 0) |
                           (options.huge_pages ? BP_CHANNEL_HUGE_PAGES : 0) |
                           (options.trust_owner ? BP_CHANNEL_TRUST_OWNER : 0);
    return {sizeof(bp_channel_options),
            static_cast<uint32_t>(options.which),
            options.sample_size,
            options.capacity,
            options.held,
            options.publishers,
            options.subscribers,
            options.permissions,
            flags};
  }

  Handle raw_;
};

}  // namespace backplane
