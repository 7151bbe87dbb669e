// SPDX-License-Identifier: Apache-2.0
// Memory: the scratch is kept to, inputs are let go, results stay as long as they are held.
#include "probe.hpp"

#include <array>
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>

namespace backplane::conformance {
namespace {

/// A page whose end borders on one that nobody may touch.
class GuardedPage {
 public:
  GuardedPage()
      : memory_(
            mmap(nullptr, 2 * size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    require(memory_ != MAP_FAILED, "no memory");
    mprotect(static_cast<char*>(memory_) + size(), size(), PROT_NONE);
  }
  GuardedPage(const GuardedPage&) = delete;
  GuardedPage& operator=(const GuardedPage&) = delete;
  ~GuardedPage() { munmap(memory_, 2 * size()); }

  static size_t size() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }
  /// The last n bytes, 16-aligned at their end if n is.
  std::byte* last(size_t n) { return static_cast<std::byte*>(memory_) + size() - n; }
  void forbid() { mprotect(memory_, size(), PROT_NONE); }

 private:
  void* memory_;
};

void keeps_to_the_scratch(Subject& subject) {
  const EndpointTraits& endpoint = subject.readable();
  const Endpoint open = subject.open(endpoint);
  constexpr auto kCanary = std::byte{0xA5};
  for (const size_t length : {0u, 16u, 64u, 256u, 1024u}) {
    GuardedPage page;
    std::byte* scratch = page.last(length);
    std::byte* before = scratch - 64;
    std::memset(before, static_cast<int>(kCanary), 64);
    const auto probe = Probe::make(subject.system().host(), BP_V_READ, open);
    probe->raw()->scratch = length == 0 ? nullptr : scratch;
    probe->raw()->scratch_len = length;
    probe->submit();
    const Status status = probe->outcome();
    require(status.is_ok(), "a read with a scratch of ", length, " bytes: ", status.to_string());
    for (size_t i = 0; i < 64; ++i) {
      require(before[i] == kCanary, "a read writes before its scratch of ", length, " bytes");
    }
    const OwnedMessage kept{probe->result()};  // looks at all of it
  }
}

void lets_inputs_go(Subject& subject) {
  const EndpointTraits& endpoint = subject.writable();
  const Endpoint open = subject.open(endpoint);
  for (const OwnedMessage& value : endpoint.writes) {
    GuardedPage page;
    StackArena<4096> arena;
    const ValueView body = value.body();
    bp_message message{body, nullptr, 0, 0, nullptr, BP_TIME_NONE, 0, 0};
    if (body.tag == BP_T_STRING || body.tag == BP_T_BYTES || body.tag == BP_T_ENCODED) {
      require(body.len < GuardedPage::size(), "a value of the traits is too long for this test");
      std::byte* bytes = page.last(body.len);
      std::memcpy(bytes, body.as.p, body.len);
      message.body.as.p = bytes;
    }
    auto* in = new (page.last(GuardedPage::size())) bp_message(message);
    const auto probe = Probe::make(subject.system().host(), BP_V_WRITE, open);
    probe->raw()->in = in;
    probe->submit();
    const Status status = probe->outcome();
    require(status.is_ok(), "a write that its traits promise: ", status.to_string());
    page.forbid();
    if (endpoint.read) {
      require(open.read<OwnedMessage>().within(patience()).get().is_ok(),
              "a read after a write whose input is gone");
    }
  }
}

/// What a message held when it came, to compare with what it holds later.
struct Held {
  explicit Held(MessageView from) : message(from), was(from.body().to_text()) {}
  OwnedMessage message;
  std::string was;
};

void require_unchanged(const std::vector<Held>& held) {
  for (const Held& each : held) {
    require(each.message.body().to_text() == each.was,
            "what is held changes after the stop: it was ", each.was);
  }
}

void results_have_an_owner(Subject& subject) {
  const EndpointTraits& endpoint = subject.readable();
  const Endpoint open = subject.open(endpoint);
  std::array<std::byte, 256> scratch{};
  const auto probe = Probe::make(subject.system().host(), BP_V_READ, open);
  probe->raw()->scratch = scratch.data();
  probe->raw()->scratch_len = scratch.size();
  probe->submit();
  const Status status = probe->outcome();
  require(status.is_ok(), "a read: ", status.to_string());
  const bp_message& out = probe->raw()->out;
  const ValueView body = out.body;
  if (out.owner != nullptr || body.is_scalar() || body.len == 0) {
    return;
  }
  const auto* begin = static_cast<const std::byte*>(body.as.p);
  require(begin >= scratch.data() && begin < scratch.data() + scratch.size(),
          "a result lies neither in the scratch nor in a buffer with an owner: nobody says how "
          "long it stays");
}

void results_stay_as_long_as_they_are_held(Subject& subject) {
  std::vector<Held> held;
  {
    const Endpoint open = subject.open(subject.readable());
    for (int i = 0; i < 32; ++i) {
      held.emplace_back(open.read<OwnedMessage>().within(patience()).value());
    }
  }
  subject.stop();
  require_unchanged(held);
}

void messages_stay_as_long_as_they_are_held(Subject& subject) {
  const EndpointTraits& traits = subject.watchable();
  std::vector<Held> held;
  {
    Endpoint open = subject.open(traits);
    const auto probe = Probe::make(subject.system().host(), BP_V_WATCH, open);
    probe->submit();
    for (size_t n = 0; n < 4; ++n) {
      subject.stir(traits, open, n);
    }
    require(probe->has_messages(3), "of 4 messages come ", probe->count());
    for (const OwnedMessage& message : probe->messages()) {
      held.emplace_back(message);
    }
  }
  subject.stop();
  require_unchanged(held);
}

constexpr std::array kTests = {
    Test{"memory.keeps_to_the_scratch",
         "nothing is written before or behind it, and none is too short", &keeps_to_the_scratch},
    Test{"memory.lets_inputs_go", "an input is not looked at after the completion",
         &lets_inputs_go},
    Test{"memory.results_have_an_owner",
         "a result is a scalar, in the scratch, or in an owned buffer", &results_have_an_owner},
    Test{"memory.results_stay_as_long_as_they_are_held", "also after the stop",
         &results_stay_as_long_as_they_are_held},
    Test{"memory.messages_stay_as_long_as_they_are_held", "also after the stop",
         &messages_stay_as_long_as_they_are_held},
};

}  // namespace

std::span<const Test> memory_tests() noexcept { return kTests; }

}  // namespace backplane::conformance
