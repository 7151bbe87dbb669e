// SPDX-License-Identifier: Apache-2.0
#include "structure.hpp"

#include "put_element.hpp"

#include <algorithm>
#include <array>

namespace backplane::opcua {
namespace {

constexpr unsigned kMostNested = 16;  // structures in structures; lists and names stand between
constexpr uint8_t kArrayBit = 0x80;
constexpr uint8_t kDimensionsBit = 0x40;

/// The bytes are not what the type says.
struct Malformed {};

template <class T>
void append(std::string& out, T number) {
  out.append(reinterpret_cast<const char*>(&number), sizeof number);
}

/// Finds out where a value of a built-in type ends.
class Cursor {
 public:
  explicit Cursor(std::string_view bytes) : left_(bytes) {}

  std::string_view left() const noexcept { return left_; }
  std::string_view take(size_t n) {
    if (n > left_.size()) {
      throw Malformed();
    }
    const std::string_view out = left_.substr(0, n);
    left_.remove_prefix(n);
    return out;
  }
  template <class T>
  T number() {
    T out;
    std::memcpy(&out, take(sizeof out).data(), sizeof out);
    return out;
  }
  /// A count of elements, each of which has a byte at least; null is none.
  size_t count() {
    const auto n = number<int32_t>();
    if (n > 0 && static_cast<size_t>(n) > left_.size()) {
      throw Malformed();
    }
    return n < 0 ? 0 : static_cast<size_t>(n);
  }

  void skip(UA_UInt16 type, unsigned depth) {
    // Boolean to Double, DateTime, Guid, StatusCode.
    static constexpr std::array<uint8_t, 20> kSizes = {0, 1, 1, 1, 2,  2, 4, 4, 8, 8,
                                                       4, 8, 0, 8, 16, 0, 0, 0, 0, 4};
    if (depth == 0) {
      throw Malformed();
    }
    if (type < kSizes.size() && kSizes[type] != 0) {
      take(kSizes[type]);
      return;
    }
    switch (type) {
      case 17:
        return node_id(number<uint8_t>());
      case 18: {
        const auto flags = number<uint8_t>();
        node_id(flags & 0x3Fu);
        if ((flags & 0x80u) != 0) string();
        if ((flags & 0x40u) != 0) take(4);
        return;
      }
      case 20:
        take(2);
        return string();
      case 21: {
        const auto flags = number<uint8_t>();
        if ((flags & 1u) != 0) string();
        if ((flags & 2u) != 0) string();
        return;
      }
      case kExtensionObject:
        node_id(number<uint8_t>());
        if (number<uint8_t>() != 0) string();
        return;
      case kDataValue:
        return data_value(depth - 1);
      case kVariant:
        return variant(depth - 1);
      case 25:
        return diagnostic_info(depth - 1);
      default:
        return string();
    }
  }

 private:
  void string() { take(count()); }
  void node_id(uint8_t form) {
    switch (form) {
      case 0:
        take(1);
        return;
      case 1:
        take(3);
        return;
      case 2:
        take(6);
        return;
      case 4:
        take(18);
        return;
      case 3:
      case 5:
        take(2);
        return string();
      default:
        throw Malformed();
    }
  }
  void data_value(unsigned depth) {
    const auto flags = number<uint8_t>();
    if ((flags & 0x01u) != 0) skip(kVariant, depth);
    if ((flags & 0x02u) != 0) take(4);
    if ((flags & 0x04u) != 0) take(8);
    if ((flags & 0x10u) != 0) take(2);
    if ((flags & 0x08u) != 0) take(8);
    if ((flags & 0x20u) != 0) take(2);
  }
  void variant(unsigned depth) {
    const auto head = number<uint8_t>();
    const auto type = static_cast<UA_UInt16>(head & 0x3Fu);
    if (type == 0) {
      return;
    }
    for (size_t n = (head & kArrayBit) != 0 ? count() : 1; n > 0; --n) {
      skip(type, depth);
    }
    if ((head & kDimensionsBit) != 0) {
      take(count() * 4);
    }
  }
  void diagnostic_info(unsigned depth) {
    const auto flags = number<uint8_t>();
    for (unsigned bit = 0; bit < 4; ++bit) {
      if ((flags >> bit & 1u) != 0) take(4);
    }
    if ((flags & 0x10u) != 0) string();
    if ((flags & 0x20u) != 0) take(4);
    if ((flags & 0x40u) != 0) skip(25, depth);
  }

