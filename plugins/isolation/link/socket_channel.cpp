// SPDX-License-Identifier: Apache-2.0
#include "plugins/isolation/link/socket_channel.hpp"

#include <array>
#include <capnp/serialize.h>
#include <cerrno>
#include <poll.h>
#include <sys/socket.h>

namespace backplane::isolation {
namespace {

constexpr size_t kFirstBuffer = size_t{64} * 1024;
constexpr int kReadsAtOnce = 16;  // then others have their turn on the loop
constexpr size_t kMostUnread = 2 * kMostFrameBytes;
constexpr size_t kMostUnclaimed = 4 * kMostDescriptors;

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

}  // namespace

SocketChannel::SocketChannel(const Host& host, UniqueFd socket)
    : host_(host),
      socket_(std::move(socket)),
      in_(kFirstBuffer / sizeof(Word)),
      deferred_wakeup_(host, [this] { work_off_deferred(); }) {}

void SocketChannel::start(ChannelUser& user) {
  user_ = &user;
  const Lock lock(mutex_);
  watch_ = std::make_unique<FdWatch>(host_, socket_.get(), BP_FD_READ,
                                     [this](uint32_t events) { ready(events); });
}

void SocketChannel::stop() noexcept {
  std::unique_ptr<FdWatch> watch;
  {
    const Lock lock(mutex_);
    closed_ = true;
    watch = std::move(watch_);
  }
  // Without the lock: it waits for a callback, which takes it.
  watch.reset();
  shutdown(socket_.get(), SHUT_RDWR);
}

// ---- out ----

void SocketChannel::send(capnp::MessageBuilder& frame, std::span<const int> descriptors) {
  Lock lock(mutex_);
  if (closed_ || stalled_) {
    return;
  }
  append(frame, descriptors);
  if (waiting() > kMostUnread) {  // it would grow without a bound: the reader ends the link
    stalled_ = true;
    shutdown(socket_.get(), SHUT_RDWR);
  }
  if (!sending_ && !blocked_ && corked_ != std::this_thread::get_id()) {
    flush(lock);
  }
}

void SocketChannel::append(capnp::MessageBuilder& frame, std::span<const int> descriptors) {
  const auto segments = frame.getSegmentsForOutput();
  size_t words = (segments.size() + 2) / 2;  // the table: its length, and one number a segment
  for (const auto& segment : segments) {
    words += segment.size();
  }
  const FrameHead head{static_cast<uint32_t>(words), static_cast<uint32_t>(descriptors.size())};
  words_of(head);
  std::vector<UniqueFd> kept;
  for (const int each : descriptors) {
    kept.emplace_back(detail::duplicate(each));
  }
  std::vector<std::byte>& bytes = queue_.bytes;
  const size_t at = bytes.size();
  if (!kept.empty()) {
    queue_.attached.push_back({at, std::move(kept)});
  }
  bytes.resize(at + sizeof head + words * sizeof(Word));
  std::byte* to = bytes.data() + at;
  const auto put = [&to](const void* from, size_t size) {
    std::memcpy(to, from, size);
    to += size;
  };
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
  waiting_.fetch_add(sizeof head + words * sizeof(Word), std::memory_order_relaxed);
}

void SocketChannel::flush(Lock& lock) noexcept {
  sending_ = true;
  while (!closed_) {
    if (batch_.done == batch_.bytes.size()) {
      batch_.bytes.clear();
      batch_.done = 0;
      if (queue_.bytes.empty()) {
        break;
      }
      std::swap(batch_, queue_);
    }
    lock.unlock();
    const bool complete = write(batch_);
    lock.lock();
    if (!complete) {
      blocked_ = true;
      if (watch_ != nullptr) {
        static_cast<void>(watch_->change(BP_FD_READ | BP_FD_WRITE));
      }
      break;
    }
  }
  sending_ = false;
}

/// False: the socket takes no more now.
bool SocketChannel::write(Batch& batch) noexcept {
  while (batch.done < batch.bytes.size()) {
    // Up to the next frame with descriptors, which begins a call of its own and brings them.
    std::vector<UniqueFd>* attached = nullptr;
    size_t end = batch.bytes.size();
    for (Attached& each : batch.attached) {
      if (each.at > batch.done) {
        end = each.at;
        break;
      }
      if (each.at == batch.done) {
        attached = &each.descriptors;
      }
    }
    iovec bytes{batch.bytes.data() + batch.done, end - batch.done};
    msghdr message{};
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int) * kMostDescriptors)> control{};
    if (attached != nullptr) {
      message.msg_control = control.data();
      message.msg_controllen = CMSG_SPACE(sizeof(int) * attached->size());
      cmsghdr* const head = CMSG_FIRSTHDR(&message);
      head->cmsg_level = SOL_SOCKET;
      head->cmsg_type = SCM_RIGHTS;
      head->cmsg_len = CMSG_LEN(sizeof(int) * attached->size());
      auto* to = reinterpret_cast<int*>(CMSG_DATA(head));
      for (const UniqueFd& each : *attached) {
        *to++ = each.get();
      }
    }
    const ssize_t n = sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS)) {
      return false;
    }
    // The other side has gone, which the reader will see: nobody reads this.
    const size_t taken = n < 0 ? batch.bytes.size() - batch.done : static_cast<size_t>(n);
    batch.done += taken;
    waiting_.fetch_sub(taken, std::memory_order_relaxed);
    while (!batch.attached.empty() && batch.attached.front().at < batch.done) {
      batch.attached.pop_front();
    }
  }
  return true;
}

// ---- in ----

