// SPDX-License-Identifier: Apache-2.0
#include "channel.hpp"

#include "error.hpp"
#include "futex.hpp"
#include "kill_point.hpp"
#include "wake_socket.hpp"

#include <algorithm>
#include <bit>
#include <new>
#include <sys/mman.h>
#include <system_error>
#include <time.h>

namespace backplane::kernel {
namespace {

constexpr int kAttempts = 100;  // to open what others make and remove
constexpr int kAttemptsToTake = 10;
constexpr std::int64_t kBetweenAttempts = 2'000'000;
constexpr std::uint32_t kSlotsOfAPublisher = 3;  // published last, loaned, published next
constexpr std::uint64_t kLine = 64;
constexpr std::uint64_t kPage = 4096;

constexpr std::uint64_t up_to(std::uint64_t unit, std::uint64_t size) noexcept {
  return (size + unit - 1) / unit * unit;
}

// So many that a loan never fails: the ring has `capacity`, and each has no more than its share.
std::uint64_t slots_of(const ChannelShape& shape) noexcept {
  return std::uint64_t{shape.capacity} + std::uint64_t{kSlotsOfAPublisher} * shape.publishers +
         std::uint64_t{shape.held} * shape.subscribers;
}

// Where its parts begin; small samples are in the slots' heads.
struct Parts {
  explicit Parts(const ChannelShape& shape) noexcept
      : stride(shape.sample_size > ChannelSlot::kInline ? up_to(kLine, shape.sample_size) : 0),
        ring(sizeof(ChannelMemory)),
        slots(up_to(kLine, ring + shape.capacity * sizeof(std::uint64_t))),
        bytes(up_to(kPage, slots + slots_of(shape) * sizeof(ChannelSlot))),
        end(bytes + slots_of(shape) * stride) {}
  std::uint64_t stride;
  std::uint64_t ring;
  std::uint64_t slots;
  std::uint64_t bytes;
  std::uint64_t end;
};

// What requesters make their answers of (request.cpp).
bool are_answers_possible(const ChannelShape& shape) noexcept {
  return shape.response_size < ChannelMemory::kMostSampleSize && std::has_single_bit(shape.held) &&
         shape.held <= ChannelMemory::kMostSlots / 4 && shape.subscribers == 1 &&
         (shape.flags & BP_CHANNEL_LOSSLESS) != 0;
}

bool is_possible(const ChannelShape& shape) noexcept {
  return shape.sample_size > 0 && shape.sample_size < ChannelMemory::kMostSampleSize &&
         (shape.response_size == 0 || are_answers_possible(shape)) &&
         std::has_single_bit(shape.capacity) && shape.publishers > 0 && shape.subscribers > 0 &&
         std::uint64_t{shape.publishers} + shape.subscribers <= ChannelMemory::kMostPlaces &&
         shape.held > 0 && slots_of(shape) <= ChannelMemory::kMostSlots;
}

// `data` is zero.
void make(void* data, const ChannelShape& shape) noexcept {
  auto* const memory = new (data) ChannelMemory;
  memory->shape = shape;
  for (ChannelMemory::Place& place : memory->places) {
    place.alive.init();
    place.cursor = ChannelMemory::kNotJoined;
  }
  memory->magic = ChannelMemory::kMagic;
}

bool is_made(const SharedMemory& segment, ChannelShape& shape) noexcept {
  const auto& memory = *static_cast<const ChannelMemory*>(segment.data());
  if (segment.size() < sizeof(ChannelMemory) || memory.magic != ChannelMemory::kMagic) return false;
  shape = memory.shape;
  if (!is_possible(shape) || segment.size() < Parts(shape).end) return false;
  for (std::uint32_t i = 0; i < shape.publishers + shape.subscribers; ++i) {
    if (!memory.places[i].alive.is_one()) return false;
  }
  return true;
}

// What is there is a channel, and one that will do.
bp_status use(std::unique_ptr<SharedMemory> segment, const ChannelOptions& options,
              std::shared_ptr<Channel>& out, bp_error* error) {
  ChannelShape shape;
  if (!is_made(*segment, shape)) {
    return set_error(error, BP_DATA_LOSS,
                     "the segment " + segment->name() +
                         " is no channel, or one of another version: take another key, or remove "
                         "it if nobody uses it");
  }
  if (options.takes_any_shape) {
    out = std::make_shared<Channel>(std::move(segment), shape);
    return BP_OK;
  }
  if (shape.sample_size < options.shape.sample_size) {
    return set_error(error, BP_OUT_OF_RANGE,
                     "the channel " + segment->name() + " has samples of up to " +
                         std::to_string(shape.sample_size) + " bytes, not " +
                         std::to_string(options.shape.sample_size));
  }
  if ((options.shape.flags & ~shape.flags) != 0) {
    return set_error(
        error, BP_FAILED_PRECONDITION,
        "the channel " + segment->name() + " is not lossless: its first opener says whether it is");
  }
  out = std::make_shared<Channel>(std::move(segment), shape);
  return BP_OK;
}

}  // namespace

bp_status Channel::open(const NativeKey& key, const ChannelOptions& options,
                        std::shared_ptr<Channel>& out, bp_error* error) {
  const bool may_make = options.which != BP_CHANNEL_EXISTING || key.type == BP_KEY_ANONYMOUS;
  MemoryOptions memory;
  memory.permissions = options.shape.permissions;
  memory.flags = options.memory_flags;
  memory.group = options.group;
  std::unique_ptr<SharedMemory> segment;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    bp_status status = BP_NOT_FOUND;
    if (options.which != BP_CHANNEL_NEW && key.type != BP_KEY_ANONYMOUS) {
      memory.which = BP_MEMORY_EXISTING;
      memory.size = 0;
      memory.fill = nullptr;
      status = open_memory(key, memory, segment, error);
      if (status == BP_OK) return use(std::move(segment), options, out, error);
      if (status != BP_NOT_FOUND || !may_make) return status;
    }
    if (!is_possible(options.shape)) {
      return set_error(
          error, BP_INVALID_ARGUMENT,
          "a new channel needs a sample_size, of less than 1 GiB, no more than 64 "
          "publishers and subscribers together, and no more than 65535 samples in all");
    }
    memory.which = BP_MEMORY_NEW;
    memory.size = Parts(options.shape).end;
    memory.fill = [&](void* data) { make(data, options.shape); };
    status = open_memory(key, memory, segment, error);
    if (status == BP_OK) return use(std::move(segment), options, out, error);
    if (status != BP_ALREADY_EXISTS || options.which == BP_CHANNEL_NEW) return status;
  }
  return set_error(error, BP_ABORTED, text_of(key) + " is made and removed by others all the time");
}