  std::string_view left_;
};

bool is_in_line(const Field& field) noexcept {
  return field.type != nullptr && field.type->is_structure();
}

class Reader {
 public:
  Reader(Arena& arena, DataTypes& types, std::string_view body)
      : arena_(arena), types_(types), in_(body) {}

  ValueView structure(const DataType& type, unsigned depth) {
    if (depth == 0) {
      throw Malformed();
    }
    MapBuilder out(arena_);
    if (type.kind == DataType::Kind::kUnion) {
      const auto which = in_.number<uint32_t>();
      if (which > type.fields.size()) {
        throw Malformed();
      }
      if (which != 0) {
        add(out, type.fields[which - 1], depth);
      }
      return arena_.map(out.pairs());
    }
    const auto present = type.kind == DataType::Kind::kOptional ? in_.number<uint32_t>() : 0u;
    unsigned bit = 0;
    for (const Field& field : type.fields) {
      if (!field.is_optional || (bit < 32 && (present >> bit & 1u) != 0)) {
        add(out, field, depth);
      }
      bit += field.is_optional ? 1 : 0;
    }
    return arena_.map(out.pairs());
  }
  bool is_at_end() const noexcept { return in_.left().empty(); }

 private:
  void add(MapBuilder& out, const Field& field, unsigned depth) {
    out.add(field.name, is_in_line(field) ? structures(field, depth) : built_in(field, depth));
  }

  /// The dimensions of a matrix; their product is at most what is left.
  std::vector<uint32_t> dimensions(size_t& elements) {
    std::vector<uint32_t> out(in_.count());
    uint64_t product = 1;
    for (uint32_t& each : out) {
      const auto n = in_.number<int32_t>();
      each = n < 0 ? 0 : static_cast<uint32_t>(n);
      if (__builtin_mul_overflow(product, each, &product)) {
        throw Malformed();
      }
    }
    if (out.empty() || product > in_.left().size()) {
      throw Malformed();
    }
    elements = product;
    return out;
  }
  ValueView matrix(std::span<const uint32_t> dimensions, ValueView elements) {
    ValueView out = arena_.list({arena_.array(dimensions), elements});
    out.tag = BP_T_MATRIX;
    return out;
  }

  ValueView structures(const Field& field, unsigned depth) {
    if (field.rank < 1) {
      return structure(*field.type, depth - 1);
    }
    size_t n = 0;
    std::vector<uint32_t> sizes;
    if (field.rank == 1) {
      n = in_.count();
    } else {
      sizes = dimensions(n);
    }
    ListBuilder out(arena_);
    for (size_t i = 0; i < n; ++i) {
      out.add(structure(*field.type, depth - 1));
    }
    const ValueView list = arena_.list({out.view().as.list, out.size()});
    return sizes.empty() ? list : matrix(sizes, list);
  }

