// SPDX-License-Identifier: Apache-2.0
// from_cbor.
//
// Design notes. libcbor's streaming decoder gives one head or one string chunk a call; its
// callbacks only note what came, so that no exception passes through C. The containers that are
// open lie on a stack here, never on the thread's. Nothing is reserved for a count that the input
// merely claims.
#include "cbor.hpp"
#include "cbor_tags.hpp"
#include <backplane/sdk/rfc3339.hpp>

#include <boost/locale/utf.hpp>

#include <bit>
#include <cbor.h>

namespace backplane::formats {
namespace {

struct Token {
  enum class Kind : uint8_t {
    kUnsigned,
    kNegative,
    kBytes,
    kText,
    kBytesStart,
    kTextStart,
    kArray,
    kMap,
    kTag,
    kFloat32,
    kFloat64,
    kNull,
    kBool,
    kBreak
  };
  Kind kind;
  uint64_t number;  // kNegative: n of -1 - n; kArray, kMap: items or kIndefinite
  double real;
  std::string_view bytes;
};
constexpr uint64_t kIndefinite = UINT64_MAX;

template <Token::Kind Kind, class Number>
void note_number(void* token, Number number) noexcept {
  *static_cast<Token*>(token) = {Kind, static_cast<uint64_t>(number), 0, {}};
}
/// A claim of UINT64_MAX items is too large as well with one less, which is not kIndefinite.
template <Token::Kind Kind>
void note_count(void* token, size_t count) noexcept {
  *static_cast<Token*>(token) = {Kind, std::min<uint64_t>(count, kIndefinite - 1), 0, {}};
}
template <Token::Kind Kind, class Real>
void note_real(void* token, Real real) noexcept {
  *static_cast<Token*>(token) = {Kind, 0, static_cast<double>(real), {}};
}
template <Token::Kind Kind>
void note_bytes(void* token, cbor_data data, size_t size) noexcept {
  *static_cast<Token*>(token) = {Kind, 0, 0, {reinterpret_cast<const char*>(data), size}};
}
template <Token::Kind Kind, uint64_t Number = 0>
void note(void* token) noexcept {
  *static_cast<Token*>(token) = {Kind, Number, 0, {}};
}

cbor_callbacks make_callbacks() noexcept {
  using Kind = Token::Kind;
  cbor_callbacks out{};
  out.uint8 = note_number<Kind::kUnsigned, uint8_t>;
  out.uint16 = note_number<Kind::kUnsigned, uint16_t>;
  out.uint32 = note_number<Kind::kUnsigned, uint32_t>;
  out.uint64 = note_number<Kind::kUnsigned, uint64_t>;
  out.negint8 = note_number<Kind::kNegative, uint8_t>;
  out.negint16 = note_number<Kind::kNegative, uint16_t>;
  out.negint32 = note_number<Kind::kNegative, uint32_t>;
  out.negint64 = note_number<Kind::kNegative, uint64_t>;
  out.byte_string = note_bytes<Kind::kBytes>;
  out.byte_string_start = note<Kind::kBytesStart>;
  out.string = note_bytes<Kind::kText>;
  out.string_start = note<Kind::kTextStart>;
  out.array_start = note_count<Kind::kArray>;
  out.indef_array_start = note<Kind::kArray, kIndefinite>;
  out.map_start = note_count<Kind::kMap>;
  out.indef_map_start = note<Kind::kMap, kIndefinite>;
  out.tag = note_number<Kind::kTag, uint64_t>;
  out.float2 = note_real<Kind::kFloat32, float>;
  out.float4 = note_real<Kind::kFloat32, float>;
  out.float8 = note_real<Kind::kFloat64, double>;
  out.undefined = note<Kind::kNull>;
  out.null = note<Kind::kNull>;
  out.boolean = note_number<Kind::kBool, bool>;
  out.indef_break = note<Kind::kBreak>;
  return out;
}

bool is_utf8(std::string_view text) noexcept {
  using Utf8 = boost::locale::utf::utf_traits<char>;
  for (auto at = text.begin(); at != text.end();) {
    const auto point = Utf8::decode(at, text.end());
    if (point == boost::locale::utf::illegal || point == boost::locale::utf::incomplete) {
      return false;
    }
  }
  return true;
}

class Reader {
 public:
  Reader(std::span<const std::byte> bytes, const ParseLimits& limits)
      : bytes_(bytes), limits_(limits), tree_(arena_, limits) {}

