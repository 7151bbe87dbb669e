// SPDX-License-Identifier: Apache-2.0
#include "backplane/sdk/channel.hpp"
#include "message_link.hpp"

namespace backplane::benchmark {
namespace {

using namespace std::chrono_literals;

class ChannelLink final : public MessageLink {
 public:
  explicit ChannelLink(const LinkOptions& options)
      : size_(options.size),
        publisher_(open(options, options.is_first).publisher().value()),
        subscriber_(open(options, !options.is_first)
                        .subscriber({.spin = options.spins ? std::chrono::nanoseconds::max() : 0ns})
                        .value()) {}

  void send(std::uint64_t number) override {
    auto* const memory = reinterpret_cast<std::uint64_t*>(publisher_.loan(size_).value().data());
    *memory = number;
    publisher_.publish().or_throw();
  }
  std::optional<std::uint64_t> receive() override {
    const Result<Sample> sample = subscriber_.receive_within(100ms);
    if (!sample) return std::nullopt;
    return sample->as<std::uint64_t>();
  }

 private:
  static Channel open(const LinkOptions& options, bool is_there) {
    const NativeKey key = NativeKey("/" + options.name + (is_there ? "-there" : "-back"));
    return Channel::open(key, {.sample_size = options.size,
                               .capacity = options.capacity(),
                               .publishers = 1,
                               .subscribers = 1,
                               .lossless = options.is_lossless})
        .value();
  }

  const std::uint64_t size_;
  Publisher publisher_;
  Subscriber subscriber_;
};

}  // namespace

std::unique_ptr<MessageLink> channel_link(const LinkOptions& options) {
  return std::make_unique<ChannelLink>(options);
}

}  // namespace backplane::benchmark
