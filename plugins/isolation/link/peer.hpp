// SPDX-License-Identifier: Apache-2.0
// Peer: the other process, as this one sees it. Operations go both ways, by numbers: what this side
// asks for (`asked`), and what it does for the other one (`served`).
#pragma once

#include "plugins/isolation/link/channel.hpp"
#include <backplane/sdk/guarded.hpp>
#include <backplane/sdk/host.hpp>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace backplane::isolation {

class Peer;
class Served;

/// The frames that are no operations, and the end. On the loop.
class PeerUser {
 public:
  virtual ~PeerUser() = default;
  /// Throws Error when the frame breaks the rules.
  virtual void received(wire::Frame::Reader frame) = 0;
  /// Once; call Peer::close().
  virtual void ended(const Status& why) noexcept = 0;
  /// The other side was asked to cancel something that pends. [any][nb]
  virtual void cancelling() noexcept {}
};

/// A frame that is being made.
class FrameBuilder {
 public:
  explicit FrameBuilder(size_t words = 64) : message_(static_cast<unsigned>(words)) {}
  wire::Frame::Builder root() { return message_.getRoot<wire::Frame>(); }
  capnp::MessageBuilder& message() { return message_; }

 private:
  capnp::MallocMessageBuilder message_;
};

/// Gives the peer of now; NULL, with the reason in the status: there is none.
using PeerSource = std::function<std::shared_ptr<Peer>(Status& why)>;

/// Design notes. `mutex` of the state is never held while anything is called that may call back.
/// Whoever takes an operation out of `asked` completes it: the answer, or the end. What comes for
/// one that is not there any more is ignored, since frames cross. All frames are worked off on the
/// loop; submit, cancel, credit and ack come from any thread. A number is never used again, also
/// not by the next peer of a proxy: each has a range of its own.
///
/// A stream without a limit of credit is told a window, and more of it as messages are taken, so
/// that a slow consumer bounds what waits in between.
class Peer final : public std::enable_shared_from_this<Peer>, private References, ChannelUser {
 public:
  /// `prefix` is put before an address that the other side opens. `generation` tells one peer of a
  /// proxy from the next. `host` and `user` outlive close().
  Peer(const Host& host, PeerUser& user, std::string prefix, uint32_t generation = 0);
  ~Peer() override;

  void start(std::unique_ptr<Channel> channel);
  /// Ends what pends with `why`, and the channel. What is served is cancelled; idle() says when the
  /// last of it has ended. On the loop, or when the loop does not know the peer any more.
  void close(const Status& why) noexcept;
  /// Nothing that the other side has asked for is under way. [any]
  bool idle() const noexcept { return serving_.load(std::memory_order_acquire) == 0; }
  /// Calls back once nothing is, perhaps at once. After close().
  void when_idle(std::function<void()> callback);

  // ---- asking ----
  struct Answered {
    wire::Complete::Reader frame;
    std::span<UniqueFd> descriptors;  // to be taken
  };
  using Answer = std::function<void(const Answered* answer, const Status& failure)>;
  /// Sends a frame that `fill` makes. `answer` is called on the loop, or by close(), exactly once
  /// unless this throws. Returns the number of the operation. [any][nb]
  using Fill = std::function<void(wire::Frame::Builder frame, uint64_t number, Outgoing& with)>;
  uint64_t ask(const Fill& fill, Answer answer, size_t words = 64);
  /// A frame that nobody answers. [any][nb]
  void tell(FrameBuilder& frame);
  void tell_log(uint32_t level, std::string_view message, std::span<const bp_pair> fields);
  /// On the loop: waits for that answer, and for nothing else; what comes before it is worked off
  /// later. Blocks.
  void wait_on_loop(uint64_t number);
  /// Answers an operation that came as one of the user's frames. [any][nb]
  void answer(uint64_t number, const Status& status, ValueView body = {});
  /// An endpoint of the other side for an operation of open. With a source it is opened again when
  /// the source gives another peer. [any][nb]
  Status open(std::string_view address, const bp_message* options, bp_op* op, bp_endpoint* out,
              PeerSource source = {});
  /// Asks for a sign of life.
  void ping(Answer answer);
  /// Asks to cancel what has this number, if it pends. [any][nb]
  void cancel(uint64_t number);