bp_status Channel::adopt(int descriptor, const ChannelOptions& options,
                         std::shared_ptr<Channel>& out, bp_error* error) {
  MemoryOptions memory;
  memory.flags = options.memory_flags;
  std::unique_ptr<SharedMemory> segment;
  const bp_status status = adopt_memory(descriptor, memory, segment, error);
  return status < 0 ? status : use(std::move(segment), options, out, error);
}

Channel::Channel(std::unique_ptr<SharedMemory> memory, const ChannelShape& shape)
    : memory_(std::move(memory)),
      shape_(shape),
      n_slots_(static_cast<std::uint32_t>(slots_of(shape))),
      mask_(shape.capacity - 1),
      shift_(std::countr_zero(shape.capacity)),
      stride_(Parts(shape).stride),
      channel_(static_cast<ChannelMemory*>(memory_->data())),
      ring_(reinterpret_cast<std::atomic<std::uint64_t>*>(static_cast<std::byte*>(memory_->data()) +
                                                          Parts(shape).ring)),
      slots_(reinterpret_cast<ChannelSlot*>(static_cast<std::byte*>(memory_->data()) +
                                            Parts(shape).slots)),
      bytes_(static_cast<std::byte*>(memory_->data()) + Parts(shape).bytes) {
  // The first look at each page would be a fault. Where that fails, it is one.
  ::madvise(memory_->data(), Parts(shape).end, MADV_POPULATE_WRITE);
}

void Channel::ring(std::atomic<std::uint32_t>& word) noexcept {
  kill_point("about to ring");
  ++word;
  kill_point("rang nobody");
  futex_wake(reinterpret_cast<const std::uint32_t*>(&word));
}