  OwnedMessage read() {
    do {
      const auto left = bytes_.subspan(offset_);
      const auto [token, size] = next(left);
      take(token, left.size() - size);
      offset_ += size;
    } while (!frames_.empty());
    if (offset_ != bytes_.size()) {
      throw Error(BP_INVALID_ARGUMENT, bytes_.size() - offset_, " bytes after the value");
    }
    return OwnedMessage(tree_.root());
  }
  size_t offset() const noexcept { return offset_; }

 private:
  struct Frame {
    Token::Kind kind;  // kArray, kMap, kTag, kBytesStart, kTextStart
    uint64_t left;     // items still to come, or kIndefinite
    uint64_t tag = 0;
    size_t items = 0;
  };

  /// The item, or its head, that stands first, and the bytes that it takes.
  static std::pair<Token, size_t> next(std::span<const std::byte> left) {
    static const cbor_callbacks callbacks = make_callbacks();
    const auto* data = reinterpret_cast<const unsigned char*>(left.data());
    // libcbor refuses the tags 6 to 20 in their short form, with which COSE begins (RFC 9052).
    if (!left.empty() && data[0] >= 0xC6 && data[0] <= 0xD4) {
      return {{Token::Kind::kTag, data[0] & 0x1Fu, 0, {}}, 1};
    }
    Token token{};
    const cbor_decoder_result result = cbor_stream_decode(data, left.size(), &callbacks, &token);
    if (left.empty() || result.status == CBOR_DECODER_NEDATA) {
      throw Error(BP_INVALID_ARGUMENT, "the input ends inside an item");
    }
    if (result.status != CBOR_DECODER_FINISHED) {
      throw Error(BP_INVALID_ARGUMENT, "a reserved or unassigned item");
    }
    return {token, result.read};
  }

  void take(const Token& token, size_t left) {
    using Kind = Token::Kind;
    if (!frames_.empty() && take_chunk(token)) {
      return;
    }
    switch (token.kind) {
      case Kind::kUnsigned:
        return std::in_range<int64_t>(token.number) ? scalar(static_cast<int64_t>(token.number))
                                                    : scalar(token.number);
      case Kind::kNegative:
        if (!std::in_range<int64_t>(token.number)) {
          throw Error(BP_OUT_OF_RANGE, "an integer of more than 64 bits");
        }
        return scalar(-1 - static_cast<int64_t>(token.number));
      case Kind::kBytes:
        tree_.add_copy(ValueView::bytes(token.bytes.data(), token.bytes.size()));
        return item_done();
      case Kind::kText:
        tree_.add_copy(utf8(token.bytes));
        return item_done();
      case Kind::kArray:
        open({Kind::kArray, token.number}, left);
        break;
      case Kind::kMap:
        if (token.number != kIndefinite && token.number > left) {  // 2 * number may overflow
          throw Error(BP_INVALID_ARGUMENT, "a map of ", token.number, " pairs in ", left, " bytes");
        }
        open({Kind::kMap, token.number == kIndefinite ? kIndefinite : 2 * token.number}, left);
        break;
      case Kind::kTag:
        open({Kind::kTag, 1, token.number}, left);
        break;
      case Kind::kBytesStart:
      case Kind::kTextStart:
        chunks_.clear();
        open({token.kind, kIndefinite}, left);
        break;
      case Kind::kFloat32:
        return scalar(static_cast<float>(token.real));
      case Kind::kFloat64:
        return scalar(token.real);
      case Kind::kNull:
        return scalar(nullptr);
      case Kind::kBool:
        return scalar(token.number != 0);
      case Kind::kBreak:
        throw_stray_break();
    }
    close_full();
  }

