// SPDX-License-Identifier: Apache-2.0
// What open62541 wants of a connection manager: its table of functions, and the buffers for what is
// sent and received.
//
// Design notes.
// - The buffer of a message is as large as the largest chunk, however short that is: taken from
//   malloc and given back each time, it makes malloc sort all its small free blocks each time. So
//   one is kept.
// - What is received at once is twice the largest chunk, as the library's own manager has it: what
//   comes in parts the library has to copy. Not on the stack, each page of which would be touched.
// - ASan sees no more of a buffer than is lent, or has come, and that no longer than it is looked
//   at.
#pragma once

#include "event_loop.hpp"

#include <memory>
#include <sys/types.h>

namespace backplane::opcua {

class ConnectionManager : protected UA_ConnectionManager {
 public:
  ConnectionManager(const ConnectionManager&) = delete;
  ConnectionManager& operator=(const ConnectionManager&) = delete;

 protected:
  using Callback = UA_ConnectionManager_connectionCallback;

  /// `loop` outlives it.
  explicit ConnectionManager(EventLoop& loop);
  virtual ~ConnectionManager();
  EventLoop& loop_;

  /// recv(), and use(UA_ByteString) of what has come: gone when it returns.
  template <class Use>
  ssize_t receive(int socket, Use use) {
    UA_ByteString bytes;
    const ssize_t n = receive(socket, bytes);
    if (n > 0) {
      use(bytes);
    }
    forget_received();
    return n;
  }

  // ---- what the library asks for; an exception is BadOutOfMemory ----
  virtual UA_StatusCode open(void* application, void* context, Callback callback) = 0;
  virtual UA_StatusCode send(uintptr_t connection, std::string_view bytes) = 0;
  virtual UA_StatusCode close(uintptr_t connection) = 0;

 private:
  static ConnectionManager& self(UA_ConnectionManager* manager) noexcept {
    return *static_cast<ConnectionManager*>(manager);
  }
  ssize_t receive(int socket, UA_ByteString& bytes) noexcept;
  void forget_received() noexcept;
  UA_StatusCode lend(UA_ByteString& buffer, size_t size) noexcept;
  void take_back(UA_ByteString& buffer) noexcept;

  std::unique_ptr<UA_Byte[]> kept_;
  size_t kept_size_ = 0;
  bool is_lent_ = false;
  const std::unique_ptr<UA_Byte[]> received_;
};

}  // namespace backplane::opcua
