// SPDX-License-Identifier: Apache-2.0
#include "block.hpp"

#include <algorithm>

namespace backplane::coap {
namespace {

/// As coap_check_option, whose filter costs more than a look at the few options of a message.
const coap_opt_t* find_option(const coap_pdu_t* pdu, coap_option_num_t number) noexcept {
  coap_opt_iterator_t iterator;
  coap_option_iterator_init(pdu, &iterator, COAP_OPT_ALL);
  while (const coap_opt_t* option = coap_option_next(&iterator)) {
    if (iterator.number >= number) {
      return iterator.number == number ? option : nullptr;
    }
  }
  return nullptr;
}

}  // namespace

unsigned szx_of(size_t size) noexcept {
  unsigned szx = 0;
  while (szx < 6 && block_size(szx + 1) <= size) {
    ++szx;
  }
  return szx;
}

Bytes payload_of(const coap_pdu_t* pdu) noexcept {
  size_t size = 0;
  const uint8_t* data = nullptr;
  return coap_get_data(pdu, &size, &data) != 0 ? Bytes(data, size) : Bytes();
}

std::optional<coap_block_t> block_option(const coap_pdu_t* pdu, coap_option_num_t number) noexcept {
  coap_block_t block{};
  if (find_option(pdu, number) == nullptr || coap_get_block(pdu, number, &block) == 0) {
    return std::nullopt;
  }
  return block;
}

std::optional<Bytes> option_bytes(const coap_pdu_t* pdu, coap_option_num_t number) noexcept {
  const coap_opt_t* const option = find_option(pdu, number);
  if (option == nullptr) {
    return std::nullopt;
  }
  return Bytes(coap_opt_value(option), coap_opt_length(option));
}

std::optional<uint32_t> option_uint(const coap_pdu_t* pdu, coap_option_num_t number) noexcept {
  const auto bytes = option_bytes(pdu, number);
  if (!bytes || bytes->size() > 4) {
    return std::nullopt;
  }
  return coap_decode_var_bytes(bytes->data(), bytes->size());
}

bool add_option(coap_pdu_t* pdu, coap_option_num_t number, Bytes value) noexcept {
  return coap_add_option(pdu, number, value.size(), value.data()) != 0;
}

bool add_option(coap_pdu_t* pdu, coap_option_num_t number, std::string_view value) noexcept {
  return add_option(pdu, number,
                    Bytes(reinterpret_cast<const uint8_t*>(value.data()), value.size()));
}

bool add_uint_option(coap_pdu_t* pdu, coap_option_num_t number, uint32_t value) noexcept {
  uint8_t buffer[4];
  return coap_add_option(pdu, number, coap_encode_var_safe(buffer, sizeof buffer, value), buffer) !=
         0;
}

Assembly::Step Assembly::add(const coap_block_t& block, Bytes data, size_t max_body) {
  const size_t unit = block_size(block.szx);
  if (block.szx > 6 || data.size() > unit || (block.m != 0 && data.size() != unit)) {
    return Step::kBadSize;
  }
  const size_t offset = size_t{block.num} * unit;
  if (block.num == 0) {
    body_.clear();
  }
  const bool repeated = !body_.empty() && (block.m != 0 ? offset + unit <= body_.size()
                                                        : offset + data.size() == body_.size());
  if (!repeated) {
    if (offset != body_.size()) {
      return Step::kOutOfOrder;
    }
    if (offset + data.size() > max_body) {
      return Step::kTooLarge;
    }
    body_.append(reinterpret_cast<const char*>(data.data()), data.size());
  }
  return block.m != 0 ? Step::kMore : Step::kComplete;
}

bool add_body(coap_pdu_t* pdu, coap_option_num_t option, Bytes body, uint32_t number, unsigned szx,
              bool with_option) noexcept {
  const size_t unit = block_size(szx);
  if (body.size() <= unit && number == 0 && !with_option) {
    return body.empty() || coap_add_data(pdu, body.size(), body.data()) != 0;
  }
  const size_t offset = size_t{number} * unit;
  if (number != 0 && offset >= body.size()) {
    return false;
  }
  const Bytes part = body.subspan(offset, std::min(unit, body.size() - offset));
  const bool more = offset + part.size() < body.size();
  if (!add_uint_option(pdu, option, block_value(number, more, szx))) {
    return false;
  }
  const coap_option_num_t size_option =
      option == COAP_OPTION_BLOCK1 ? COAP_OPTION_SIZE1 : COAP_OPTION_SIZE2;
  if (number == 0 && !add_uint_option(pdu, size_option, static_cast<uint32_t>(body.size()))) {
    return false;
  }
  return part.empty() || coap_add_data(pdu, part.size(), part.data()) != 0;
}

}  // namespace backplane::coap
