// SPDX-License-Identifier: Apache-2.0
// RingChannel: frames over two rings in shared memory, and a socket (link_ends.hpp).
#pragma once

#include "plugins/isolation/link/channel.hpp"
#include "plugins/isolation/link/link_ends.hpp"
#include "plugins/isolation/link/spin_policy.hpp"
#include <backplane/sdk/loop.hpp>

#include <atomic>
#include <capnp/serialize.h>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace backplane::isolation {

/// A frame: its words and how many descriptors come with it, each 32 bits; then the words, in the
/// form of capnp/serialize.h.
struct FrameHead {
  uint32_t words;
  uint32_t descriptors;
};
static_assert(sizeof(FrameHead) == sizeof(Word));

/// Design notes. A sender puts its frame into the ring itself, so there is no hop. What is sent
/// while received frames are worked off wakes the other side once, behind them. When the ring is
/// full, or descriptors wait for the socket, frames are queued, and the loop goes on with them.
/// Descriptors are sent before the frame that claims them, so that they are there when it is read.
///
/// After a frame the loop looks for the next one by itself for a while (SpinPolicy), a few
/// microseconds at a time, so that others have their turn; then it says that it sleeps.
class RingChannel final : public Channel {
 public:
  /// `spin_ns`: the longest look for the next frame without sleeping. `host` outlives this.
  RingChannel(const Host& host, LinkEnds ends, int64_t spin_ns);
  ~RingChannel() override { stop(); }

  void start(ChannelUser& user) override;
  void stop() noexcept override;
  void send(capnp::MessageBuilder& frame, std::span<const int> descriptors) override;
  void receive_until(const std::function<bool(wire::Frame::Reader)>& wanted) override;
  size_t waiting() const noexcept override { return waiting_.load(std::memory_order_relaxed); }
  /// Bytes of memory that what waits takes. [any][nb]
  size_t kept() const;

 private:
  struct Attached {
    size_t at;  // in Queue::bytes: the first byte of its frame
    std::vector<UniqueFd> descriptors;
  };
  struct Queue {
    std::vector<std::byte> bytes;
    size_t done = 0;
    std::deque<Attached> attached;
    bool is_empty() const noexcept { return done == bytes.size(); }
  };
  struct Frame {
    std::vector<Word> words;
    std::vector<UniqueFd> descriptors;
  };
  using Lock = std::unique_lock<std::mutex>;

  // Out, with mutex_ held.
  void append(capnp::MessageBuilder& frame, std::span<const int> descriptors);
  void flush() noexcept;
  void compact() noexcept;
  bool send_descriptors() noexcept;
  void publish() noexcept;
  void wake_other() noexcept;
  void give_up() noexcept;

  // In, on the loop.
  void ready(uint32_t events);
  void look();
  void work(const std::function<void()>& body);
  void read();
  bool receive();
  LinkEnds::Taken take_from_socket();
  void drain_socket();
  void work_off();
  bool work_off_one();
  void dispatch(std::span<const Word> words, std::span<UniqueFd> descriptors);
  std::vector<UniqueFd> claim(uint32_t count);
  void wait();
  std::optional<Frame> next_frame(std::span<const std::byte>& rest);
  bool is_closed();
  void end(const Status& why) noexcept;

  const Host& host_;
  LinkEnds ends_;                // its writer is guarded by mutex_
  ChannelUser* user_ = nullptr;  // constant after start
  std::atomic<size_t> waiting_{0};

  // ---- the loop's own ----
  std::vector<Word> in_;
  size_t begin_ = 0;  // bytes of in_ that are worked off
  size_t end_ = 0;    // bytes of in_ that are filled
  std::deque<UniqueFd> in_descriptors_;
  std::deque<Frame> deferred_;       // by receive_until
  bool is_gone_ = false;             // the other side: what is in the ring is the last
  size_t last_ = RingMemory::kSize;  // the most that is read after that
  SpinPolicy spin_;
  int64_t spin_end_ = 0;  // 0: it sleeps between frames

  mutable std::mutex mutex_;
  Queue queue_;               // guarded by mutex_, like what follows
  bool unannounced_ = false;  // something was published since wake_other()
  bool closed_ = false;
  bool stalled_ = false;      // the other side does not read
  bool blocked_ = false;      // the socket takes no descriptors now
  std::thread::id corked_{};  // whose frames wake the other side later
  std::unique_ptr<FdWatch> watch_;

  Wakeup look_;  // last, so that what it runs has ended before the rest does
};

/// One frame, before there is a loop; nothing when the other side has gone. Descriptors are
/// refused. Throws Error when it is no frame. Blocks.
std::optional<std::vector<Word>> read_first_frame(LinkEnds& ends);

}  // namespace backplane::isolation