void SocketChannel::ready(uint32_t events) {
  {
    Lock lock(mutex_);
    if (closed_) {
      return;
    }
    if ((events & BP_FD_WRITE) != 0 && blocked_) {
      blocked_ = false;
      if (watch_ != nullptr) {
        static_cast<void>(watch_->change(BP_FD_READ));
      }
      flush(lock);
    }
    corked_ = std::this_thread::get_id();
  }
  try {
    read();
  } catch (...) {
    end(current_exception_status());
  }
  Lock lock(mutex_);
  corked_ = {};
  if (!sending_ && !blocked_) {
    flush(lock);
  }
}

void SocketChannel::read() {
  for (int i = 0; i < kReadsAtOnce; ++i) {
    if (!receive()) {
      return;
    }
    work_off();
    const Lock lock(mutex_);
    if (closed_) {
      return;
    }
  }
}

bool SocketChannel::is_closed() {
  const Lock lock(mutex_);
  return closed_;
}

/// As recvmsg; keeps the descriptors that come.
ssize_t SocketChannel::receive_into(void* to, size_t size, int flags) {
  iovec bytes{to, size};
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int) * kMostDescriptors)> control;
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t n = recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC | flags);
  if (n < 0) {
    return n;
  }
  for (cmsghdr* head = CMSG_FIRSTHDR(&message); head != nullptr;
       head = CMSG_NXTHDR(&message, head)) {
    if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) {
      continue;
    }
    const size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    const auto* const from = reinterpret_cast<const int*>(CMSG_DATA(head));
    for (size_t i = 0; i < count; ++i) {
      in_descriptors_.emplace_back(from[i]);
    }
  }
  if ((message.msg_flags & MSG_CTRUNC) != 0 || in_descriptors_.size() > kMostUnclaimed) {
    throw Error(BP_DATA_LOSS, "more descriptors than the frames claim");
  }
  return n;
}

/// False: there is nothing now, or never again.
bool SocketChannel::receive() {
  const ssize_t n = receive_into(reinterpret_cast<std::byte*>(in_.data()) + end_,
                                 in_.size() * sizeof(Word) - end_, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
    return false;
  }
  if (n <= 0) {
    end(Status(BP_UNAVAILABLE, "the other side has closed the link"));
    return false;
  }
  end_ += static_cast<size_t>(n);
  return true;
}

std::vector<UniqueFd> SocketChannel::claim(uint32_t count) {
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

void SocketChannel::work_off() {
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
bool SocketChannel::work_off_one() {
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

void SocketChannel::dispatch(std::span<const Word> words, std::span<UniqueFd> descriptors) {
  capnp::FlatArrayMessageReader reader(to_capnp(words), reader_options(words.size()));
  user_->received(reader.getRoot<wire::Frame>(), descriptors);
}

void SocketChannel::work_off_deferred() {
  try {
    while (!is_closed() && !deferred_.empty()) {
      work_off_one();
    }
  } catch (...) {
    end(current_exception_status());
  }
}

// ---- waiting for one frame ----

/// True: the socket is full, and something waits.
bool SocketChannel::flush_now() {
  Lock lock(mutex_);
  if (!sending_) {
    blocked_ = false;
    flush(lock);
  }
  return blocked_;
}

/// The next frame, first out of `rest`, which has been read already; nothing at the end.
std::optional<SocketChannel::Frame> SocketChannel::next_frame(std::vector<std::byte>& rest) {
  size_t used = 0;
  const auto fill = [&](void* to, size_t size) {
    auto* out = static_cast<std::byte*>(to);
    const size_t here = std::min(size, rest.size() - used);
    if (here != 0) {
      std::memcpy(out, rest.data() + used, here);
    }
    used += here;
    for (size_t have = here; have < size;) {
      const bool full = flush_now();
      pollfd wait{socket_.get(), static_cast<short>(full ? POLLIN | POLLOUT : POLLIN), 0};
      poll(&wait, 1, -1);
      const ssize_t n = receive_into(out + have, size - have, MSG_DONTWAIT);
      if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        return false;
      }
      have += n < 0 ? 0 : static_cast<size_t>(n);
    }
    return true;
  };
  FrameHead head{};
  if (!fill(&head, sizeof head)) {
    return std::nullopt;
  }
  Frame frame;
  frame.words.resize(words_of(head));
  if (!fill(frame.words.data(), frame.words.size() * sizeof(Word))) {
    return std::nullopt;
  }
  frame.descriptors = claim(head.descriptors);
  rest.erase(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(used));
  return frame;
}

// The frame that is being worked off may lie in in_: nothing moves there. What is behind it is
// taken out, so that all that comes after the wanted frame is in `deferred_`, in order.
void SocketChannel::receive_until(const std::function<bool(wire::Frame::Reader)>& wanted) {
  flush_now();  // what is waited for may be the answer to a frame that is corked
  const auto* const bytes = reinterpret_cast<const std::byte*>(in_.data());
  std::vector<std::byte> rest(bytes + begin_, bytes + end_);
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
  static_cast<void>(deferred_wakeup_.post());
}

void SocketChannel::end(const Status& seen) noexcept {
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

std::optional<std::vector<Word>> read_first_frame(int socket) {
  const auto fill = [socket](void* to, size_t size) {
    size_t have = 0;
    while (have < size) {
      const ssize_t n = ::recv(socket, static_cast<std::byte*>(to) + have, size - have, 0);
      if (n < 0 && errno == EINTR) {
        continue;
      }
      if (n <= 0) {
        return false;
      }
      have += static_cast<size_t>(n);
    }
    return true;
  };
  FrameHead head{};
  if (!fill(&head, sizeof head)) {
    return std::nullopt;
  }
  std::vector<Word> words(words_of(head));
  if (head.descriptors != 0 || !fill(words.data(), words.size() * sizeof(Word))) {
    return std::nullopt;
  }
  return words;
}

}  // namespace backplane::isolation
