// SPDX-License-Identifier: Apache-2.0
// What a server sends: values, and what it says that its structures are. What becomes a value goes
// back to the wire, through the reversible JSON too, and is the same value again.
//
// Input: 0 and a DataValue; or 1, a definition and a body, each an ExtensionObject.
#include "data_types.hpp"
#include "reversible.hpp"
#include "structure.hpp"

#include <cstdio>
#include <cstdlib>

namespace {

using namespace backplane::opcua;
using backplane::StackArena;
using backplane::ValueView;
using Extension = Native<UA_ExtensionObject, UA_TYPES_EXTENSIONOBJECT>;

[[noreturn]] void differs(const ValueView& one, const ValueView& other) {
  std::fprintf(stderr, "%s\n%s\n", one.to_text(4096).c_str(), other.to_text(4096).c_str());
  std::abort();
}

void expect_same(DataTypes& types, const UA_Variant& variant) {
  StackArena arena;
  const ValueView value = to_value(arena, variant, &types);
  // Deeper than a value may be, or text of a node id that the library reads otherwise than it
  // writes: refused, not changed.
  try {
    arena.copy(value);
    const Variant back = to_variant(value, {}, &types);
    if (const ValueView again = to_value(arena, *back, &types); !(again == value)) {
      differs(value, again);
    }
    DataValue whole;
    whole->value = Variant::copy_of(variant).release();
    whole->hasValue = true;
    const DataValue read = from_reversible(to_reversible(arena, *whole, &types), &types);
    if (read->hasValue) {
      static_cast<void>(to_value(arena, read->value, &types));
    }
  } catch (const backplane::Error&) {
  }
}

void value(std::string_view bytes) {
  DataTypes types;
  DataValue value;
  const UA_ByteString in = borrowed(bytes);
  if (UA_decodeBinary(&in, value.get(), &UA_TYPES[UA_TYPES_DATAVALUE], nullptr) ==
      UA_STATUSCODE_GOOD) {
    expect_same(types, value->value);
  }
}

void structure(std::string_view bytes) {
  DataTypes types;
  Extension definition;
  UA_ByteString in = borrowed(bytes);
  if (UA_decodeBinary(&in, definition.get(), &UA_TYPES[UA_TYPES_EXTENSIONOBJECT], nullptr) !=
          UA_STATUSCODE_GOOD ||
      definition->encoding != UA_EXTENSIONOBJECT_DECODED) {
    return;
  }
  const size_t size = UA_calcSizeBinary(definition.get(), &UA_TYPES[UA_TYPES_EXTENSIONOBJECT]);
  const UA_NodeId id = UA_NODEID_NUMERIC(1, 1);
  UA_Variant told;
  UA_Variant_init(&told);
  UA_Variant_setScalar(&told, definition->content.decoded.data, definition->content.decoded.type);
  std::vector<NodeId> more;
  types.define(id, told, more);
  types.link();
  const DataType* const type = types.by_id(id);
  if (type == nullptr || !type->is_structure() || size > bytes.size()) {
    return;
  }
  Variant variant;
  variant->type = &UA_TYPES[UA_TYPES_EXTENSIONOBJECT];
  variant->data = UA_new(variant->type);
  auto* object = static_cast<UA_ExtensionObject*>(variant->data);
  object->encoding = UA_EXTENSIONOBJECT_ENCODED_BYTESTRING;
  object->content.encoded.typeId = NodeId::copy_of(*type->encoding).release();
  object->content.encoded.body = allocated(bytes.substr(size));
  types.set_encoding(*type->encoding, id, more);
  expect_same(types, *variant);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 0) {
    const std::string_view rest(reinterpret_cast<const char*>(data + 1), size - 1);
    *data % 2 == 0 ? value(rest) : structure(rest);
  }
  return 0;
}
