// SPDX-License-Identifier: Apache-2.0
// The segment of a channel, into which a peer writes what it likes while it is used: every sample
// that is received lies in it, and every call ends. The input is a script: a byte for the size of
// samples, then one for each thing that is done; to write, an offset (two bytes), a length (one),
// and so many bytes.
#include "backplane/channel.h"

#include "channel_memory.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

namespace {

using backplane::kernel::ChannelMemory;

// All in the heads of slots, or not all.
constexpr std::array<uint64_t, 3> kSizes = {8, 40, 100};
constexpr std::size_t kHeader = 4096;  // of the segment

void require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

bp_channel_options options_of(uint64_t size) {
  bp_channel_options out{};
  out.struct_size = sizeof out;
  out.sample_size = size;
  out.capacity = 4;
  out.held = 1;
  out.publishers = out.subscribers = 2;
  return out;
}

// A channel, and its memory as a peer has it.
class Target {
 public:
  explicit Target(uint64_t sample_size) {
    bp_key key{};
    key.type = BP_KEY_ANONYMOUS;
    key.length = 4;
    std::memcpy(key.name, "fuzz", 4);
    const bp_channel_options options = options_of(sample_size);
    require(bp_channel_open(&key, &options, &channel_, nullptr) == BP_OK);
    descriptor_ = bp_channel_descriptor(channel_, nullptr);
    require(descriptor_ >= 0);
    size_ = static_cast<std::size_t>(lseek(descriptor_, 0, SEEK_END)) - kHeader;
    void* const memory =
        mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor_, kHeader);
    require(memory != MAP_FAILED);
    bytes_ = static_cast<char*>(memory);
    good_.assign(bytes_, bytes_ + size_);
  }
  int descriptor() const { return descriptor_; }
  void restore() { std::memcpy(bytes_, good_.data(), size_); }

  // But not into the mutexes: who can do that can do all (docs/shared_memory.md).
  void write(std::size_t offset, const uint8_t* data, std::size_t n) {
    constexpr std::size_t kPlaces = offsetof(ChannelMemory, places);
    for (std::size_t i = 0; i < n && offset + i < size_; ++i) {
      const std::size_t at = offset + i;
      const bool is_of_place = at >= kPlaces && at < sizeof(ChannelMemory);
      if (is_of_place && (at - kPlaces) % sizeof(ChannelMemory::Place) < sizeof(pthread_mutex_t)) {
        continue;
      }
      bytes_[at] = static_cast<char>(data[i]);
    }
  }

 private:
  bp_channel* channel_ = nullptr;
  int descriptor_ = -1;
  std::size_t size_ = 0;
  char* bytes_ = nullptr;
  std::vector<char> good_;
};

// What one input does.
class Run {
 public:
  Run(int descriptor, uint64_t sample_size) : size_(sample_size) {
    const bp_channel_options options = options_of(0);
    bp_channel_adopt(descriptor, &options, &channel_, nullptr);
  }
  ~Run() {
    bp_publisher_close(publisher_);
    bp_subscriber_close(subscriber_);
    bp_channel_close(channel_);
  }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  bool is_open() const { return channel_ != nullptr; }
  void open_publisher() {
    if (publisher_ == nullptr) bp_publisher_open(channel_, &publisher_, nullptr);
  }
  void open_subscriber(uint32_t history) {
    const bp_subscriber_options options{sizeof options, history, 0};
    if (subscriber_ == nullptr) bp_subscriber_open(channel_, &options, &subscriber_, nullptr);
  }
  void close_subscriber() {
    bp_subscriber_close(subscriber_);
    subscriber_ = nullptr;
    is_held_ = false;
  }
  void publish(uint64_t size) {
    void* memory = nullptr;
    size = std::min(size, size_);
    if (publisher_ == nullptr || bp_publisher_loan(publisher_, size, &memory, nullptr) != BP_OK) {
      return;
    }
    std::memset(memory, 7, size);
    bp_publisher_publish(publisher_, size, 1, nullptr);
  }
  void receive() {
    if (subscriber_ == nullptr || is_held_ ||
        bp_subscriber_receive(subscriber_, 1, &sample_, nullptr) != BP_OK) {
      return;
    }
    is_held_ = true;
    require(sample_.size <= size_);
    std::vector<char> copy(sample_.size);
    if (!copy.empty()) std::memcpy(copy.data(), sample_.data, copy.size());
  }
  void release() {
    if (is_held_) bp_subscriber_release(subscriber_, &sample_);
    is_held_ = false;
  }

 private:
  const uint64_t size_;
  bp_channel* channel_ = nullptr;
  bp_publisher* publisher_ = nullptr;
  bp_subscriber* subscriber_ = nullptr;
  bp_sample sample_{};
  bool is_held_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  static std::array<Target*, kSizes.size()> const targets = {
      new Target(kSizes[0]), new Target(kSizes[1]), new Target(kSizes[2])};
  if (size == 0) {
    return 0;
  }
  Target* const target = targets[data[0] % targets.size()];
  const uint64_t most = kSizes[data[0] % kSizes.size()];
  target->restore();
  Run* run = new Run(target->descriptor(), most);
  for (std::size_t at = 1; at < size && run->is_open(); ++at) {
    switch (data[at] % 9) {
      case 0:
        run->open_publisher();
        break;
      case 1:
        run->open_subscriber(data[at] / 9 % 4);
        break;
      case 2:
        run->publish(data[at] / 9);  // up to 28: in the head
        break;
      case 3:
        run->publish(most - std::min<uint64_t>(most, data[at] / 9));
        break;
      case 4:
        run->receive();
        break;
      case 5:
        run->release();
        break;
      case 6:
        run->close_subscriber();
        break;
      case 7:  // as another process opens it, with what is there now
        delete run;
        run = new Run(target->descriptor(), most);
        break;
      default:
        if (at + 3 < size) {
          const std::size_t offset = data[at + 1] | static_cast<std::size_t>(data[at + 2]) << 8U;
          const std::size_t n = std::min<std::size_t>(data[at + 3], size - at - 4);
          target->write(offset, data + at + 4, n);
          at += 3 + n;
        }
    }
  }
  delete run;
  return 0;
}