void Channel::wake_pollers() const noexcept {
  for (std::uint32_t i = shape_.publishers; i < n_places(); ++i) {
    const std::uint64_t address = place(i).address;
    if (address != 0) place(i).polling.wake_with([address] { WakeSocket::wake(address); });
  }
}

// Everybody is woken, who waits: whom the dead one was about to wake, and for whom it made room.
void Channel::reclaim(std::uint32_t place) const noexcept {
  const std::uint64_t bit = std::uint64_t{1} << place;
  ChannelMemory::Place& left = this->place(place);
  left.cursor = ChannelMemory::kNotJoined;
  for (std::uint32_t i = 0; i < n_slots_; ++i) {
    if ((slots_[i].holders & bit) != 0) slots_[i].holders &= ~bit;
    kill_point("reclaiming");
  }
  left.address = 0;
  ring(channel_->bell);
  ring(channel_->room);
  wake_pollers();
  kill_point("reclaimed");
  ++channel_->leaves;
  left.id = 0;
}

bp_status Channel::damaged(bp_error* error) const {
  return set_error(error, BP_DATA_LOSS,
                   "the channel " + memory_->name() + " was damaged: remove it, and open it anew");
}

void Channel::get_info(bp_channel_info& out) const noexcept {
  out.flags = shape_.flags;
  out.sample_size = shape_.sample_size;
  out.published = channel_->head;
  out.capacity = shape_.capacity;
  out.held = shape_.held;
  out.publishers = shape_.publishers;
  out.subscribers = shape_.subscribers;
  out.n_publishers = out.n_subscribers = 0;
  out.most_behind = 0;
  for (std::uint32_t i = 0; i < shape_.publishers; ++i) {
    out.n_publishers += place(i).id != 0 ? 1 : 0;
  }
  for (std::uint32_t i = shape_.publishers; i < n_places(); ++i) {
    const std::uint64_t cursor = place(i).cursor;
    if (cursor == ChannelMemory::kNotJoined) continue;
    ++out.n_subscribers;
    out.most_behind = std::max(out.most_behind, out.published - std::min(out.published, cursor));
  }
}

bool ChannelPlace::try_take(std::uint32_t from, std::uint32_t to) {
  return watch_lives(*this, [&] {
    number_ = take_place(
        from, to, [this](std::uint32_t i) -> ChannelMemory::Place& { return channel_->place(i); },
        [this](std::uint32_t i) {
          channel_->reclaim(i);
          return true;
        });
    return number_ != kNoPlace;
  });
}

bp_status ChannelPlace::take(std::uint32_t from, std::uint32_t to, const char* what,
                             bp_error* error) {
  const std::string& name = channel_->segment().name();
  if (!channel_->is_of_this_process()) {
    return set_error(error, BP_FAILED_PRECONDITION,
                     "the channel " + name + " was opened before fork: open it in the child");
  }
  if (const int failure = WakeSocket::prepare_to_wake(); failure != 0) {
    return set_errno_error(error, failure, "no socket to wake others with");
  }
  try {
    // One that another process reclaims just now is free in an instant.
    for (int attempt = 0; attempt < kAttemptsToTake; ++attempt) {
      if (try_take(from, to)) return BP_OK;
      const timespec pause = to_timespec(kBetweenAttempts);
      ::nanosleep(&pause, nullptr);
    }
  } catch (const std::system_error& problem) {
    return set_error(
        error, BP_RESOURCE_EXHAUSTED,
        std::string("no thread that tells others of this process' end: ") + problem.what());
  }
  return set_error(error, BP_RESOURCE_EXHAUSTED,
                   "the channel " + name + " has " + std::to_string(to - from) + " " + what +
                       " already: its first opener says how many there may be");
}

ChannelPlace::~ChannelPlace() {
  if (number_ == kNoPlace || !is_of_this_process()) return;
  unwatch_lives(*this, [this] {
    channel_->reclaim(number_);  // or others do
    memory().alive.unlock();
  });
}

void ChannelPlace::look() noexcept {
  look_at_places(
      0, channel_->n_places(), number_,
      [this](std::uint32_t i) -> ChannelMemory::Place& { return channel_->place(i); },
      [this](std::uint32_t i) {
        channel_->reclaim(i);
        return true;
      });
}

}  // namespace backplane::kernel
