// SPDX-License-Identifier: Apache-2.0
// Design notes. Reading is done in two walks: the first measures and checks, the second copies into
// one block. Nothing points into the frame afterwards, whose memory is used again. The reader of
// Cap'n Proto bounds how often a frame's words may be walked (channel.hpp), so that pointers which
// overlap cannot make a small frame big.
#include "plugins/isolation/link/codec.hpp"

#include <algorithm>
#include <capnp/list.h>

namespace backplane::isolation {
namespace {

/// Which of the union belongs to a tag.
wire::Value::Which form_of(uint8_t tag) {
  switch (tag) {
    case BP_T_NULL:
      return wire::Value::NOTHING;
    case BP_T_BOOL:
    case BP_T_INT:
    case BP_T_UINT:
    case BP_T_FLOAT:
    case BP_T_TIME:
      return wire::Value::BITS;
    case BP_T_STRING:
    case BP_T_BYTES:
    case BP_T_ENCODED:
    case BP_T_ARRAY:
      return wire::Value::BYTES;
    case BP_T_LIST:
    case BP_T_MATRIX:
    case BP_T_TYPED:
      return wire::Value::LIST;
    case BP_T_MAP:
      return wire::Value::MAP;
    case BP_T_REF:
      return wire::Value::REFERENCE;
    case BP_T_FD:
      return wire::Value::DESCRIPTOR;
    default:
      throw Error(BP_UNIMPLEMENTED, "a value has the tag ", unsigned{tag},
                  ", which the link to an isolated plugin does not know");
  }
}

[[noreturn]] void too_deep() {
  throw Error(BP_INVALID_ARGUMENT, "a value is nested deeper than ", kMaxDepth, " levels");
}
[[noreturn]] void malformed(std::string_view what) {
  throw Error(BP_DATA_LOSS, "malformed frame: ", what);
}

size_t bytes_of(const bp_value& value) noexcept {
  return value.tag == BP_T_ARRAY ? size_t{value.len} * detail::element_size(value.aux)
                                 : size_t{value.len};
}
size_t items_of(const bp_value& value) noexcept { return value.tag == BP_T_LIST ? value.len : 2; }

constexpr size_t kWordBytes = sizeof(capnp::word);
/// What a frame has besides: its root, and the rest of it.
constexpr size_t kMostMessageWords = kMostFrameBytes / kWordBytes - 1024;
template <class Struct>
constexpr size_t kWordsOf =
    size_t{Struct::_capnpPrivate::dataWordSize} + Struct::_capnpPrivate::pointerCount;
constexpr size_t kValueWords = kWordsOf<wire::Value>;
constexpr size_t kMessageWords = kWordsOf<wire::Message>;
constexpr size_t kListWords = 1;  // in front of its items

size_t words_behind(std::span<const bp_pair> pairs, unsigned depth);

/// Words that a value takes besides its own.
size_t words_behind(const bp_value& value, unsigned depth) {
  if (depth == 0) {
    too_deep();
  }
  switch (form_of(value.tag)) {
    case wire::Value::BYTES:
      return (bytes_of(value) + kWordBytes - 1) / kWordBytes;
    case wire::Value::LIST: {
      size_t words = kListWords;
      for (size_t i = 0; i < items_of(value); ++i) {
        words += kValueWords + words_behind(value.as.list[i], depth - 1);
      }
      return words;
    }
    case wire::Value::MAP:
      return words_behind({value.as.map, value.len}, depth - 1);
    default:
      return 0;
  }
}

size_t words_behind(std::span<const bp_pair> pairs, unsigned depth) {
  size_t words = kListWords;
  for (const bp_pair& pair : pairs) {
    words += kWordsOf<wire::Pair> + 2 * kValueWords + words_behind(pair.key, depth) +
             words_behind(pair.val, depth);
  }
  return words;
}

/// What may be packed: nothing that points anywhere.
bool packs(uint16_t type) noexcept {
  const unsigned width = type & 0xFFU;
  const bool whole = width == 8 || width == 16 || width == 32 || width == 64;
  switch (type >> 8U) {
    case BP_T_BOOL:
    case BP_T_TIME:
      return true;
    case BP_T_INT:
    case BP_T_UINT:
      static_assert(BP_INT_ENUM == BP_UINT_STATUS);
      return whole || width == BP_INT_ENUM;
    case BP_T_FLOAT:
      return width == 32 || width == 64;
    default:
      return false;
  }
}

}  // namespace

// ---- out ----

Outgoing::~Outgoing() {
  for (const uint64_t number : shown_) {
    references_.unshow(number);
  }
}

Shown Outgoing::show(bp_ref ref) {
  shown_.reserve(shown_.size() + 1);
  const Shown shown = references_.show(ref);
  shown_.push_back(shown.number);
  return shown;
}

uint32_t Outgoing::add(int64_t descriptor) {
  if (descriptors_.size() == kMostDescriptors) {
    throw Error(BP_RESOURCE_EXHAUSTED, "a message to or from an isolated plugin has more than ",
                kMostDescriptors, " descriptors");
  }
  descriptors_.push_back(static_cast<int>(std::clamp<int64_t>(descriptor, -1, INT_MAX)));
  return static_cast<uint32_t>(descriptors_.size() - 1);
}

void write(wire::Value::Builder out, const bp_value& value, Outgoing& with, unsigned depth) {
  if (depth == 0) {
    too_deep();
  }
  out.setTag(value.tag);
  out.setFlags(value.flags);
  out.setAux(value.aux);
  switch (form_of(value.tag)) {
    case wire::Value::NOTHING:
      break;
    case wire::Value::BITS:
      out.setBits(value.as.u);
      break;
    case wire::Value::BYTES:
      out.setBytes({static_cast<const kj::byte*>(value.as.p), bytes_of(value)});
      break;
    case wire::Value::LIST: {
      auto list = out.initList(static_cast<unsigned>(items_of(value)));
      for (unsigned i = 0; i < list.size(); ++i) {
        write(list[i], value.as.list[i], with, depth - 1);
      }
      break;
    }
    case wire::Value::MAP:
      write(out.initMap(value.len), {value.as.map, value.len}, with, depth - 1);
      break;
    case wire::Value::REFERENCE: {
      const Shown shown = with.show(value.as.u);
      auto reference = out.initReference();
      reference.setNumber(shown.number);
      reference.setVerbs(shown.verbs);
      break;
    }
    case wire::Value::DESCRIPTOR:
      out.setDescriptor(with.add(value.as.i));
      break;
  }
}

void write(capnp::List<wire::Pair>::Builder out, std::span<const bp_pair> pairs, Outgoing& with,
           unsigned depth) {
  for (unsigned i = 0; i < out.size(); ++i) {
    write(out[i].initKey(), pairs[i].key, with, depth);
    write(out[i].initValue(), pairs[i].val, with, depth);
  }
}

void write(wire::Message::Builder out, const bp_message& message, Outgoing& with) {
  write(out.initBody(), message.body, with);
  if (message.n_headers != 0) {
    write(out.initHeaders(message.n_headers), {message.headers, message.n_headers}, with);
  }
  out.setFlags(message.flags);
  out.setTime(message.time_ns);
  out.setSeq(message.seq);
}

void write_failure(wire::Complete::Builder out, bp_status status, const bp_error* error) {
  out.setStatus(status);
  if (status >= 0 || error == nullptr) {
    return;
  }
  out.setNative(error->native);
  out.setErrorFlags(error->flags);
  out.setDomain(to_data({error->domain, strnlen(error->domain, sizeof error->domain)}));
  out.setText(to_data({error->message, error->message_len}));
}

size_t words_for(const bp_message& message) {
  const size_t words = kMessageWords + kValueWords + words_behind(message.body, kMaxDepth) +
                       words_behind({message.headers, message.n_headers}, kMaxDepth);
  if (words > kMostMessageWords) {
    throw Error(BP_RESOURCE_EXHAUSTED, "a message takes ", words * kWordBytes,
                " bytes, which is too big for the link to an isolated plugin: it takes ",
                kMostMessageWords * kWordBytes);
  }
  return words;
}

// ---- in ----

Incoming::~Incoming() {
  for (const bp_ref ref : taken_) {
    references_.close(ref);
  }
}

bp_ref Incoming::take(Shown shown) {
  taken_.reserve(taken_.size() + 1);
  return taken_.emplace_back(references_.take(shown));
}

UniqueFd Incoming::take_descriptor(uint32_t place) {
  if (place >= descriptors_.size() || !descriptors_[place]) {
    malformed("a descriptor that did not come with it");
  }
  return std::move(descriptors_[place]);
}

static bool is_matrix(capnp::List<wire::Value>::Reader parts) {
  const uint8_t elements = parts[1].getTag();
  return parts[0].getTag() == BP_T_ARRAY && parts[0].getAux() == BP_TYPE(BP_T_UINT, 32) &&
         (elements == BP_T_ARRAY || elements == BP_T_LIST);
}

detail::TreeSize measure(wire::Value::Reader in, unsigned depth) {
  if (depth == 0) {
    malformed("a value is nested too deep");
  }
  const uint8_t tag = in.getTag();
  const wire::Value::Which form = form_of(tag);
  if (in.which() != form) {
    malformed("a value is not of the form that its tag has");
  }
  detail::TreeSize size;
  switch (form) {
    case wire::Value::BYTES: {
      const size_t bytes = in.getBytes().size();
      if (tag == BP_T_ARRAY && !packs(in.getAux())) {
        malformed("a packed array of what cannot be packed");
      }
      if (tag == BP_T_ARRAY && bytes % detail::element_size(in.getAux()) != 0) {
        malformed("a packed array ends inside an element");
      }
      return {detail::round_up(bytes)};
    }
    case wire::Value::LIST: {
      const auto list = in.getList();
      if (tag != BP_T_LIST && list.size() != 2) {
        malformed("a matrix or typed value has not two parts");
      }
      if (tag == BP_T_TYPED && list[0].getTag() != BP_T_STRING) {
        malformed("a typed value whose type is no string");
      }
      if (tag == BP_T_MATRIX && !is_matrix(list)) {
        malformed("a matrix that is not dimensions and elements");
      }
      size.bytes = list.size() * sizeof(bp_value);
      for (const auto item : list) {
        size += measure(item, depth - 1);
      }
      return size;
    }
    case wire::Value::MAP: {
      const auto map = in.getMap();
      size.bytes = map.size() * sizeof(bp_pair);
      for (const auto pair : map) {
        size += measure(pair.getKey(), depth - 1);
        size += measure(pair.getValue(), depth - 1);
      }
      return size;
    }
    case wire::Value::DESCRIPTOR:
      return {0, 1};
    default:
      return size;
  }
}

detail::TreeSize measure(wire::Message::Reader in) {
  detail::TreeSize size = measure(in.getBody());
  const auto headers = in.getHeaders();
  size.bytes += headers.size() * sizeof(bp_pair);
  for (const auto header : headers) {
    size += measure(header.getKey());
    size += measure(header.getValue());
  }
  return size;
}

std::byte* TreeReader::take(size_t size) noexcept {
  return std::exchange(at_, at_ + detail::round_up(size));
}

bp_value TreeReader::value(wire::Value::Reader in) {
  bp_value out{};
  out.tag = in.getTag();
  out.flags = in.getFlags();
  out.aux = in.getAux();
  switch (in.which()) {
    case wire::Value::NOTHING:
      break;
    case wire::Value::BITS:
      out.as.u = in.getBits();
      break;
    case wire::Value::BYTES: {
      const auto bytes = in.getBytes();
      out.len = static_cast<uint32_t>(
          out.tag == BP_T_ARRAY ? bytes.size() / detail::element_size(out.aux) : bytes.size());
      std::byte* const to = take(bytes.size());
      if (bytes.size() != 0) {
        std::memcpy(to, bytes.begin(), bytes.size());
      }
      out.as.p = to;
      break;
    }
    case wire::Value::LIST: {
      const auto list = in.getList();
      auto* const to = reinterpret_cast<bp_value*>(take(list.size() * sizeof(bp_value)));
      for (unsigned i = 0; i < list.size(); ++i) {
        to[i] = value(list[i]);
      }
      out.len = list.size();
      out.as.list = to;
      break;
    }
    case wire::Value::MAP: {
      const auto map = pairs(in.getMap());
      out.len = static_cast<uint32_t>(map.size());
      out.as.map = map.data();
      break;
    }
    case wire::Value::REFERENCE:
      out.as.u = with_.take({in.getReference().getNumber(), in.getReference().getVerbs()});
      break;
    case wire::Value::DESCRIPTOR:
      descriptors_.front() = with_.take_descriptor(in.getDescriptor()).release();
      out.as.i = descriptors_.front();
      descriptors_ = descriptors_.subspan(1);
      break;
  }
  return out;
}

std::span<const bp_pair> TreeReader::pairs(capnp::List<wire::Pair>::Reader in) {
  auto* const to = reinterpret_cast<bp_pair*>(take(in.size() * sizeof(bp_pair)));
  for (unsigned i = 0; i < in.size(); ++i) {
    to[i].key = value(in[i].getKey());
    to[i].val = value(in[i].getValue());
  }
  return {to, in.size()};
}

bp_message TreeReader::message(wire::Message::Reader in) {
  bp_message out{};
  out.body = value(in.getBody());
  const auto headers = pairs(in.getHeaders());
  out.headers = headers.empty() ? nullptr : headers.data();
  out.n_headers = static_cast<uint32_t>(headers.size());
  out.flags = in.getFlags();
  out.time_ns = in.getTime();
  out.seq = in.getSeq();
  return out;
}

ReadMessage read(wire::Message::Reader in, Incoming& with) {
  ReadMessage out;
  const detail::TreeSize size = measure(in);
  if (size.bytes != 0 || size.descriptors != 0) {
    out.memory = Buffer::make(size.bytes, size.descriptors);
  }
  TreeReader reader(out.memory.data(), out.memory ? out.memory.descriptors() : std::span<int>(),
                    with);
  out.message = reader.message(in);
  return out;
}

bp_status read_failure(wire::Complete::Reader in, bp_error* error) {
  const bp_status status = in.getStatus();
  if (status > 0) {
    malformed("an operation completes with a number that is no status");
  }
  if (status == BP_OK || error == nullptr) {
    return status;
  }
  std::string_view domain = to_view(in.getDomain());
  domain = domain.substr(0, sizeof error->domain - 1);
  bp_error filled{};
  filled.code = status;
  filled.native = in.getNative();
  filled.flags = in.getErrorFlags() & (BP_ERROR_RETRY | BP_ERROR_TRUNCATED);
  std::ranges::copy(domain, filled.domain);
  const std::string_view text = to_view(in.getText()).substr(0, sizeof filled.message);
  std::ranges::copy(text, filled.message);
  filled.message_len = static_cast<uint32_t>(text.size());
  *error = filled;
  return status;
}

}  // namespace backplane::isolation
