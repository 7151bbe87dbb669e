// SPDX-License-Identifier: Apache-2.0
// What open62541 wants of a connection manager: its table of functions, and the buffer that it
// fills with each message.
//
// Design notes.
// - A buffer is as large as the largest chunk, however short the message: taken from malloc and
//   given back each time, it makes malloc sort all its small free blocks each time. So one is kept.
//   ASan sees no more of it than is lent.
#pragma once

#include "event_loop.hpp"

#include <memory>

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

  // ---- what the library asks for; an exception is BadOutOfMemory ----
  virtual UA_StatusCode open(void* application, void* context, Callback callback) = 0;
  virtual UA_StatusCode send(uintptr_t connection, std::string_view bytes) = 0;
  virtual UA_StatusCode close(uintptr_t connection) = 0;

 private:
  static ConnectionManager& self(UA_ConnectionManager* manager) noexcept {
    return *static_cast<ConnectionManager*>(manager);
  }
  UA_StatusCode lend(UA_ByteString& buffer, size_t size) noexcept;
  void take_back(UA_ByteString& buffer) noexcept;

  std::unique_ptr<UA_Byte[]> kept_;
  size_t kept_size_ = 0;
  bool is_lent_ = false;
};

}  // namespace backplane::opcua
