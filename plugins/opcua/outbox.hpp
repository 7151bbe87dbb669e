// SPDX-License-Identifier: Apache-2.0
// What a socket has not taken yet: the one that the client has, those that the server has.
#pragma once

#include <backplane/sdk/result.hpp>

#include <deque>

namespace backplane::opcua {

/// OK; or the system's word for `error`, an errno.
Status socket_status(int error);

/// Bytes on their way to a stream that does not block.
class Outbox {
 public:
  /// `most`: the bytes that wait at most.
  explicit Outbox(size_t most) noexcept : most_(most) {}

  /// Sends what the socket takes and keeps the rest. UNAVAILABLE: the connection is lost;
  /// RESOURCE_EXHAUSTED: the peer does not take what is sent.
  Status send(int fd, std::string_view bytes);
  /// Sends more of what waits. UNAVAILABLE: the connection is lost.
  Status flush(int fd);
  bool is_empty() const noexcept { return waiting_.empty(); }

 private:
  const size_t most_;
  std::deque<std::string> waiting_;
  size_t waiting_bytes_ = 0;
};

}  // namespace backplane::opcua
