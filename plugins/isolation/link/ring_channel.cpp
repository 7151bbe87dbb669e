// SPDX-License-Identifier: Apache-2.0
#include "plugins/isolation/link/ring_channel.hpp"

#include <capnp/serialize.h>

namespace backplane::isolation {
namespace {

constexpr size_t kFirstBuffer = size_t{64} * 1024;
constexpr int kReadsAtOnce = 16;   // then others have their turn on the loop
constexpr int kLooksAtOnce = 100;  // likewise
constexpr size_t kMostUnread = 2 * kMostFrameBytes;
constexpr size_t kMostUnclaimed = 4 * kMostDescriptors;
constexpr int kMostTakenOfBells = 64;  // more than a socket holds

size_t words_of(const FrameHead& head) {
  if (head.words > kMostFrameBytes / sizeof(Word)) {
    throw Error(BP_DATA_LOSS, "a frame claims ", head.words, " words; ",
                kMostFrameBytes / sizeof(Word), " is the most");
  }
  if (head.descriptors > kMostDescriptors) {
    throw Error(BP_DATA_LOSS, "a frame claims ", head.descriptors, " descriptors; ",
                kMostDescriptors, " is the most");
  }
  return head.words;
}

/// A frame as it is sent, part by part.
template <class Put>
void write_frame(const FrameHead& head,
                 kj::ArrayPtr<const kj::ArrayPtr<const capnp::word>> segments, Put put) {
  put(&head, sizeof head);
  const auto put_number = [&put](size_t number) {
    const auto little = static_cast<uint32_t>(number);
    put(&little, sizeof little);
  };
  put_number(segments.size() - 1);
  for (const auto& segment : segments) {
    put_number(segment.size());
  }
  if (segments.size() % 2 == 0) {
    put_number(0);
  }
  for (const auto& segment : segments) {
    put(segment.begin(), segment.size() * sizeof(Word));
  }
}

/// The head and the words of a frame, by what fills memory. False: so does it say.
template <class Fill>
bool read_frame(FrameHead& head, std::vector<Word>& words, Fill fill) {
  if (!fill(&head, sizeof head)) {
    return false;
  }
  words.resize(words_of(head));
  return fill(words.data(), words.size() * sizeof(Word));
}

}  // namespace

RingChannel::RingChannel(const Host& host, LinkEnds ends, int64_t spin_ns)
    : host_(host),
      ends_(std::move(ends)),
      in_(kFirstBuffer / sizeof(Word)),
      spin_(spin_ns),
      look_(host, [this] { look(); }) {}

void RingChannel::start(ChannelUser& user) {
  user_ = &user;
  {
    const Lock lock(mutex_);
    watch_ = std::make_unique<FdWatch>(host_, ends_.socket(), BP_FD_READ,
                                       [this](uint32_t events) { ready(events); });
  }
  static_cast<void>(look_.post());
}

void RingChannel::stop() noexcept {
  std::unique_ptr<FdWatch> watch;
  {
    const Lock lock(mutex_);
    closed_ = true;
    watch = std::move(watch_);
  }
  // Without the lock: it waits for a callback, which takes it.
  watch.reset();
  ends_.hang_up();
}

// ---- out ----

void RingChannel::send(capnp::MessageBuilder& frame, std::span<const int> descriptors) {
  const Lock lock(mutex_);
  if (closed_ || stalled_) {
    return;
  }
  append(frame, descriptors);
  if (waiting() > kMostUnread) {  // it would grow without a bound
    give_up();
  }
  flush();
  if (corked_ != std::this_thread::get_id()) {
    wake_other();
  }
}

void RingChannel::append(capnp::MessageBuilder& frame, std::span<const int> descriptors) {
  const auto segments = frame.getSegmentsForOutput();
  size_t words = (segments.size() + 2) / 2;  // the table: its length, and one number a segment
  for (const auto& segment : segments) {
    words += segment.size();
  }
  const FrameHead head{static_cast<uint32_t>(words), static_cast<uint32_t>(descriptors.size())};
  words_of(head);
  const size_t size = sizeof head + words * sizeof(Word);
  RingWriter& ring = ends_.out();
  if (queue_.is_empty() && descriptors.empty() && size <= ring.room()) {
    write_frame(head, segments, [&ring](const void* from, size_t n) { ring.put(from, n); });
    return publish();
  }
  std::vector<UniqueFd> kept;
  for (const int each : descriptors) {
    kept.emplace_back(detail::duplicate(each));
  }
  std::vector<std::byte>& bytes = queue_.bytes;
  const size_t at = bytes.size();
  if (at + size > bytes.capacity()) {  // first: what follows does not fail half way
    bytes.reserve(std::max(at + size, 2 * bytes.capacity()));
  }
  if (!kept.empty()) {
    queue_.attached.push_back({at, std::move(kept)});
  }
  bytes.resize(at + size);
  std::byte* to = bytes.data() + at;
  write_frame(head, segments, [&to](const void* from, size_t n) {
    std::memcpy(to, from, n);
    to += n;
  });
  waiting_.fetch_add(size, std::memory_order_relaxed);
}

/// As much of the queue as the ring and the socket take now; the loop is told when they take more.
void RingChannel::flush() noexcept {
  RingWriter& ring = ends_.out();
  while (!queue_.is_empty() && !closed_ && !blocked_ && !stalled_) {
    if (!queue_.attached.empty() && queue_.attached.front().at == queue_.done) {
      if (!send_descriptors()) {
        break;
      }
      continue;
    }
    const size_t room = ring.room();
    if (room == 0) {
      if (ring.wait()) {
        break;
      }
      continue;
    }
    const size_t end = queue_.attached.empty() ? queue_.bytes.size() : queue_.attached.front().at;
    const size_t n = std::min(room, end - queue_.done);
    ring.put(queue_.bytes.data() + queue_.done, n);
    publish();
    queue_.done += n;
    waiting_.fetch_sub(n, std::memory_order_relaxed);
  }
  compact();
}

size_t RingChannel::kept() const {
  const Lock lock(mutex_);
  return queue_.bytes.capacity();
}

/// Once half of the queue is done: each byte moves no more than once.
void RingChannel::compact() noexcept {
  if (queue_.done <= queue_.bytes.size() / 2) {
    return;
  }
  if (queue_.is_empty()) {
    queue_ = {};
    return;
  }
  queue_.bytes.erase(queue_.bytes.begin(),
                     queue_.bytes.begin() + static_cast<std::ptrdiff_t>(queue_.done));
  for (Attached& each : queue_.attached) {
    each.at -= queue_.done;
  }
  queue_.done = 0;
}

void RingChannel::publish() noexcept {
  ends_.out().publish();
  unannounced_ = true;
}

/// The other side takes nothing any more: the loop sees the end of the socket.
void RingChannel::give_up() noexcept {
  stalled_ = true;
  ends_.hang_up();
}

/// Those of the next frame. False: the loop is told when the socket takes them.
bool RingChannel::send_descriptors() noexcept {
  switch (ends_.send(queue_.attached.front().descriptors)) {
    case LinkEnds::Sent::kLater:
      blocked_ = true;
      if (watch_ != nullptr) {
        static_cast<void>(watch_->change(BP_FD_READ | BP_FD_WRITE));
      }
      return false;
    case LinkEnds::Sent::kNever:
      give_up();
      return false;
    case LinkEnds::Sent::kAll:
      break;
  }
  queue_.attached.pop_front();
  return true;
}

/// Rings only for what is new: two sides that have nothing to say would else ring for ever.
void RingChannel::wake_other() noexcept {
  if (std::exchange(unannounced_, false) && ends_.out().must_wake()) {
    ends_.ring_bell();
  }
}

// ---- in ----

void RingChannel::ready(uint32_t events) {
  if ((events & BP_FD_WRITE) != 0) {
    const Lock lock(mutex_);
    if (std::exchange(blocked_, false) && watch_ != nullptr) {
      static_cast<void>(watch_->change(BP_FD_READ));
    }
  }
  work([this] {
    drain_socket();
    read();
  });
}

/// Runs what works off frames. What is sent meanwhile is published at once, and wakes afterwards.
/// The queue goes on behind it: a bell that was taken may have told of room.
void RingChannel::work(const std::function<void()>& body) {
  {
    const Lock lock(mutex_);
    if (closed_) {
      return;
    }
    corked_ = std::this_thread::get_id();
  }
  try {
    body();
  } catch (...) {
    end(current_exception_status());
  }
  const Lock lock(mutex_);
  corked_ = {};
  if (!closed_) {
    flush();
    wake_other();
  }
}

/// All that there is, but no more than others can wait for; then goes on looking, or sleeps.
void RingChannel::read() {
  if (!deferred_.empty()) {
    work_off();
  }
  bool has_read = false;
  for (int i = 0; i < kReadsAtOnce && !is_closed(); ++i) {
    if (is_gone_ && last_ == 0) {
      return end(Status(BP_UNAVAILABLE, "the other side has closed the link"));
    }
    if (!receive()) {
      if (is_gone_) {
        last_ = 0;
        continue;
      }
      if (end_ == begin_ && in_descriptors_.size() > kMostDescriptors) {
        throw Error(BP_DATA_LOSS, "more descriptors than the frames claim");
      }
      if (has_read) {
        spin_end_ = spin_.end(monotonic_ns());
      }
      if (spin_end_ == 0 && ends_.in().sleep()) {
        return;
      }
      break;
    }
    has_read = true;
    work_off();
  }
  static_cast<void>(look_.post());
}

void RingChannel::look() {
  if (spin_end_ != 0) {
    int looks = 0;
    while (ends_.in().is_empty() && ++looks < kLooksAtOnce) {
      SpinPolicy::pause();
    }
    if (!ends_.in().is_empty()) {
      spin_.succeeded();
    } else if (monotonic_ns() < spin_end_) {
      static_cast<void>(look_.post());
      return;
    } else {
      spin_.failed();
    }
    spin_end_ = 0;
  }
  work([this] { read(); });
}

bool RingChannel::is_closed() {
  const Lock lock(mutex_);
  return closed_;
}

LinkEnds::Taken RingChannel::take_from_socket() {
  const LinkEnds::Taken taken = ends_.take(in_descriptors_);
  is_gone_ = is_gone_ || taken == LinkEnds::Taken::kEnd;
  return taken;
}

/// What there is, but not for ever while the other side sends, and no more descriptors than may
/// wait for their frames: the loop comes again.
void RingChannel::drain_socket() {
  for (int i = 0; i < kReadsAtOnce && in_descriptors_.size() <= kMostUnclaimed; ++i) {
    if (take_from_socket() != LinkEnds::Taken::kSome) {
      return;
    }
  }
}

/// False: there is nothing now.
bool RingChannel::receive() {
  const size_t room = in_.size() * sizeof(Word) - end_;
  const size_t n = ends_.receive(reinterpret_cast<std::byte*>(in_.data()) + end_, room);
  end_ += n;
  last_ -= is_gone_ ? std::min(last_, n) : 0;
  return n != 0;
}

std::vector<UniqueFd> RingChannel::claim(uint32_t count) {
  // They were sent before the frame, behind bells perhaps.
  for (int i = 0; i < kMostTakenOfBells && count > in_descriptors_.size(); ++i) {
    if (take_from_socket() != LinkEnds::Taken::kSome) {
      break;
    }
  }
  if (count > in_descriptors_.size()) {
    throw Error(BP_DATA_LOSS, "a frame claims descriptors that did not come");
  }
  std::vector<UniqueFd> out;
  for (uint32_t i = 0; i < count; ++i) {
    out.push_back(std::move(in_descriptors_.front()));
    in_descriptors_.pop_front();
  }
  return out;
}

void RingChannel::work_off() {
  while (!is_closed() && work_off_one()) {
  }
  const size_t filled = end_ - begin_;
  std::memmove(in_.data(), reinterpret_cast<std::byte*>(in_.data()) + begin_, filled);
  end_ = filled;
  begin_ = 0;
  // Grows with what has come, not with what a head claims.
  const size_t have = in_.size() * sizeof(Word);
  if (end_ == have) {
    in_.resize(std::min(2 * have, kMostFrameBytes + sizeof(FrameHead)) / sizeof(Word));
  }
}

/// False: there is no whole frame.
bool RingChannel::work_off_one() {
  if (!deferred_.empty()) {
    Frame frame = std::move(deferred_.front());
    deferred_.pop_front();
    dispatch(frame.words, frame.descriptors);
    return true;
  }
  const size_t filled = end_ - begin_;
  if (filled < sizeof(FrameHead)) {
    return false;
  }
  FrameHead head{};
  const Word* const at = in_.data() + begin_ / sizeof(Word);
  std::memcpy(&head, at, sizeof head);
  const size_t words = words_of(head);
  if (filled < sizeof head + words * sizeof(Word)) {
    return false;
  }
  std::vector<UniqueFd> descriptors = claim(head.descriptors);
  begin_ += sizeof head + words * sizeof(Word);
  dispatch({at + 1, words}, descriptors);
  return true;
}

void RingChannel::dispatch(std::span<const Word> words, std::span<UniqueFd> descriptors) {
  capnp::FlatArrayMessageReader reader(to_capnp(words), reader_options(words.size()));
  user_->received(reader.getRoot<wire::Frame>(), descriptors);
}

// ---- waiting for one frame ----

/// Until there may be something in the ring.
void RingChannel::wait() {
  bool is_blocked = false;
  {
    const Lock lock(mutex_);
    blocked_ = false;
    flush();
    wake_other();  // what is waited for may be the answer to a frame that is corked
    is_blocked = blocked_;
  }
  ends_.sleep(is_blocked);
  drain_socket();
}

/// The next frame, first out of `rest`, which has been read already; nothing at the end.
std::optional<RingChannel::Frame> RingChannel::next_frame(std::span<const std::byte>& rest) {
  const auto fill = [&](void* to, size_t size) {
    auto* out = static_cast<std::byte*>(to);
    size_t have = std::min(size, rest.size());
    if (have != 0) {
      std::memcpy(out, rest.data(), have);
      rest = rest.subspan(have);
    }
    while (have < size) {
      const size_t n = ends_.receive(out + have, size - have);
      have += n;
      if (n == 0 && is_gone_) {
        return false;
      }
      if (n == 0) {
        wait();
      }
    }
    return true;
  };
  FrameHead head{};
  Frame frame;
  if (!read_frame(head, frame.words, fill)) {
    return std::nullopt;
  }
  frame.descriptors = claim(head.descriptors);
  return frame;
}

// The frame that is being worked off may lie in in_: nothing moves there. What is behind it is
// taken out, so that all that comes after the wanted frame is in `deferred_`, in order.
void RingChannel::receive_until(const std::function<bool(wire::Frame::Reader)>& wanted) {
  const auto* const bytes = reinterpret_cast<const std::byte*>(in_.data());
  const std::vector<std::byte> behind(bytes + begin_, bytes + end_);
  std::span<const std::byte> rest(behind);
  end_ = begin_;
  bool found = false;
  while (!is_closed() && (!found || !rest.empty())) {
    std::optional<Frame> frame = next_frame(rest);
    if (!frame) {
      return end(Status(BP_UNAVAILABLE, "the other side has closed the link"));
    }
    capnp::FlatArrayMessageReader reader(to_capnp(frame->words),
                                         reader_options(frame->words.size()));
    if (!found && wanted(reader.getRoot<wire::Frame>())) {
      found = true;
      dispatch(frame->words, frame->descriptors);
    } else {
      deferred_.push_back(*std::move(frame));
    }
  }
  // For what is deferred, and since nobody else looks into the ring: it was read here.
  spin_end_ = 0;
  static_cast<void>(look_.post());
}

void RingChannel::end(const Status& seen) noexcept {
  Status why = seen;
  std::unique_ptr<FdWatch> watch;  // which would go on telling that the other side is gone
  {
    const Lock lock(mutex_);
    if (std::exchange(closed_, true)) {
      return;
    }
    if (stalled_) {
      why = Status(BP_RESOURCE_EXHAUSTED, "it does not read what is sent to it");
    }
    watch = std::move(watch_);
  }
  watch.reset();
  user_->ended(why);
}

std::optional<std::vector<Word>> read_first_frame(LinkEnds& ends) {
  bool is_gone = false;
  std::deque<UniqueFd> refused;
  const auto fill = [&](void* to, size_t size) {
    for (size_t have = 0; have < size;) {
      const size_t n = ends.receive(static_cast<std::byte*>(to) + have, size - have);
      have += n;
      if (n != 0) {
        continue;
      }
      if (is_gone) {
        return false;
      }
      ends.sleep();
      is_gone = ends.take(refused) == LinkEnds::Taken::kEnd;
    }
    return true;
  };
  FrameHead head{};
  std::vector<Word> words;
  if (!read_frame(head, words, fill) || head.descriptors != 0) {
    return std::nullopt;
  }
  return words;
}

}  // namespace backplane::isolation