  /// Inside an indefinite string only its chunks; inside an indefinite container its break.
  bool take_chunk(const Token& token) {
    using Kind = Token::Kind;
    Frame& frame = frames_.back();
    if (frame.left != kIndefinite) {
      return false;
    }
    if (token.kind == Kind::kBreak) {
      if (frame.kind == Kind::kMap && frame.items % 2 != 0) {
        throw Error(BP_INVALID_ARGUMENT, "a map ends after a key");
      }
      frame.left = 0;
      close_full();
      return true;
    }
    if (frame.kind != Kind::kBytesStart && frame.kind != Kind::kTextStart) {
      return false;
    }
    if (token.kind != (frame.kind == Kind::kBytesStart ? Kind::kBytes : Kind::kText)) {
      throw Error(BP_INVALID_ARGUMENT, "a string in chunks holds something else than its chunks");
    }
    chunks_ += token.kind == Kind::kText ? utf8(token.bytes) : token.bytes;
    return true;
  }

  void scalar(ValueView value) {
    tree_.add(value);
    item_done();
  }
  static std::string_view utf8(std::string_view text) {
    if (!is_utf8(text)) {
      throw Error(BP_INVALID_ARGUMENT, "a text string that is not UTF-8");
    }
    return text;
  }
  [[noreturn]] static void throw_stray_break() {
    throw Error(BP_INVALID_ARGUMENT, "a break outside of an indefinite item");
  }

  void open(Frame frame, size_t left) {
    if (frame.left != kIndefinite && frame.left > left) {
      throw Error(BP_INVALID_ARGUMENT, "an item that claims ", frame.left, " others in ", left,
                  " bytes");
    }
    if (frames_.size() + 1 >= std::min(limits_.max_depth, kMaxDepth)) {
      throw Error(BP_RESOURCE_EXHAUSTED, "nested deeper than ",
                  std::min(limits_.max_depth, kMaxDepth), " levels");
    }
    if (frame.kind == Token::Kind::kArray) {
      tree_.begin(detail::TreeBuilder::Kind::kList);
    } else if (frame.kind == Token::Kind::kMap) {
      tree_.begin(detail::TreeBuilder::Kind::kMap);
    }
    frames_.push_back(frame);
  }

  /// One item more stands in the tree: counts in its container, and closes those that are full.
  void item_done() {
    if (frames_.empty()) {
      return;
    }
    Frame& frame = frames_.back();
    if (frame.kind == Token::Kind::kMap && frame.items % 2 == 0) {
      check_key(tree_.back());
    }
    ++frame.items;
    if (frame.left != kIndefinite) {
      --frame.left;
    }
    close_full();
  }
  void close_full() {
    if (frames_.empty() || frames_.back().left != 0) {
      return;
    }
    const Frame frame = frames_.back();
    frames_.pop_back();
    switch (frame.kind) {
      case Token::Kind::kTag:
        tree_.back() = apply(frame.tag, tree_.back());
        break;
      case Token::Kind::kBytesStart:
        tree_.add_copy(ValueView::bytes(chunks_.data(), chunks_.size()));
        break;
      case Token::Kind::kTextStart:
        tree_.add_copy(std::string_view(chunks_));
        break;
      default:
        tree_.end();
    }
    item_done();
  }
  static void check_key(ValueView key) {
    if (key.tag > BP_T_BYTES) {
      throw Error(BP_INVALID_ARGUMENT, "a ", key.type_name(), " as the key of a map");
    }
  }

  ValueView apply(uint64_t tag, ValueView content) {
    switch (tag) {
      case kTagDateTime:
        return from_rfc3339(expect<std::string_view>(tag, content)).value();
      case kTagEpochTime:
        return epoch_time(content);
      case kTagEncodedCbor:
      case kTagEncodedJson:
        content = ValueView(expect<std::span<const std::byte>>(tag, content));
        return ValueView::encoded(*content.payload(),
                                  tag == kTagEncodedCbor ? BP_FORMAT_CBOR : BP_FORMAT_JSON);
      case kTagUuid:
        if (content.tag != BP_T_BYTES || content.len != 16) {
          throw Error(BP_INVALID_ARGUMENT, "a UUID that is not 16 bytes");
        }
        content.aux = BP_BYTES_UUID;
        return content;
      case kTagMatrix:
        return matrix(content);
      case kTagSelfDescribed:
        return content;
      default:
        break;
    }
    if (tag == kTagTypedObject && content.tag == BP_T_LIST && content.len == 2 &&
        content.at(0).tag == BP_T_STRING &&
        !content.at(0).get<std::string_view>()->starts_with(kTagTypePrefix)) {
      content.tag = BP_T_TYPED;
      return content;
    }
    for (const TypedArray& array : kTypedArrays) {
      if (array.tag == tag) {
        return typed_array(array, expect<std::span<const std::byte>>(tag, content));
      }
    }
    return typed(arena_.copy(concat(kTagTypePrefix, tag)), content);
  }

