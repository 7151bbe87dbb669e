// SPDX-License-Identifier: Apache-2.0
// Owners of what libmosquitto and OpenSSL hand out. Nobody else frees or destroys.
#pragma once

#include <backplane/sdk/unique_handle.hpp>

#include <mosquitto.h>
#include <openssl/ssl.h>

#include <cstdlib>

namespace backplane::mqtt {

namespace detail {
inline void free_memory(void* memory) noexcept { std::free(memory); }
}  // namespace detail

using MosquittoHandle = UniqueHandle<mosquitto, mosquitto_destroy>;
using SslContext = UniqueHandle<SSL_CTX, SSL_CTX_free>;
/// What mosquitto_property_read_* allocates.
template <class T>
using Allocated = UniqueHandle<T, detail::free_memory>;

/// A user of the library as a whole. Instances of several kernels of one process may come and go at
/// once, and the library's own count of users is not guarded.
class LibraryUse {
 public:
  LibraryUse();
  ~LibraryUse();
  LibraryUse(const LibraryUse&) = delete;
  LibraryUse& operator=(const LibraryUse&) = delete;
};

}  // namespace backplane::mqtt
