// SPDX-License-Identifier: Apache-2.0
#include "connection_manager.hpp"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#endif
#endif
#ifndef ASAN_POISON_MEMORY_REGION
#define ASAN_POISON_MEMORY_REGION(start, size) (static_cast<void>(start))
#define ASAN_UNPOISON_MEMORY_REGION(start, size) (static_cast<void>(start))
#endif

#include <sys/socket.h>

namespace backplane::opcua {
namespace {

constexpr size_t kReceive = 128 << 10;

/// Nothing unwinds through C.
template <class Body>
UA_StatusCode barrier(Body body) noexcept {
  try {
    return body();
  } catch (...) {
    return UA_STATUSCODE_BADOUTOFMEMORY;
  }
}

}  // namespace

ConnectionManager::ConnectionManager(EventLoop& loop)
    : UA_ConnectionManager{}, loop_(loop), received_(new UA_Byte[kReceive]) {
  eventSource.eventSourceType = UA_EVENTSOURCETYPE_CONNECTIONMANAGER;
  eventSource.start = [](UA_EventSource* source) -> UA_StatusCode {
    source->state = UA_EVENTSOURCESTATE_STARTED;
    return UA_STATUSCODE_GOOD;
  };
  eventSource.stop = [](UA_EventSource* source) { source->state = UA_EVENTSOURCESTATE_STOPPED; };
  eventSource.free = [](UA_EventSource*) -> UA_StatusCode { return UA_STATUSCODE_GOOD; };
  protocol = borrowed("tcp");
  openConnection = [](UA_ConnectionManager* manager, const UA_KeyValueMap*, void* application,
                      void* context, Callback callback) {
    return barrier([&] { return self(manager).open(application, context, callback); });
  };
  sendWithConnection = [](UA_ConnectionManager* manager, uintptr_t id, const UA_KeyValueMap*,
                          UA_ByteString* buffer) {
    const UA_StatusCode status = barrier([&] { return self(manager).send(id, view(*buffer)); });
    self(manager).take_back(*buffer);
    return status;
  };
  closeConnection = [](UA_ConnectionManager* manager, uintptr_t id) {
    return barrier([&] { return self(manager).close(id); });
  };
  allocNetworkBuffer = [](UA_ConnectionManager* manager, uintptr_t, UA_ByteString* buffer,
                          size_t size) { return self(manager).lend(*buffer, size); };
  freeNetworkBuffer = [](UA_ConnectionManager* manager, uintptr_t, UA_ByteString* buffer) {
    self(manager).take_back(*buffer);
  };
  loop_.native()->registerEventSource(loop_.native(), &eventSource);
}

ConnectionManager::~ConnectionManager() {
  loop_.native()->deregisterEventSource(loop_.native(), &eventSource);
  ASAN_UNPOISON_MEMORY_REGION(kept_.get(), kept_size_);
  ASAN_UNPOISON_MEMORY_REGION(received_.get(), kReceive);
}

ssize_t ConnectionManager::receive(int socket, UA_ByteString& bytes) noexcept {
  ASAN_UNPOISON_MEMORY_REGION(received_.get(), kReceive);
  const ssize_t n = recv(socket, received_.get(), kReceive, 0);
  bytes = {n > 0 ? static_cast<size_t>(n) : 0, received_.get()};
  ASAN_POISON_MEMORY_REGION(bytes.data + bytes.length, kReceive - bytes.length);
  return n;
}

void ConnectionManager::forget_received() noexcept {
  ASAN_POISON_MEMORY_REGION(received_.get(), kReceive);
}

UA_StatusCode ConnectionManager::lend(UA_ByteString& buffer, size_t size) noexcept {
  if (is_lent_) {
    return UA_ByteString_allocBuffer(&buffer, size);
  }
  return barrier([&]() -> UA_StatusCode {
    if (kept_size_ < size) {
      ASAN_UNPOISON_MEMORY_REGION(kept_.get(), kept_size_);
      kept_.reset(new UA_Byte[size]);
      kept_size_ = size;
      ASAN_POISON_MEMORY_REGION(kept_.get(), size);
    }
    ASAN_UNPOISON_MEMORY_REGION(kept_.get(), size);
    is_lent_ = true;
    buffer = {size, kept_.get()};
    return UA_STATUSCODE_GOOD;
  });
}

void ConnectionManager::take_back(UA_ByteString& buffer) noexcept {
  if (is_lent_ && buffer.data == kept_.get()) {
    is_lent_ = false;
    ASAN_POISON_MEMORY_REGION(kept_.get(), kept_size_);
    buffer = UA_BYTESTRING_NULL;
  } else {
    UA_ByteString_clear(&buffer);
  }
}

}  // namespace backplane::opcua
