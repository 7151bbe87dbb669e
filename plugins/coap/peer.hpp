// SPDX-License-Identifier: Apache-2.0
// What the server remembers of one peer (a libcoap server session): requests already taken, and
// observations. Bounded, and gone with the session. Loop thread only.
#pragma once

#include "answer.hpp"
#include "proof.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <memory>
#include <vector>

namespace backplane::coap {

/// A token (RFC 7252, 5.3.1): 0 to 8 bytes.
class Token {
 public:
  Token() noexcept = default;
  explicit Token(coap_bin_const_t token) noexcept
      : size_(static_cast<uint8_t>(std::min(token.length, sizeof bytes_))) {
    std::memcpy(bytes_, token.s, size_);
  }
  const uint8_t* data() const noexcept { return bytes_; }
  size_t size() const noexcept { return size_; }
  friend bool operator==(const Token&, const Token&) = default;

 private:
  uint8_t bytes_[8] = {};
  uint8_t size_ = 0;
};

/// A request that was taken. libcoap hands on every copy of a datagram (RFC 7252, 4.5 leaves that
/// to the application); a copy gets the first one's answer.
struct Taken {
  Token token;
  int64_t reusable_ns = 0;                 // from then on its message id may be another request's
  coap_pdu_code_t code = COAP_EMPTY_CODE;  // of the answer; empty: it is still to come
  std::optional<uint32_t> block1;          // the answer's option
  std::shared_ptr<const Answer> answer;    // what else the answer has
};

class Peer {
 public:
  /// As many requests of one peer are told from their copies, or wait for their answer, at a time.
  static constexpr size_t kTaken = 64;

  /// EXCHANGE_LIFETIME and NON_LIFETIME (RFC 7252, 4.8.2).
  static constexpr std::chrono::nanoseconds kLifetime = std::chrono::seconds(247);
  static constexpr std::chrono::nanoseconds kNonLifetime = std::chrono::seconds(145);

  /// The request that this one is a copy of, or none. One that waits for its answer has its token
  /// for as long as that takes.
  Taken* find(coap_mid_t mid, const Token& token, int64_t now_ns) noexcept {
    for (size_t i = 0; i < kTaken; ++i) {
      Taken& taken = taken_[i];
      if (mids_[i] == static_cast<uint16_t>(mid) && used_[i] && taken.token == token &&
          (taken.code == COAP_EMPTY_CODE || now_ns < taken.reusable_ns)) {
        return &taken;
      }
    }
    return nullptr;
  }
  /// Takes the place of the oldest answered one; none when all of them wait for their answer.
  Taken* take(coap_mid_t mid, const Token& token, coap_pdu_type_t type, int64_t now_ns) noexcept {
    for (size_t tries = 0; tries < kTaken; ++tries) {
      const size_t i = std::exchange(next_, (next_ + 1) % kTaken);
      if (used_[i] && taken_[i].code == COAP_EMPTY_CODE) {
        continue;
      }
      mids_[i] = static_cast<uint16_t>(mid);
      used_[i] = true;
      taken_[i] = Taken();
      taken_[i].token = token;
      taken_[i].reusable_ns =
          now_ns + (type == COAP_MESSAGE_NON ? kNonLifetime : kLifetime).count();
      return &taken_[i];
    }
    return nullptr;
  }

  /// Who it is; nobody without DTLS.
  Proof proof;

  /// An observation as the library keeps it: one for each resource and set of options.
  struct Observation {
    const void* resource;
    Token token;
    std::string options;  // its other options
  };
  std::vector<Observation> observations;

 private:
  std::array<uint16_t, kTaken> mids_{};
  std::array<bool, kTaken> used_{};
  std::array<Taken, kTaken> taken_{};
  size_t next_ = 0;
};

}  // namespace backplane::coap
