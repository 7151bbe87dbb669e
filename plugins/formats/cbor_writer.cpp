// SPDX-License-Identifier: Apache-2.0
// to_cbor: definite lengths, shortest integers (RFC 8949, 4.1); floats keep the precision they had.
#include "cbor.hpp"
#include "cbor_tags.hpp"
#include <backplane/sdk/rfc3339.hpp>

#include <cbor.h>
#include <charconv>

namespace backplane::formats {
namespace {

class Writer {
 public:
  std::string take() && { return std::move(out_); }

  void value(ValueView value, unsigned depth) {
    if (depth == 0) {
      throw Error(BP_INVALID_ARGUMENT, "CBOR: nested deeper than ", kMaxDepth, " levels");
    }
    switch (value.tag) {
      case BP_T_NULL:
        return put(cbor_encode_null);
      case BP_T_BOOL:
        return put(cbor_encode_bool, value.as.u != 0);
      case BP_T_INT:
        return integer(value.as.i);
      case BP_T_UINT:
        return put(cbor_encode_uint, value.as.u);
      case BP_T_FLOAT:
        return real(value);
      case BP_T_TIME:
        return time(value);
      case BP_T_STRING:
        return text({value.as.s, value.len});
      case BP_T_BYTES:
        return value.aux == BP_BYTES_UUID && value.len == 16 ? bytes(kTagUuid, value)
                                                             : bytes(value);
      case BP_T_LIST:
      case BP_T_ARRAY:
        return list(value, depth);
      case BP_T_MAP:
        return map(value, depth);
      case BP_T_MATRIX:
        put(cbor_encode_tag, kTagMatrix);
        return pair(value, depth);
      case BP_T_TYPED:
        return typed(value, depth);
      case BP_T_ENCODED:
        return value.aux == BP_FORMAT_CBOR   ? bytes(kTagEncodedCbor, value)
               : value.aux == BP_FORMAT_JSON ? bytes(kTagEncodedJson, value)
                                             : bytes(value);
      default:
        throw Error(BP_INVALID_ARGUMENT, "CBOR: a ", value.type_name(),
                    " means nothing outside of its process");
    }
  }

 private:
  /// One of libcbor's encoders, which wants its place before it writes.
  template <class Encoder, class... Args>
  void put(Encoder encode, Args... args) {
    unsigned char head[16];
    out_.append(reinterpret_cast<const char*>(head), encode(args..., head, sizeof head));
  }
  void append(const void* data, size_t size) {
    if (size != 0) {
      out_.append(static_cast<const char*>(data), size);
    }
  }

  void integer(int64_t value) {
    if (value >= 0) {
      put(cbor_encode_uint, static_cast<uint64_t>(value));
    } else {
      put(cbor_encode_negint, ~static_cast<uint64_t>(value));  // -1 - n is sent as n
    }
  }
  void real(ValueView value) {
    const auto single = static_cast<float>(value.as.f);
    const bool exact = static_cast<double>(single) == value.as.f || std::isnan(value.as.f);
    if (value.aux == 32 && exact) {
      put(cbor_encode_single, single);
    } else {
      put(cbor_encode_double, value.as.f);
    }
  }
  /// Whole seconds as a number; finer ones as text, which is exact where a double is not.
  void time(ValueView value) {
    if (value.aux == BP_TIME_S) {
      put(cbor_encode_tag, kTagEpochTime);
      return integer(value.as.i);
    }
    const std::string written = to_rfc3339(value).value();
    put(cbor_encode_tag, kTagDateTime);
    text(written);
  }
  void text(std::string_view value) {
    put(cbor_encode_string_start, value.size());
    append(value.data(), value.size());
  }
  void bytes(ValueView value) {
    put(cbor_encode_bytestring_start, static_cast<size_t>(value.len));
    append(value.as.p, value.len);
  }
  void bytes(uint64_t tag, ValueView value) {
    put(cbor_encode_tag, tag);
    bytes(value);
  }
  void list(ValueView value, unsigned depth) {
    put(cbor_encode_array_start, value.size());
    for (const ValueView item : value.items()) {
      this->value(item, depth - 1);
    }
  }
  void map(ValueView value, unsigned depth) {
    detail::refuse_duplicate_keys({value.as.map, value.len});
    put(cbor_encode_map_start, value.size());
    for (const auto& [key, item] : value.entries()) {
      if (key.tag > BP_T_BYTES) {
        throw Error(BP_INVALID_ARGUMENT, "CBOR: a ", key.type_name(), " cannot be a key");
      }
      this->value(key, depth - 1);
      this->value(item, depth - 1);
    }
  }
  void pair(ValueView value, unsigned depth) {
    put(cbor_encode_array_start, size_t{2});
    this->value(value.at(0), depth - 1);
    this->value(value.at(1), depth - 1);
  }
  void typed(ValueView value, unsigned depth) {
    const std::string_view name = value.at(0).get<std::string_view>().value_or("");
    if (const auto tag = tag_number(name)) {
      put(cbor_encode_tag, *tag);
      return this->value(value.at(1), depth - 1);
    }
    put(cbor_encode_tag, kTagTypedObject);
    pair(value, depth);
  }
  /// "cbor:32" is tag 32, as it was read.
  static std::optional<uint64_t> tag_number(std::string_view name) {
    if (!name.starts_with(kTagTypePrefix)) {
      return std::nullopt;
    }
    name.remove_prefix(kTagTypePrefix.size());
    uint64_t tag = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), tag);
    return error == std::errc() && end == name.data() + name.size() ? std::optional(tag)
                                                                    : std::nullopt;
  }

  std::string out_;
};

}  // namespace

std::string to_cbor(ValueView value) {
  if (value.tag == BP_T_ENCODED && value.aux == BP_FORMAT_CBOR) {
    return value.len == 0 ? std::string() : std::string(value.as.s, value.len);
  }
  Writer writer;
  writer.value(value, kMaxDepth);
  return std::move(writer).take();
}

}  // namespace backplane::formats
