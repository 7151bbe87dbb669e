// SPDX-License-Identifier: Apache-2.0
// Structures by their definitions: to maps and back, and what a server that lies cannot do.
#include "structure.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace backplane::opcua {
namespace {

using testing::HasSubstr;

UA_NodeId id_of(UA_UInt32 number) { return UA_NODEID_NUMERIC(1, number); }

struct FieldOf {
  const char* name;
  UA_NodeId type;
  int32_t rank = -1;
  bool is_optional = false;
};

class Types {
 public:
  Types& structure(UA_UInt32 id, UA_StructureType kind, std::initializer_list<FieldOf> fields) {
    std::vector<UA_StructureField> told;
    for (const FieldOf& field : fields) {
      UA_StructureField each{};
      each.name = borrowed(field.name);
      each.dataType = field.type;
      each.valueRank = field.rank;
      each.isOptional = field.is_optional;
      told.push_back(each);
    }
    UA_StructureDefinition definition{};
    definition.defaultEncodingId = id_of(id + 2000);
    definition.structureType = kind;
    definition.fields = told.data();
    definition.fieldsSize = told.size();
    return tell(id, definition, UA_TYPES_STRUCTUREDEFINITION);
  }
  Types& enumeration(UA_UInt32 id, UA_UInt32 from,
                     std::vector<std::pair<int64_t, const char*>> names) {
    std::vector<UA_EnumField> told;
    for (const auto& [value, name] : names) {
      UA_EnumField each{};
      each.value = value;
      each.name = borrowed(name);
      told.push_back(each);
    }
    UA_EnumDefinition definition{told.size(), told.data()};
    tell(id, definition, UA_TYPES_ENUMDEFINITION);
    types.derive(id_of(id), UA_NODEID_NUMERIC(0, from), more);
    return *this;
  }
  const DataType* type(UA_UInt32 id) {
    types.link();
    return types.by_id(id_of(id));
  }
  DataTypes types;
  std::vector<NodeId> more;