  ValueView built_in(const Field& field, unsigned depth) {
    const UA_UInt16 type = field.built_in;
    std::string bytes;
    if (field.rank < 1) {
      const std::string_view from = in_.left();
      in_.skip(type, depth);
      const std::string_view one = from.substr(0, from.size() - in_.left().size());
      // A Variant has none around it.
      if (type != kVariant) bytes += static_cast<char>(type);
      return decoded(field, bytes.append(one));
    }
    bytes += static_cast<char>(type | kArrayBit);
    size_t n = 0;
    std::vector<uint32_t> sizes;
    if (field.rank == 1) {
      n = in_.count();
    } else {
      sizes = dimensions(n);
    }
    append(bytes, static_cast<int32_t>(n));
    const std::string_view from = in_.left();
    for (size_t i = 0; i < n; ++i) {
      in_.skip(type, depth);
    }
    bytes.append(from.substr(0, from.size() - in_.left().size()));
    const ValueView out = decoded(field, bytes);
    return sizes.empty() ? out : with_dimensions(sizes, out);
  }
  /// The name of a type stands around the matrix.
  ValueView with_dimensions(std::span<const uint32_t> sizes, ValueView value) {
    if (value.tag != BP_T_TYPED) {
      return matrix(sizes, value);
    }
    ValueView out = arena_.list({value.at(0), matrix(sizes, value.at(1))});
    out.tag = BP_T_TYPED;
    return out;
  }

  ValueView decoded(const Field& field, std::string_view bytes) {
    const UA_ByteString in = borrowed(bytes);
    Variant variant;
    if (UA_decodeBinary(&in, variant.get(), &UA_TYPES[UA_TYPES_VARIANT], nullptr) !=
        UA_STATUSCODE_GOOD) {
      throw Malformed();
    }
    StackArena borrowing;
    ValueView out = arena_.copy(to_value(borrowing, *variant, &types_));
    if (field.built_in == kVariant && field.rank < 1) {
      out.flags |= BP_VALUE_VARIANT;
    }
    if (field.type != nullptr && field.built_in == kInt32) {  // an enumeration
      out.aux = out.tag == BP_T_ARRAY ? BP_TYPE(BP_T_INT, BP_INT_ENUM) : BP_INT_ENUM;
    }
    return out;
  }

  Arena& arena_;
  DataTypes& types_;
  Cursor in_;
};

/// Bytes of a Variant, without those around its content.
class Writer {
 public:
  explicit Writer(DataTypes* types) : types_(types) {}
  std::string take() && { return std::move(out_); }

  void structure(const DataType& type, const ValueView& fields, unsigned depth) {
    if (depth == 0) {
      refuse("structures are nested deeper than ", kMostNested, " levels");
    }
    if (fields.tag != BP_T_MAP) {
      refuse("the structure ", type.id, " is a map of its fields, got ", fields.to_text(64));
    }
    for (const auto& [key, value] : fields.entries()) {
      known(type, key.get<std::string_view>().value_or(""));
    }
    if (type.kind == DataType::Kind::kUnion) {
      return one_of(type, fields, depth);
    }
    const size_t mask_at = out_.size();
    uint32_t present = 0;
    if (type.kind == DataType::Kind::kOptional) {
      append(out_, present);
    }
    unsigned bit = 0;
    for (const Field& field : type.fields) {
      const auto value = fields.find(field.name);
      if (value) {
        put(type, field, *value, depth);
        present |= field.is_optional && bit < 32 ? 1u << bit : 0u;
      } else if (!field.is_optional) {
        refuse("the structure ", type.id, " needs a field '", field.name, "'");
      }
      bit += field.is_optional ? 1 : 0;
    }
    if (type.kind == DataType::Kind::kOptional) {
      std::memcpy(out_.data() + mask_at, &present, sizeof present);
    }
  }

 private:
  static void known(const DataType& type, std::string_view name) {
    std::string names;
    for (const Field& field : type.fields) {
      if (field.name == name) {
        return;
      }
      names += concat(names.empty() ? "" : ", ", field.name);
    }
    refuse("the structure ", type.id, " has no field '", name, "'; there are ", names);
  }

  void one_of(const DataType& type, const ValueView& fields, unsigned depth) {
    if (fields.size() > 1) {
      refuse("the union ", type.id, " is one of its fields, got ", fields.size());
    }
    uint32_t which = 0;
    for (size_t i = 0; i < type.fields.size(); ++i) {
      which = fields.find(type.fields[i].name) ? static_cast<uint32_t>(i + 1) : which;
    }
    append(out_, which);
    if (which != 0) {
      const Field& field = type.fields[which - 1];
      put(type, field, *fields.find(field.name), depth);
    }
  }

