// SPDX-License-Identifier: Apache-2.0
// Owners of what open62541 allocates, and its strings as ours.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <new>
#include <open62541/types.h>
#include <open62541/types_generated.h>
#include <string>
#include <string_view>
#include <utility>

namespace backplane::opcua {

/// A value of a UA type with its members; UA_TYPES[Type] describes it.
template <class T, int Type>
class Native {
 public:
  static const UA_DataType& type() noexcept { return UA_TYPES[Type]; }

  Native() noexcept { UA_init(&value_, &type()); }
  explicit Native(T value) noexcept : value_(value) {}
  Native(Native&& other) noexcept : value_(other.release()) {}
  Native& operator=(Native&& other) noexcept {
    std::swap(value_, other.value_);
    return *this;
  }
  ~Native() { UA_clear(&value_, &type()); }

  static Native copy_of(const T& value) {
    Native out;
    if (UA_copy(&value, &out.value_, &type()) != UA_STATUSCODE_GOOD) {
      throw std::bad_alloc();
    }
    return out;
  }
  T* get() noexcept { return &value_; }
  const T* get() const noexcept { return &value_; }
  T* operator->() noexcept { return &value_; }
  const T* operator->() const noexcept { return &value_; }
  T& operator*() noexcept { return value_; }
  const T& operator*() const noexcept { return value_; }
  /// Gives the members away.
  [[nodiscard]] T release() noexcept {
    T out = value_;
    UA_init(&value_, &type());
    return out;
  }

 private:
  T value_;
};

using NodeId = Native<UA_NodeId, UA_TYPES_NODEID>;
using Variant = Native<UA_Variant, UA_TYPES_VARIANT>;
using DataValue = Native<UA_DataValue, UA_TYPES_DATAVALUE>;
using NativeString = Native<UA_String, UA_TYPES_STRING>;

inline std::string_view view(const UA_String& text) noexcept {
  return text.length == 0 ? std::string_view()
                          : std::string_view(reinterpret_cast<const char*>(text.data), text.length);
}
/// Borrowed; the library does not write to what it is given to read.
inline UA_String borrowed(std::string_view text) noexcept {
  return {text.size(), reinterpret_cast<UA_Byte*>(const_cast<char*>(text.data()))};
}
/// A copy that the library frees; empty, not null, without characters.
inline UA_String allocated(std::string_view text) {
  UA_String out;
  UA_String_init(&out);
  if (text.empty()) {
    out.data = static_cast<UA_Byte*>(UA_EMPTY_ARRAY_SENTINEL);
    return out;
  }
  const UA_String from = borrowed(text);
  if (UA_String_copy(&from, &out) != UA_STATUSCODE_GOOD) {
    throw std::bad_alloc();
  }
  return out;
}
/// Of a member of what the library owns.
inline void replace(UA_String& text, std::string_view with) {
  UA_String_clear(&text);
  text = allocated(with);
}
/// A node of the standard.
inline UA_NodeId ns0(UA_UInt32 id) noexcept { return UA_NODEID_NUMERIC(0, id); }
/// What a peer has sent for an enumeration may be any number, which no enumeration holds.
template <class Enumeration>
uint32_t number_of(const Enumeration& from) noexcept {
  static_assert(sizeof from == sizeof(uint32_t));
  uint32_t out = 0;
  std::memcpy(&out, &from, sizeof out);
  return out;
}
/// "ns=1;s=Line1.Temperature".
inline std::string to_text(const UA_NodeId& id) {
  NativeString out;
  return UA_NodeId_print(&id, out.get()) == UA_STATUSCODE_GOOD ? std::string(view(*out))
                                                               : std::string();
}
inline std::string to_text(const UA_ExpandedNodeId& id) {
  NativeString out;
  return UA_ExpandedNodeId_print(&id, out.get()) == UA_STATUSCODE_GOOD ? std::string(view(*out))
                                                                       : std::string();
}

/// Nanoseconds, a millisecond at least. A peer may have chosen it: any number, or none at all.
inline int64_t interval_of(UA_Double milliseconds) noexcept {
  constexpr UA_Double kYear = 365.0 * 24 * 3600 * 1000;
  return milliseconds >= 1 ? static_cast<int64_t>(std::min(milliseconds, kYear) * 1e6) : 1'000'000;
}

}  // namespace backplane::opcua