 private:
  template <class T>
  Types& tell(UA_UInt32 id, T& definition, int type) {
    UA_Variant variant;
    UA_Variant_init(&variant);
    UA_Variant_setScalar(&variant, &definition, &UA_TYPES[type]);
    EXPECT_TRUE(types.define(id_of(id), variant, more));
    return *this;
  }
};

const UA_NodeId kDouble = UA_TYPES[UA_TYPES_DOUBLE].typeId;
const UA_NodeId kInt32Id = UA_TYPES[UA_TYPES_INT32].typeId;

/// Back and forth.
void expect_same(Types& types, UA_UInt32 id, const ValueView& fields) {
  const DataType* type = types.type(id);
  ASSERT_NE(type, nullptr);
  const std::string body = encode_structure(*type, fields, &types.types);
  StackArena arena;
  const auto read = decode_structure(arena, *type, body, types.types);
  ASSERT_TRUE(read) << fields.to_text();
  EXPECT_EQ(*read, fields) << read->to_text() << " " << fields.to_text();
  EXPECT_EQ(encode_structure(*type, *read, &types.types), body);
  for (size_t n = 0; n < body.size(); ++n) {
    EXPECT_FALSE(decode_structure(arena, *type, std::string_view(body).substr(0, n), types.types))
        << "cut off after " << n;
  }
  EXPECT_FALSE(decode_structure(arena, *type, body + '\0', types.types)) << "one byte too many";
}

TEST(OpcuaStructure, EveryBuiltInTypeIsAFieldAsAScalarAnArrayAndAMatrix) {
  StackArena arena;
  const std::vector<uint32_t> sizes{2, 1};
  unsigned n = 0;
  for (UA_UInt16 type = 1; type <= kBuiltInTypes; ++type) {
    Variant sample;
    sample->type = &built_in_type(type);
    sample->data = UA_Array_new(2, sample->type);
    sample->arrayLength = 2;
    const OwnedMessage array(to_value(arena, *sample));
    ValueView name = array.body().tag == BP_T_TYPED ? array.body().at(0) : ValueView();
    const ValueView items = name.is_null() ? array.body() : array.body().at(1);
    const auto named = [&](ValueView value) {
      if (name.is_null()) return value;
      ValueView out = arena.list({name, value});
      out.tag = BP_T_TYPED;
      return out;
    };
    ValueView matrix = arena.list({ValueView::array(std::span<const uint32_t>(sizes)), items});
    matrix.tag = BP_T_MATRIX;
    ValueView one = type == 22 ? items.at(0) : named(items.at(0));
    if (type == 24) one.flags |= BP_VALUE_VARIANT;
    Types types;
    const UA_NodeId& id = built_in_type(type).typeId;
    types.structure(1, UA_STRUCTURETYPE_STRUCTURE,
                    {{"One", id}, {"Many", id, 1}, {"Matrix", id, 2}});
    SCOPED_TRACE(built_in_type(type).typeName);
    expect_same(types, 1,
                arena.map({{"One", one}, {"Many", array.body()}, {"Matrix", named(matrix)}}));
    n += 3;
  }
  std::printf("opcua: %u of 25 types x scalar, array, matrix as fields of structures\n", n);
}

TEST(OpcuaStructure, OptionalFieldsAreThereOrNot) {
  Types types;
  types.structure(1, UA_STRUCTURETYPE_STRUCTUREWITHOPTIONALFIELDS,
                  {{"A", kDouble}, {"B", kInt32Id, -1, true}, {"C", kInt32Id, 1, true}});
  StackArena arena;
  const std::vector<int32_t> numbers{1, 2};
  expect_same(types, 1, arena.map({{"A", 1.0}}));
  expect_same(types, 1, arena.map({{"A", 1.0}, {"B", int32_t{2}}}));
  expect_same(types, 1,
              arena.map({{"A", 1.0}, {"C", ValueView::array(std::span<const int32_t>(numbers))}}));
}

TEST(OpcuaStructure, AUnionIsOneOfItsFields) {
  Types types;
  types.structure(1, UA_STRUCTURETYPE_UNION, {{"A", kDouble}, {"B", kInt32Id}});
  StackArena arena;
  expect_same(types, 1, arena.map({}));
  expect_same(types, 1, arena.map({{"B", int32_t{2}}}));
  EXPECT_THROW(encode_structure(*types.type(1), arena.map({{"A", 1}, {"B", 2}}), nullptr), Error);
}

TEST(OpcuaStructure, StructuresStandInEachOtherAlsoInCircles) {
  Types types;
  types.structure(1, UA_STRUCTURETYPE_STRUCTURE, {{"Value", kInt32Id}, {"Children", id_of(1), 1}});
  types.structure(2, UA_STRUCTURETYPE_STRUCTURE,
                  {{"Root", id_of(1)}, {"Grid", id_of(1), 2}, {"Mode", id_of(3)}});
  types.enumeration(3, 29, {{0, "Off"}, {5, "On"}});
  StackArena arena;
  const auto leaf = [&](int32_t n) {
    return arena.map({{"Value", n}, {"Children", arena.list({})}});
  };
  const ValueView root =
      arena.map({{"Value", int32_t{1}}, {"Children", arena.list({leaf(2), leaf(3)})}});
  const std::vector<uint32_t> sizes{1, 2};
  ValueView grid = arena.list(
      {ValueView::array(std::span<const uint32_t>(sizes)), arena.list({leaf(4), leaf(5)})});
  grid.tag = BP_T_MATRIX;
  ValueView mode(int32_t{5});
  mode.aux = BP_INT_ENUM;
  expect_same(types, 2, arena.map({{"Root", root}, {"Grid", grid}, {"Mode", mode}}));
}

TEST(OpcuaStructure, ANameOfAnEnumerationIsItsNumber) {
  Types types;
  types.enumeration(3, 29, {{0, "Off"}, {5, "On"}});
  types.structure(1, UA_STRUCTURETYPE_STRUCTURE, {{"Mode", id_of(3)}});
  StackArena arena;
  const DataType& type = *types.type(1);
  const auto on = decode_structure(
      arena, type, encode_structure(type, arena.map({{"Mode", "On"}}), &types.types), types.types);
  EXPECT_EQ(on->find("Mode")->get<int>(), 5);
  EXPECT_THROW(encode_structure(type, arena.map({{"Mode", "Away"}}), &types.types), Error);
}

TEST(OpcuaStructure, AnEnumerationOfFlagsIsEncodedAsWhatItDerivesFrom) {
  Types types;
  types.enumeration(3, 3, {{0, "Red"}, {1, "Green"}});  // bits of a Byte
  types.structure(1, UA_STRUCTURETYPE_STRUCTURE, {{"Colours", id_of(3)}});
  StackArena arena;
  EXPECT_EQ(encode_structure(*types.type(1), arena.map({{"Colours", 3}}), nullptr).size(), 1u);
}

TEST(OpcuaStructure, AFieldWithSubtypesSaysItsOwnType) {
  Types types;
  types.structure(1, UA_STRUCTURETYPE_STRUCTURE, {{"X", kInt32Id}});
  types.structure(2, UA_STRUCTURETYPE_STRUCTUREWITHSUBTYPEDVALUES,
                  {{"Any", id_of(1), -1, true}, {"Number", UA_NODEID_NUMERIC(0, 26)}});
  StackArena arena;
  ValueView any = arena.list({"opcua:ns=1;i=1", arena.map({{"X", int32_t{1}}})});
  any.tag = BP_T_TYPED;
  ValueView number(int16_t{2});
  number.flags = BP_VALUE_VARIANT;
  expect_same(types, 2, arena.map({{"Any", any}, {"Number", number}}));
}

TEST(OpcuaStructure, WhatIsWrongWithAFieldIsSaidWithItsName) {
  Types types;
  types.structure(1, UA_STRUCTURETYPE_STRUCTURE, {{"X", kDouble}, {"Y", kDouble, 1}});
  const DataType& type = *types.type(1);
  StackArena arena;
  const auto refusal = [&](ValueView fields) -> std::string {
    try {
      encode_structure(type, fields, nullptr);
    } catch (const Error& error) {
      return std::string(error.status().message());
    }
    return "taken";
  };
  EXPECT_EQ(refusal(arena.map({{"X", 1}, {"Y", arena.list({1, 2})}})), "taken") << "converted";
  EXPECT_THAT(refusal(arena.map({{"X", 1}})), HasSubstr("ns=1;i=1 needs a field 'Y'"));
  EXPECT_THAT(refusal(arena.map({{"Z", 1}})), HasSubstr("no field 'Z'; there are X, Y"));
  EXPECT_THAT(refusal(arena.map({{"X", "warm"}, {"Y", arena.list({})}})),
              HasSubstr("ns=1;i=1.X: \"warm\" is no Double"));
  EXPECT_THAT(refusal(arena.map({{"X", arena.list({1})}, {"Y", arena.list({})}})),
              HasSubstr("expected one Double"));
  EXPECT_THAT(refusal(arena.map({{"X", 1}, {"Y", 1}})), HasSubstr("expected an array of Double"));
  EXPECT_THAT(refusal(1), HasSubstr("a map of its fields"));
}

TEST(OpcuaStructure, AnArrayIsOfOneTypeAndComesBackAsOne) {
  Types types;
  types.structure(1, UA_STRUCTURETYPE_STRUCTURE, {{"X", kInt32Id}});
  ASSERT_NE(types.type(1), nullptr);
  StackArena arena;
  ValueView points = arena.list({arena.map({{"X", int32_t{1}}}), arena.map({{"X", int32_t{2}}})});
  ValueView value = arena.list({"opcua:ns=1;i=1", points});
  value.tag = BP_T_TYPED;
  const Variant variant = to_variant(value, {}, &types.types);
  ASSERT_TRUE(UA_Variant_hasArrayType(variant.get(), &UA_TYPES[UA_TYPES_EXTENSIONOBJECT]));
  EXPECT_EQ(to_value(arena, *variant, &types.types), value);
  EXPECT_FALSE(types.types.has_missing());
}

TEST(OpcuaStructure, TheStandardsOwnAreKnown) {
  DataTypes types;
  UA_Range range{1.0, 2.0};
  UA_Variant variant;
  UA_Variant_init(&variant);
  UA_Variant_setScalar(&variant, &range, &UA_TYPES[UA_TYPES_RANGE]);
  StackArena arena;
  const ValueView value = to_value(arena, variant, &types);
  EXPECT_EQ(value.at(0).get<std::string>(), "opcua:i=884");
  EXPECT_EQ(value.at(1).find("High")->get<double>(), 2.0);
  const Variant back = to_variant(value, {}, &types);
  EXPECT_EQ(to_value(arena, *back, &types), value);
}

TEST(OpcuaStructure, OneThatNobodyKnowsIsNotedAndStaysEncoded) {
  DataTypes types;
  UA_ExtensionObject object{};
  object.encoding = UA_EXTENSIONOBJECT_ENCODED_BYTESTRING;
  object.content.encoded = {id_of(2001), borrowed("1234")};
  UA_Variant variant;
  UA_Variant_init(&variant);
  UA_Variant_setScalar(&variant, &object, &UA_TYPES[UA_TYPES_EXTENSIONOBJECT]);
  StackArena arena;
  EXPECT_EQ(to_value(arena, variant, &types).at(1).tag, BP_T_ENCODED);
  ASSERT_TRUE(types.has_missing());
  EXPECT_EQ(types.take_missing().encodings.size(), 1u);
  types.set_unknown_encoding(id_of(2001));
  EXPECT_EQ(to_value(arena, variant, &types).at(1).tag, BP_T_ENCODED);
  EXPECT_FALSE(types.has_missing()) << "nobody asks twice";
}

TEST(OpcuaStructure, AHostileDefinitionMakesNothingKnown) {
  Types types;
  types.structure(1, UA_STRUCTURETYPE_STRUCTURE, {{"Self", id_of(1)}});  // without end
  types.structure(2, UA_STRUCTURETYPE_STRUCTURE, {});
  types.structure(3, UA_STRUCTURETYPE_STRUCTURE, {{"Nothing", id_of(2), 1}});  // of no byte
  types.structure(4, UA_STRUCTURETYPE_STRUCTURE, {{"Gone", id_of(99)}});
  types.structure(5, UA_STRUCTURETYPE_STRUCTURE, {{"Rank", kDouble, -2}});
  types.structure(6, UA_STRUCTURETYPE_STRUCTURE, {{"", kDouble}});
  types.structure(7, UA_STRUCTURETYPE_STRUCTURE, {{"Gone", id_of(4)}});
  StackArena arena;
  ASSERT_NE(types.type(1), nullptr);
  EXPECT_FALSE(decode_structure(arena, *types.type(1), "", types.types));
  EXPECT_FALSE(decode_structure(arena, *types.type(1), std::string(1000, '\1'), types.types));
  EXPECT_NE(types.type(2), nullptr);
  for (const UA_UInt32 id : {3u, 4u, 5u, 6u, 7u}) {
    EXPECT_EQ(types.type(id), nullptr) << id;
  }
}

TEST(OpcuaStructure, ADefinitionWithANameTwiceIsNone) {
  DataTypes types;
  std::array<UA_StructureField, 2> fields{};
  fields[0].name = fields[1].name = borrowed("X");
  fields[0].dataType = fields[1].dataType = kDouble;
  UA_StructureDefinition definition{};
  definition.fields = fields.data();
  definition.fieldsSize = fields.size();
  UA_Variant told;
  UA_Variant_init(&told);
  UA_Variant_setScalar(&told, &definition, &UA_TYPES[UA_TYPES_STRUCTUREDEFINITION]);
  std::vector<NodeId> more;
  EXPECT_FALSE(types.define(id_of(1), told, more));
}

TEST(OpcuaStructure, ACountIsNotBelieved) {
  Types types;
  types.structure(1, UA_STRUCTURETYPE_STRUCTURE, {{"Many", kDouble, 1}});
  types.structure(2, UA_STRUCTURETYPE_STRUCTURE, {{"Matrix", kDouble, 2}});
  StackArena arena;
  const auto words = [](std::initializer_list<int32_t> all) {
    std::string out;
    for (const int32_t each : all) out.append(reinterpret_cast<const char*>(&each), 4);
    return out;
  };
  const auto decodes = [&](UA_UInt32 id, const std::string& body) {
    return decode_structure(arena, *types.type(id), body, types.types).has_value();
  };
  EXPECT_FALSE(decodes(1, words({INT32_MAX, 0, 0})));
  EXPECT_TRUE(decodes(1, words({-1})));
  EXPECT_FALSE(decodes(2, words({2, INT32_MAX, INT32_MAX})));
  EXPECT_FALSE(decodes(2, words({INT32_MAX})));
  EXPECT_FALSE(decodes(2, words({0})));
  EXPECT_TRUE(decodes(2, words({2, 1, 1, 0, 0})));
}

TEST(OpcuaStructure, ExtensionObjectsInEachOtherEndSomewhere) {
  Types types;
  types.structure(1, UA_STRUCTURETYPE_STRUCTURE, {{"Inner", UA_NODEID_NUMERIC(0, 22)}});
  ASSERT_NE(types.type(1), nullptr);
  UA_ExtensionObject object{};
  object.encoding = UA_EXTENSIONOBJECT_ENCODED_BYTESTRING;
  object.content.encoded.typeId = id_of(2001);
  std::string body(3, '\0');  // null
  for (int i = 0; i < 1000; ++i) {
    object.content.encoded.body = borrowed(body);
    UA_ByteString bytes = UA_BYTESTRING_NULL;
    ASSERT_EQ(UA_encodeBinary(&object, &UA_TYPES[UA_TYPES_EXTENSIONOBJECT], &bytes),
              UA_STATUSCODE_GOOD);
    body = view(bytes);
    UA_ByteString_clear(&bytes);
  }
  StackArena arena;
  const auto out = decode_structure(arena, *types.type(1), body, types.types);
  ASSERT_TRUE(out);
  EXPECT_NO_THROW(arena.copy(*out)) << "not deeper than a value may be";
}

}  // namespace
}  // namespace backplane::opcua