  void put(const DataType& type, const Field& field, const ValueView& value, unsigned depth) {
    try {
      if (is_in_line(field)) {
        structures(field, value, depth);
      } else {
        built_in(field, value);
      }
    } catch (const Error& error) {
      throw Error(Status(error.status()).with_context(type.id, ".", field.name));
    }
  }

  void structures(const Field& field, ValueView value, unsigned depth) {
    if (field.rank < 1) {
      return structure(*field.type, value, depth - 1);
    }
    if (field.rank > 1) {
      const auto sizes = value.tag == BP_T_MATRIX ? value.at(0).get<std::vector<int32_t>>()
                                                  : std::optional<std::vector<int32_t>>();
      if (!sizes) {
        refuse("expected a matrix, got ", value.type_name());
      }
      int64_t product = 1;
      append(out_, static_cast<int32_t>(sizes->size()));
      for (const int32_t size : *sizes) {
        append(out_, size);
        if (__builtin_mul_overflow(product, int64_t{size}, &product)) product = -1;
      }
      value = value.at(1);
      if (product < 0 || static_cast<size_t>(product) != value.size()) {
        refuse("the dimensions of a matrix do not give its ", value.size(), " elements");
      }
    } else {
      append(out_, static_cast<int32_t>(value.size()));
    }
    if (value.tag != BP_T_LIST) {
      refuse("expected a list of maps, got ", value.type_name());
    }
    for (const ValueView each : value.items()) {
      structure(*field.type, each, depth - 1);
    }
  }

  void built_in(const Field& field, const ValueView& value) {
    const bool is_variant = field.built_in == kVariant && field.rank < 1;
    const Variant variant = to_variant(value, {field.built_in, field.type}, types_);
    NativeString bytes;
    if (UA_encodeBinary(variant.get(), &UA_TYPES[UA_TYPES_VARIANT], bytes.get()) !=
        UA_STATUSCODE_GOOD) {
      refuse(value.to_text(64), " cannot be encoded");
    }
    std::string_view content = view(*bytes);
    if (is_variant) {
      out_ += content;
      return;
    }
    const auto head = static_cast<uint8_t>(content.front());
    content.remove_prefix(1);
    const bool is_array = (head & kArrayBit) != 0;
    const bool is_matrix = (head & kDimensionsBit) != 0;
    if ((head & 0x3Fu) != field.built_in || is_array != (field.rank >= 1) ||
        is_matrix != (field.rank > 1)) {
      refuse("expected ",
             field.rank > 1    ? "a matrix of "
             : field.rank == 1 ? "an array of "
                               : "one ",
             built_in_name(field.built_in), ", got ", value.to_text(64));
    }
    if (is_matrix) {  // the dimensions come first, and say how many there are
      const size_t tail = sizeof(int32_t) * (1 + variant->arrayDimensionsSize);
      out_ += content.substr(content.size() - tail);
      content = content.substr(sizeof(int32_t), content.size() - tail - sizeof(int32_t));
    }
    out_ += content;
  }

  DataTypes* types_;
  std::string out_;
};

}  // namespace

std::optional<ValueView> decode_structure(Arena& arena, const DataType& type, std::string_view body,
                                          DataTypes& types) {
  // What stands in a field as an extension object comes here again.
  const DataTypes::Nesting nesting(types);
  if (nesting.depth() > kMostNested) {
    return std::nullopt;
  }
  try {
    Reader reader(arena, types, body);
    const ValueView out = reader.structure(type, kMostNested - nesting.depth() + 1);
    return reader.is_at_end() ? std::optional(out) : std::nullopt;
  } catch (const Malformed&) {
    return std::nullopt;
  }
}

std::string encode_structure(const DataType& type, const ValueView& fields, DataTypes* types) {
  Writer writer(types);
  writer.structure(type, fields, kMostNested);
  return std::move(writer).take();
}

}  // namespace backplane::opcua
