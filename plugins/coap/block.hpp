// SPDX-License-Identifier: Apache-2.0
// Block-wise transfer (RFC 7959) in bounded memory: bodies put together from blocks, and cut into
// them. The encoding of options is libcoap's.
#pragma once

#include "content_format.hpp"

#include <coap3/coap.h>

#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

namespace backplane::coap {

/// The bytes in a block with this size exponent: 16 to 1024.
constexpr size_t block_size(unsigned szx) noexcept { return size_t{1} << (szx + 4); }
/// The exponent of the largest block that is no larger than `size`, at least 16 bytes.
unsigned szx_of(size_t size) noexcept;

/// The payload of one message.
Bytes payload_of(const coap_pdu_t* pdu) noexcept;
std::optional<coap_block_t> block_option(const coap_pdu_t* pdu, coap_option_num_t number) noexcept;
/// An option's bytes, borrowed; nothing when it is absent.
std::optional<Bytes> option_bytes(const coap_pdu_t* pdu, coap_option_num_t number) noexcept;
std::optional<uint32_t> option_uint(const coap_pdu_t* pdu, coap_option_num_t number) noexcept;
/// False: the message has no room for it.
[[nodiscard]] bool add_option(coap_pdu_t* pdu, coap_option_num_t number, Bytes value) noexcept;
[[nodiscard]] bool add_option(coap_pdu_t* pdu, coap_option_num_t number,
                              std::string_view value) noexcept;
[[nodiscard]] bool add_uint_option(coap_pdu_t* pdu, coap_option_num_t number,
                                   uint32_t value) noexcept;

/// The value of a Block1 or Block2 option.
constexpr uint32_t block_value(uint32_t number, bool more, unsigned szx) noexcept {
  return number << 4 | (more ? 8u : 0u) | szx;
}

/// A body that arrives in blocks, in order. A block that was taken already is taken again, and
/// block 0 starts over.
class Assembly {
 public:
  enum class Step { kMore, kComplete, kTooLarge, kOutOfOrder, kBadSize };

  Step add(const coap_block_t& block, Bytes data, size_t max_body);
  Bytes body() const noexcept {
    return {reinterpret_cast<const uint8_t*>(body_.data()), body_.size()};
  }
  std::string take() noexcept { return std::exchange(body_, {}); }
  /// Of the block that must follow, in blocks of this size.
  uint32_t next_number(unsigned szx) const noexcept {
    return static_cast<uint32_t>(body_.size() >> (szx + 4));
  }

 private:
  std::string body_;
};

/// Writes the payload: the whole body if it fits into one block and nobody asked for blocks, else
/// block `number` with its option (BLOCK1 in requests, BLOCK2 in answers) and the total size.
/// False: there is no such block, or no room.
[[nodiscard]] bool add_body(coap_pdu_t* pdu, coap_option_num_t option, Bytes body, uint32_t number,
                            unsigned szx, bool with_option) noexcept;

/// What was used last, at most so much of it: when it is full, the one not used for longest goes.
template <class T>
class Recent {
 public:
  explicit Recent(size_t most) : most_(most) {}

  /// The entry, or none.
  T* find(const std::string& key) {
    const auto found = index_.find(key);
    if (found == index_.end()) {
      return nullptr;
    }
    items_.splice(items_.begin(), items_, found->second);
    return &found->second->second;
  }
  /// The entry, made when it is new. `evicted` counts what had to go.
  T& at(const std::string& key, size_t* evicted) {
    if (T* known = find(key)) {
      return *known;
    }
    while (items_.size() >= most_) {
      index_.erase(items_.back().first);
      items_.pop_back();
      ++*evicted;
    }
    items_.emplace_front(key, T());
    index_.emplace(key, items_.begin());
    return items_.front().second;
  }
  void erase(const std::string& key) {
    if (const auto found = index_.find(key); found != index_.end()) {
      items_.erase(found->second);
      index_.erase(found);
    }
  }
  template <class Condition>
  void erase_if(Condition condition) {
    for (auto item = items_.begin(); item != items_.end();) {
      if (condition(item->first)) {
        index_.erase(item->first);
        item = items_.erase(item);
      } else {
        ++item;
      }
    }
  }
  size_t size() const noexcept { return items_.size(); }

 private:
  using Items = std::list<std::pair<std::string, T>>;
  size_t most_;
  Items items_;
  std::unordered_map<std::string, typename Items::iterator> index_;
};

}  // namespace backplane::coap
