// SPDX-License-Identifier: Apache-2.0
// SocketChannel: frames over one end of a socket pair, descriptors by SCM_RIGHTS.
#pragma once

#include "plugins/isolation/link/channel.hpp"
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

/// A frame: its words and how many descriptors came with it, each 32 bits; then the words, in the
/// form of capnp/serialize.h.
struct FrameHead {
  uint32_t words;
  uint32_t descriptors;
};
static_assert(sizeof(FrameHead) == sizeof(Word));

/// Design notes. A sender writes to the socket itself, unless somebody is writing already, who then
/// writes this frame too; so there is no hop. What is sent while received frames are worked off
/// goes out in one write behind them. When the socket is full the loop goes on writing.
class SocketChannel final : public Channel {
 public:
  /// `socket`: of SOCK_STREAM, non-blocking. `host` outlives this.
  SocketChannel(const Host& host, UniqueFd socket);
  ~SocketChannel() override { stop(); }

  void start(ChannelUser& user) override;
  void stop() noexcept override;
  void send(capnp::MessageBuilder& frame, std::span<const int> descriptors) override;
  void receive_until(const std::function<bool(wire::Frame::Reader)>& wanted) override;
  size_t waiting() const noexcept override { return waiting_.load(std::memory_order_relaxed); }

 private:
  struct Attached {
    size_t at;  // the first byte of its frame
    std::vector<UniqueFd> descriptors;
  };
  struct Batch {
    std::vector<std::byte> bytes;
    size_t done = 0;
    std::deque<Attached> attached;
  };
  struct Frame {
    std::vector<Word> words;
    std::vector<UniqueFd> descriptors;
  };
  using Lock = std::unique_lock<std::mutex>;

  void append(capnp::MessageBuilder& frame, std::span<const int> descriptors);
  void flush(Lock& lock) noexcept;
  bool flush_now();
  bool write(Batch& batch) noexcept;
  void ready(uint32_t events);
  void read();
  bool receive();
  ssize_t receive_into(void* to, size_t size, int flags);
  void work_off();
  bool work_off_one();
  void work_off_deferred();
  void dispatch(std::span<const Word> words, std::span<UniqueFd> descriptors);
  std::vector<UniqueFd> claim(uint32_t count);
  std::optional<Frame> next_frame(std::vector<std::byte>& rest);
  bool is_closed();
  void end(const Status& why) noexcept;

  const Host& host_;
  const UniqueFd socket_;
  ChannelUser* user_ = nullptr;  // constant after start
  std::atomic<size_t> waiting_{0};

  // ---- the loop's own ----
  std::vector<Word> in_;
  size_t begin_ = 0;  // bytes of in_ that are worked off
  size_t end_ = 0;    // bytes of in_ that are filled
  std::deque<UniqueFd> in_descriptors_;
  std::deque<Frame> deferred_;  // by receive_until
  Wakeup deferred_wakeup_;

  std::mutex mutex_;
  Batch queue_;                     // guarded by mutex_
  Batch batch_;                     // of the one who sends; guarded by mutex_ while nobody does
  bool sending_ = false;            // guarded by mutex_
  bool blocked_ = false;            // the socket is full; guarded by mutex_
  bool closed_ = false;             // guarded by mutex_
  bool stalled_ = false;            // the other side does not read; guarded by mutex_
  std::thread::id corked_{};        // whose frames wait for its flush; guarded by mutex_
  std::unique_ptr<FdWatch> watch_;  // guarded by mutex_
};

/// One frame from a blocking socket, before there is a loop; nothing when the other side has
/// closed. Descriptors are refused. Throws Error when it is no frame.
std::optional<std::vector<Word>> read_first_frame(int socket);

}  // namespace backplane::isolation