  ValueView typed(ValueView name, ValueView content) {
    ValueView out = arena_.list({name, content});
    out.tag = BP_T_TYPED;
    return out;
  }
  template <class T>
  static T expect(uint64_t tag, ValueView content) {
    if (const auto found = content.get<T>()) {
      return *found;
    }
    throw Error(BP_INVALID_ARGUMENT, "tag ", tag, " on a ", content.type_name());
  }

  static ValueView epoch_time(ValueView content) {
    ValueView out;
    out.tag = BP_T_TIME;
    if (content.tag == BP_T_INT) {
      out.aux = BP_TIME_S;
      out.as.i = content.as.i;
      return out;
    }
    // A double of today's seconds is exact to 0.24 us.
    const double microseconds = content.tag == BP_T_FLOAT ? content.as.f * 1e6 : NAN;
    if (!(std::abs(microseconds) < 0x1p63)) {
      throw Error(BP_INVALID_ARGUMENT, "tag 1 on ", content.to_text(32), ", which is no time");
    }
    out.aux = BP_TIME_US;
    out.as.i = std::llround(microseconds);
    return out;
  }

  ValueView matrix(ValueView content) {
    const auto sizes = content.tag == BP_T_LIST && content.len == 2
                           ? content.at(0).get<std::vector<uint32_t>>()
                           : std::nullopt;
    uint64_t product = 1;
    bool fits = sizes.has_value() && !sizes->empty();
    for (size_t i = 0; fits && i < sizes->size(); ++i) {
      fits = !__builtin_mul_overflow(product, (*sizes)[i], &product);
    }
    const ValueView elements = fits ? content.at(1) : ValueView();
    if ((elements.tag != BP_T_LIST && elements.tag != BP_T_ARRAY) || product != elements.len) {
      throw Error(BP_INVALID_ARGUMENT, "an array whose dimensions do not give its elements");
    }
    ValueView out = arena_.list({arena_.array(std::span<const uint32_t>(*sizes)), elements});
    out.tag = BP_T_MATRIX;
    return out;
  }

  ValueView typed_array(const TypedArray& array, std::span<const std::byte> bytes) {
    if (bytes.size() % array.size != 0) {
      throw Error(BP_INVALID_ARGUMENT, "a typed array (tag ", array.tag, ") of ", bytes.size(),
                  " bytes, no multiple of ", static_cast<unsigned>(array.size));
    }
    std::byte* to = arena_.allocate(bytes.size());
    std::copy(bytes.begin(), bytes.end(), to);
    if (array.big_endian != (std::endian::native == std::endian::big)) {
      for (size_t i = 0; i < bytes.size(); i += array.size) {
        std::reverse(to + i, to + i + array.size);
      }
    }
    ValueView out = ValueView::bytes(to, bytes.size());
    out.tag = BP_T_ARRAY;
    out.aux = array.element;
    out.len = static_cast<uint32_t>(bytes.size() / array.size);
    return out;
  }

  const std::span<const std::byte> bytes_;
  const ParseLimits limits_;
  StackArena<2048> arena_;
  detail::TreeBuilder tree_;
  std::vector<Frame> frames_;
  std::string chunks_;  // of the indefinite string that is open; they do not nest
  size_t offset_ = 0;
};

}  // namespace

Result<OwnedMessage> from_cbor(std::span<const std::byte> bytes, const ParseLimits& limits) {
  if (bytes.size() > limits.max_bytes) {
    return Status(BP_RESOURCE_EXHAUSTED, "CBOR: ", bytes.size(), " bytes; at most ",
                  limits.max_bytes, " are parsed");
  }
  Reader reader(bytes, limits);
  try {
    return reader.read();
  } catch (const Error& error) {
    return Status(error.status()).with_context("CBOR, offset ", reader.offset());
  }
}

}  // namespace backplane::formats