 private:
  friend class RemoteEndpoint;
  friend class Served;

  /// What a peer may have under way, open or shown: beyond it somebody has gone mad.
  static constexpr size_t kMost = 65536;

  struct Asked {
    bp_op* op = nullptr;  // NULL: `answer`
    Answer answer;
    bool stream = false;
    uint32_t untold = 0;       // credit that the other side does not know
    uint32_t outstanding = 0;  // credit that it knows and has not used
    bp_status ended = BP_OK;   // by the consumer
  };
  /// What the other side has opened here, by the number of its operation.
  struct Opened {
    bp_ref ref = 0;  // 0: not yet
    std::vector<std::shared_ptr<Served>> waiting;
  };
  struct State {
    bool alive = true;
    Status why;
    uint64_t last_number = 0;
    uint32_t imported = 0;
    std::unordered_map<uint64_t, Asked> asked;
    std::unordered_map<uint64_t, std::shared_ptr<Served>> served;
    std::unordered_map<uint64_t, Opened> opened;
    std::unordered_map<uint64_t, bp_ref> shown;
    std::function<void()> when_idle;
  };

  const bp_endpoint_service& service() const noexcept { return host_.services().endpoint; }

  // ---- References ----
  Shown show(bp_ref ref) override;
  void unshow(uint64_t number) noexcept override;
  bp_ref take(Shown shown) override;
  void close(bp_ref ref) noexcept override;

  // ---- ChannelUser ----
  void received(wire::Frame::Reader frame, std::span<UniqueFd> descriptors) override;
  void ended(const Status& why) noexcept override { user_.ended(why); }

  // ---- for RemoteEndpoint ----
  bp_status submit(bp_op* op, uint64_t target, bool opened);
  void credit(uint64_t number, uint32_t n);
  void acknowledge(uint64_t number, uint64_t seq, bp_status status);
  void release(uint64_t target, bool opened);
  /// Sends what is in `asked` under that number. Throws when it cannot, unless it has ended by
  /// then.
  void send_asked(uint64_t number, FrameBuilder& frame, Outgoing& with);
  /// Opens for a later submit; `failed` is called when that does not succeed.
  uint64_t open_again(std::string_view address, const bp_message* options,
                      std::function<void(uint64_t number)> failed);
  uint64_t send_open(std::string_view address, const bp_message* options, bp_op* op, Answer answer);

  // ---- frames ----
  void on_submit(wire::Submit::Reader in, std::span<UniqueFd> descriptors);
  void on_complete(wire::Complete::Reader in, std::span<UniqueFd> descriptors);
  void complete_operation(Asked& asked, wire::Complete::Reader in, std::span<UniqueFd> descriptors);
  void on_deliver(wire::Deliver::Reader in, std::span<UniqueFd> descriptors);
  void on_open(wire::Open::Reader in, std::span<UniqueFd> descriptors);
  void on_release(wire::Release::Reader in);
  std::shared_ptr<Served> find_served(uint64_t number);
  std::shared_ptr<Served> admit(uint64_t number);
  template <class Read>
  void read_for(Served& served, Read read);

  // ---- for Served ----
  void forget(uint64_t number);
  void served_ended();
  void opened(Served& served, bp_status status);
  void answer_failure(uint64_t number, bp_status status, const bp_error* error);

  static uint32_t take_credit(Asked& asked) noexcept;
  void tell_credit(uint64_t number, uint32_t n);

  const Host& host_;
  PeerUser& user_;
  const std::string prefix_;
  const uint32_t generation_;
  std::unique_ptr<Channel> channel_;  // constant after start
  std::atomic<uint64_t> serving_{0};
  Guarded<State> state_;
};

}  // namespace backplane::isolation
