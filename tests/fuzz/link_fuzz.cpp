// SPDX-License-Identifier: Apache-2.0
// What a hostile host may send: the input is a row of frames, each with its number of words in
// front (16 bits, padded to a word). They meet a peer in a real kernel, which aborts on a breach of
// the contract: an endpoint that the other side may use (reference 1), and which uses what it is
// given. Whatever comes, everything that was asked for completes once, and nothing is left.
#include "plugins/isolation/link/peer.hpp"
#include <backplane/sdk/endpoint_object.hpp>
#include <backplane/sdk/kernel.hpp>
#include <backplane/sdk/unique_op.hpp>

#include <capnp/serialize.h>
#include <chrono>
#include <cstdlib>
#include <mutex>

namespace {

using namespace backplane;
using namespace backplane::isolation;

void require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

const Kernel& kernel() {
  static const Kernel* const only = [] {
    KernelOptions options;
    options.plugin_folders = options.manifest_folders = "/nowhere";
    options.flags = BP_KERNEL_CHECKED;
    options.log = [](const LogRecord&) {};
    auto* const made = new Kernel(Kernel::create(std::move(options)).value());
    made->start().or_throw();
    return made;
  }();
  return *only;
}

/// Reads and watches the reference that a call brings; keeps a watch until it is cancelled.
class User final {
 public:
  Status read(Op op) { return op.reply("read"); }
  Status write(Op op) { return static_cast<void>(OwnedMessage(op.in())), Status::ok(); }
  Status watch(Op op) {
    if (op->credit != 0) {
      static_cast<void>(kernel().host().deliver(op, MessageBuilder("a message").view()));
    }
    return keep(op);
  }
  Status call(Op op) {
    if (op.in().body().tag != BP_T_REF) {
      return op.reply(op.in());
    }
    for (const uint32_t verb : {BP_V_READ, BP_V_WATCH}) {
      auto* const own = new Own;
      own->op.emplace(kernel().host(), own, [](bp_op* done) { Own::end(done); });
      (*own->op)->verb = static_cast<uint16_t>(verb);
      (*own->op)->target = op.in().body().as.u;
      (*own->op)->credit = 4;
      (*own->op)->sink = &Own::kSink;
      ++asked;
      if (const bp_status status = own->op->submit(); status != BP_PENDING) {
        Own::end(own->op->operator->());
      }
    }
    return op.reply("asked");
  }
  void cancel(Op op) noexcept {
    {
      const std::lock_guard lock(mutex);
      if (std::erase(kept, static_cast<bp_op*>(op)) == 0) return;
    }
    kernel().host().complete(op, Status(BP_CANCELLED));
  }
  void credit(Op, uint32_t) noexcept {}
  void ack(Op, uint64_t, bp_status) noexcept {}

  static inline std::atomic<int> asked = 0;

 private:
  struct Own {
    std::optional<UniqueOp> op;
    static bp_status next(bp_op*, const bp_message* messages, uint32_t n) {
      for (uint32_t i = 0; i < n; ++i) {
        static_cast<void>(OwnedMessage(MessageView(messages[i])));
      }
      return BP_OK;
    }
    static void end(bp_op* done) {
      auto* const own = static_cast<Own*>(done->user);
      static_cast<void>(own->op->take_owner());
      delete own;
      --asked;
    }
    static constexpr bp_sink kSink = {BP_SIZE_TO(bp_sink, next), 0, &next};
  };
  static Status keep(Op op) {
    const std::lock_guard lock(mutex);
    kept.push_back(op);
    return Status::pending();
  }
  static inline std::mutex mutex;
  static inline std::vector<bp_op*> kept;
};

class Swallow final : public Channel {
 public:
  void start(ChannelUser& user) override { user_ = &user; }
  void stop() noexcept override {}
  void send(capnp::MessageBuilder& frame, std::span<const int>) override {
    require(frame.sizeInWords() * sizeof(Word) <= kMostFrameBytes);
  }
  void receive_until(const std::function<bool(wire::Frame::Reader)>&) override {}
  size_t waiting() const noexcept override { return 0; }
  ChannelUser& user() { return *user_; }

 private:
  ChannelUser* user_ = nullptr;
};

class Proxy final : public PeerUser {
 public:
  void received(wire::Frame::Reader frame) override {
    if (frame.which() == wire::Frame::CREDENTIAL) {
      throw Error(BP_PERMISSION_DENIED, "none");
    }
  }
  void ended(const Status&) noexcept override {}
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Host& host = kernel().host();
  Proxy proxy;
  const auto peer = std::make_shared<Peer>(host, proxy, "nobody:");
  auto channel = std::make_unique<Swallow>();
  Swallow& line = *channel;
  peer->start(std::move(channel));
  bp_endpoint endpoint = make_endpoint(std::make_unique<User>());
  bp_ref ref = 0;
  require(host.services().endpoint.adopt(host.raw(), &endpoint, &ref) == BP_OK);
  peer->answer(0, Status(), ValueView::reference(ref));

  std::vector<Word> words;
  while (size >= sizeof(Word)) {
    const size_t wanted = std::min<size_t>(data[0] + data[1] * 256u, size / sizeof(Word) - 1);
    words.assign(wanted + 1, 0);  // never empty: memcpy wants an address
    std::memcpy(words.data(), data + sizeof(Word), wanted * sizeof(Word));
    data += (wanted + 1) * sizeof(Word);
    size -= (wanted + 1) * sizeof(Word);
    try {
      capnp::FlatArrayMessageReader reader(to_capnp({words.data(), wanted}),
                                           reader_options(wanted));
      line.user().received(reader.getRoot<wire::Frame>(), {});
    } catch (const std::exception&) {
      break;  // what ends the channel
    }
  }
  peer->close(Status(BP_UNAVAILABLE, "the end"));
  // The last of it may be left to the loop.
  std::atomic<bool> idle = false;
  peer->when_idle([&] { idle = true; });
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  while (!idle || User::asked != 0) {
    if (std::chrono::steady_clock::now() >= end) require(std::chrono::steady_clock::now() < end);
    std::this_thread::yield();
  }
  host.services().endpoint.close(host.raw(), ref);
  return 0;
}
