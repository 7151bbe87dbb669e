// SPDX-License-Identifier: Apache-2.0
// LinkEnds: what a link is made of, at one side: two rings in shared memory, and one end of a
// socket pair, which wakes who sleeps, carries descriptors by SCM_RIGHTS, and tells when the other
// side has gone.
#pragma once

#include "plugins/isolation/link/ring.hpp"
#include <backplane/sdk/shared_memory.hpp>
#include <backplane/sdk/unique_handle.hpp>

#include <deque>
#include <span>

namespace backplane::isolation {

enum class Side { kProxy, kHost };

class LinkEnds {
 public:
  /// `socket`: of SOCK_STREAM. `memory`: a LinkMemory, of which nothing is believed; both sides
  /// begin when it is zero.
  LinkEnds(UniqueFd socket, SharedMemory memory, Side side);

  int socket() const noexcept { return socket_.get(); }
  RingReader& in() noexcept { return in_; }
  RingWriter& out() noexcept { return out_; }

  /// As many bytes as there are, up to `size`; wakes a writer that waits for room. Throws Error
  /// when the memory is damaged.
  size_t receive(void* to, size_t size);
  /// A byte that says: look at the rings.
  void ring_bell() const noexcept;
  /// Until a bell comes, or something else of the socket; at once when there is something to
  /// receive. Blocks.
  void sleep(bool until_it_takes_more = false) noexcept;

  enum class Sent { kAll, kLater, kNever };
  /// kAll also where the other side has gone: nobody reads the frame that claims them. kLater: the
  /// socket takes none now. kNever: as many are on their way as may be. No more than
  /// kMostDescriptors.
  Sent send(std::span<const UniqueFd> descriptors) const noexcept;
  enum class Taken { kSome, kNothing, kEnd };
  /// Bells, and the descriptors that come with some, which are put behind `descriptors`. Throws
  /// Error when there are more at once than a frame may have.
  Taken take(std::deque<UniqueFd>& descriptors) const;
  /// Both sides see the end of the socket.
  void hang_up() const noexcept;

 private:
  UniqueFd socket_;
  SharedMemory memory_;
  RingReader in_;
  RingWriter out_;
};

}  // namespace backplane::isolation
