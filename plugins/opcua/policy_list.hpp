// SPDX-License-Identifier: Apache-2.0
// The policies of a client's or a server's configuration, which owns and clears them.
#pragma once

#include "error_map.hpp"
#include "identity.hpp"
#include "policies.hpp"

#include <open62541/plugin/securitypolicy_default.h>

namespace backplane::opcua {

inline UA_ByteString bytes(const std::vector<unsigned char>& of) noexcept {
  return {of.size(), const_cast<UA_Byte*>(of.data())};  // the library does not write to it
}

class PolicyList {
 public:
  /// Of a configuration that has none yet. `logger` outlives it.
  PolicyList(UA_SecurityPolicy*& array, size_t& size, size_t most, const UA_Logger* logger)
      : array_(array), size_(size), logger_(logger) {
    array_ = static_cast<UA_SecurityPolicy*>(UA_calloc(most, sizeof(UA_SecurityPolicy)));
    if (array_ == nullptr) {
      throw std::bad_alloc();
    }
  }
  void add_none() { take(UA_SecurityPolicy_None(next(), UA_BYTESTRING_NULL, logger_), "None"); }
  void add(const Policy& policy, const Identity& identity) {
    take(policy.make(next(), bytes(identity.certificate), bytes(identity.key), logger_),
         policy.name);
  }

 private:
  UA_SecurityPolicy* next() noexcept { return array_ + size_; }
  void take(UA_StatusCode status, std::string_view name) {
    if (status != UA_STATUSCODE_GOOD) {
      throw Error(bad_status(status, concat("our certificate and the policy ", name)));
    }
    ++size_;
  }

  UA_SecurityPolicy*& array_;
  size_t& size_;
  const UA_Logger* logger_;
};

}  // namespace backplane::opcua
