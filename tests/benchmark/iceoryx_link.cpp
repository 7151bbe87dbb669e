// SPDX-License-Identifier: Apache-2.0
// iceoryx 2.0 of Debian: its untyped publisher and subscriber, in the pools of its default daemon.
#include "message_link.hpp"

#include <chrono>
#include <iceoryx_posh/popo/untyped_publisher.hpp>
#include <iceoryx_posh/popo/untyped_subscriber.hpp>
#include <iceoryx_posh/popo/wait_set.hpp>
#include <iceoryx_posh/runtime/posh_runtime.hpp>
#include <stdexcept>

namespace backplane::benchmark {
namespace {

using namespace iox;
using namespace std::chrono_literals;

class IceoryxLink final : public MessageLink {
 public:
  explicit IceoryxLink(const LinkOptions& options)
      : size_(options.size),
        spins_(options.spins),
        publisher_(service(options, options.is_first), publisher_options(options)),
        subscriber_(service(options, !options.is_first), subscriber_options(options)) {
    if (!spins_ && waiting_.attachState(subscriber_, popo::SubscriberState::HAS_DATA).has_error()) {
      throw std::runtime_error("cannot wait for iceoryx");
    }
  }

  void send(std::uint64_t number) override {
    publisher_.loan(static_cast<std::uint32_t>(size_))
        .and_then([&](void*& memory) {
          *static_cast<std::uint64_t*>(memory) = number;
          publisher_.publish(memory);
        })
        .or_else([](popo::AllocationError&) { throw std::runtime_error("no loan"); });
  }
  std::optional<std::uint64_t> receive() override {
    const auto end = std::chrono::steady_clock::now() + 100ms;
    for (int i = 1;; ++i) {
      std::optional<std::uint64_t> number;
      subscriber_.take().and_then([&](const void* memory) {
        number = *static_cast<const std::uint64_t*>(memory);
        subscriber_.release(memory);
      });
      if (number) return number;
      if (!spins_) {
        if (waiting_.timedWait(units::Duration::fromMilliseconds(100)).empty()) return std::nullopt;
      } else if (i % 1024 == 0 && std::chrono::steady_clock::now() > end) {
        return std::nullopt;
      }
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    }
  }

 private:
  // The runtime of the process is made before the first publisher.
  static capro::ServiceDescription service(const LinkOptions& options, bool is_there) {
    const std::string process = options.name + (options.is_first ? "-first" : "-second");
    runtime::PoshRuntime::initRuntime(RuntimeName_t(cxx::TruncateToCapacity, process.c_str()));
    return {capro::IdString_t(cxx::TruncateToCapacity, options.name.c_str()), "bench",
            is_there ? capro::IdString_t("there") : capro::IdString_t("back")};
  }
  static popo::PublisherOptions publisher_options(const LinkOptions& options) {
    popo::PublisherOptions out;
    out.historyCapacity = 0;
    if (options.is_lossless) {
      out.subscriberTooSlowPolicy = popo::ConsumerTooSlowPolicy::WAIT_FOR_CONSUMER;
    }
    return out;
  }
  static popo::SubscriberOptions subscriber_options(const LinkOptions& options) {
    popo::SubscriberOptions out;
    out.queueCapacity = options.capacity();
    if (options.is_lossless) out.queueFullPolicy = popo::QueueFullPolicy::BLOCK_PRODUCER;
    return out;
  }

  const std::uint64_t size_;
  const bool spins_;
  popo::UntypedPublisher publisher_;
  popo::UntypedSubscriber subscriber_;
  popo::WaitSet<1> waiting_;
};

}  // namespace

std::unique_ptr<MessageLink> iceoryx_link(const LinkOptions& options) {
  return std::make_unique<IceoryxLink>(options);
}

}  // namespace backplane::benchmark
