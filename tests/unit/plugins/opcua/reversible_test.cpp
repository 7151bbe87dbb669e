// SPDX-License-Identifier: Apache-2.0
// The reversible JSON encoding: every type, in every shape, goes through JSON and CBOR and comes
// back as it was, with status and both times.
#include "reversible.hpp"

#include "data_types.hpp"
#include "plugins/formats/cbor.hpp"
#include "samples.hpp"
#include <backplane/sdk/json.hpp>

#include <gmock/gmock.h>

namespace backplane::opcua {
namespace {

using testing::HasSubstr;

std::string wire(const UA_DataValue& value) {
  UA_ByteString out = UA_BYTESTRING_NULL;
  EXPECT_EQ(UA_encodeBinary(&value, &UA_TYPES[UA_TYPES_DATAVALUE], &out), UA_STATUSCODE_GOOD);
  std::string bytes(view(out));
  UA_ByteString_clear(&out);
  return bytes;
}

DataValue with_times(Variant value) {
  DataValue out;
  out->value = value.release();
  out->hasValue = out->hasStatus = out->hasSourceTimestamp = out->hasServerTimestamp = true;
  out->hasSourcePicoseconds = true;
  out->status = UA_STATUSCODE_UNCERTAIN;
  out->sourceTimestamp = UA_DATETIME_UNIX_EPOCH + 12345678;
  out->serverTimestamp = 1;
  out->sourcePicoseconds = 9990;
  return out;
}

std::string json_of(const UA_DataValue& value, DataTypes* types = nullptr) {
  StackArena arena;
  return to_json(to_reversible(arena, value, types));
}

TEST(OpcuaReversible, EveryTypeSurvivesJsonAndCbor) {
  unsigned values = 0;
  for (UA_UInt16 type = 1; type <= kBuiltInTypes; ++type) {
    for (const Shape shape : {Shape::kScalar, Shape::kArray, Shape::kEmptyArray, Shape::kMatrix}) {
      if (type == kVariantType && shape == Shape::kScalar) {
        continue;
      }
      for (unsigned first = 0; first < (shape == Shape::kScalar ? kSamples : 1u); ++first) {
        const DataValue before = with_times(sample(type, shape, first));
        StackArena arena;
        const ValueView map = to_reversible(arena, *before, nullptr);
        SCOPED_TRACE(to_json(map));
        const OwnedMessage json = from_json(to_json(map)).value();
        EXPECT_EQ(wire(*from_reversible(json.body(), nullptr)), wire(*before));
        const std::string cbor = formats::to_cbor(map);
        const OwnedMessage read =
            formats::from_cbor(std::as_bytes(std::span<const char>(cbor)), ParseLimits()).value();
        EXPECT_EQ(wire(*from_reversible(read.body(), nullptr)), wire(*before));
        ++values;
      }
    }
  }
  std::printf("opcua: %u values through JSON and CBOR, with status and times\n", values);
}

TEST(OpcuaReversible, IsWrittenAsTheStandardSays) {
  const auto body = [](auto value, int type) {
    DataValue out;
    UA_Variant_setScalarCopy(&out->value, &value, &UA_TYPES[type]);
    out->hasValue = true;
    return json_of(*out);
  };
  EXPECT_EQ(body(UA_Double(20.5), UA_TYPES_DOUBLE), R"({"Value":{"Type":11,"Body":20.5}})");
  EXPECT_EQ(body(UA_Int64(-5), UA_TYPES_INT64), R"({"Value":{"Type":8,"Body":"-5"}})");
  EXPECT_EQ(body(std::numeric_limits<UA_Double>::quiet_NaN(), UA_TYPES_DOUBLE),
            R"({"Value":{"Type":11,"Body":"NaN"}})");
  EXPECT_EQ(body(UA_DATETIME_UNIX_EPOCH + 2500000, UA_TYPES_DATETIME),
            R"({"Value":{"Type":13,"Body":"1970-01-01T00:00:00.25Z"}})");
  EXPECT_EQ(body(UA_DateTime(INT64_MAX), UA_TYPES_DATETIME),
            R"({"Value":{"Type":13,"Body":"9999-12-31T23:59:59Z"}})");
  EXPECT_EQ(body(borrowed("abc"), UA_TYPES_BYTESTRING), R"({"Value":{"Type":15,"Body":"YWJj"}})");
  EXPECT_EQ(body(UA_NODEID_NUMERIC(0, 85), UA_TYPES_NODEID),
            R"({"Value":{"Type":17,"Body":{"Id":85}}})");
  EXPECT_EQ(body(UA_NodeId{2, UA_NODEIDTYPE_STRING, {.string = borrowed("a")}}, UA_TYPES_NODEID),
            R"({"Value":{"Type":17,"Body":{"IdType":1,"Id":"a","Namespace":2}}})");
  EXPECT_EQ(body(UA_QualifiedName{1, borrowed("a")}, UA_TYPES_QUALIFIEDNAME),
            R"({"Value":{"Type":20,"Body":{"Name":"a","Uri":1}}})");
  EXPECT_EQ(body(UA_LocalizedText{borrowed("en"), borrowed("a")}, UA_TYPES_LOCALIZEDTEXT),
            R"({"Value":{"Type":21,"Body":{"Locale":"en","Text":"a"}}})");
}

TEST(OpcuaReversible, AMatrixHasItsDimensions) {
  EXPECT_THAT(json_of(*with_times(sample(6, Shape::kMatrix, 0))),
              HasSubstr(R"("Dimensions":[2,3])"));
}

struct FieldOf {
  const char* name;
  UA_NodeId type;
  int32_t rank = -1;
  bool is_optional = false;
};
const UA_NodeId& id_of(int type) { return UA_TYPES[type].typeId; }

void define(DataTypes& types, UA_UInt32 id, UA_StructureType kind,
            std::initializer_list<FieldOf> fields) {
  std::vector<UA_StructureField> told;
  for (const FieldOf& each : fields) {
    UA_StructureField field{};
    field.name = borrowed(each.name);
    field.dataType = each.type;
    field.valueRank = each.rank;
    field.isOptional = each.is_optional;
    told.push_back(field);
  }
  UA_StructureDefinition definition{};
  definition.defaultEncodingId = UA_NODEID_NUMERIC(1, id + 2000);
  definition.structureType = kind;
  definition.fields = told.data();
  definition.fieldsSize = told.size();
  UA_Variant variant;
  UA_Variant_init(&variant);
  UA_Variant_setScalar(&variant, &definition, &UA_TYPES[UA_TYPES_STRUCTUREDEFINITION]);
  std::vector<NodeId> more;
  ASSERT_TRUE(types.define(UA_NODEID_NUMERIC(1, id), variant, more));
  types.link();
}

/// The JSON of a structure's fields, which is read again as it was.
std::string json_of_fields(DataTypes& types, UA_UInt32 id, const ValueView& fields) {
  StackArena arena;
  ValueView value = arena.list({arena.copy(ValueView(concat("opcua:ns=1;i=", id))), fields});
  value.tag = BP_T_TYPED;
  const DataValue before = with_times(to_variant(value, {}, &types));
  const std::string json = json_of(*before, &types);
  const OwnedMessage read = from_json(json).value();
  EXPECT_EQ(wire(*from_reversible(read.body(), &types)), wire(*before)) << json;
  const std::string head =
      concat(R"({"Value":{"Type":22,"Body":{"TypeId":{"Id":)", id, R"(,"Namespace":1},"Body":)");
  EXPECT_TRUE(json.starts_with(head)) << json;
  return json.substr(head.size(), json.find("}},\"Status\"") - head.size());
}

TEST(OpcuaReversible, AStructureIsItsFieldsByTheirTypes) {
  DataTypes types;
  define(types, 3001, UA_STRUCTURETYPE_STRUCTURE,
         {{"Long", id_of(UA_TYPES_INT64)},
          {"Time", id_of(UA_TYPES_DATETIME)},
          {"Any", id_of(UA_TYPES_VARIANT)},
          {"Text", id_of(UA_TYPES_LOCALIZEDTEXT)},
          {"Node", id_of(UA_TYPES_NODEID), 1},
          {"Matrix", id_of(UA_TYPES_INT16), 2},
          {"Bytes", id_of(UA_TYPES_BYTESTRING), 1},
          {"Ranges", id_of(UA_TYPES_RANGE), 1},
          {"Objects", id_of(UA_TYPES_EXTENSIONOBJECT), 1},
          {"Null", id_of(UA_TYPES_STRING)}});
  StackArena arena;
  const ValueView range = arena.map({{"Low", 1.0}, {"High", 2.0}});
  ValueView object = arena.list({"opcua:i=884", range});
  object.tag = BP_T_TYPED;
  EXPECT_EQ(json_of_fields(
                types, 3001,
                arena.map({{"Long", INT64_MIN},
                           {"Time", "2024-02-29T12:00:00Z"},
                           {"Any", 1.5f},
                           {"Text", "warm"},
                           {"Node", arena.list({"ns=1;s=a"})},
                           {"Matrix", arena.list({arena.list({1, 2, 3}), arena.list({4, 5, 6})})},
                           {"Bytes", arena.list({ValueView::bytes("\0\1", 2), nullptr})},
                           {"Ranges", arena.list({range, range})},
                           {"Objects", arena.list({object, object})},
                           {"Null", nullptr}})),
            R"({"Long":"-9223372036854775808","Time":"2024-02-29T12:00:00Z",)"
            R"("Any":{"Type":10,"Body":1.5},"Text":{"Locale":null,"Text":"warm"},)"
            R"("Node":[{"IdType":1,"Id":"a","Namespace":1}],"Matrix":[[1,2,3],[4,5,6]],)"
            R"("Bytes":["AAE=",null],"Ranges":[{"Low":1.0,"High":2.0},{"Low":1.0,"High":2.0}],)"
            R"("Objects":[{"TypeId":{"Id":884},"Body":{"Low":1.0,"High":2.0}},)"
            R"({"TypeId":{"Id":884},"Body":{"Low":1.0,"High":2.0}}]})");
}

TEST(OpcuaReversible, OptionalFieldsHaveAMaskAndUnionsASwitch) {
  DataTypes types;
  define(types, 3002, UA_STRUCTURETYPE_STRUCTUREWITHOPTIONALFIELDS,
         {{"X", id_of(UA_TYPES_INT32)},
          {"O1", id_of(UA_TYPES_INT32), -1, true},
          {"O2", id_of(UA_TYPES_INT32), -1, true}});
  define(types, 3003, UA_STRUCTURETYPE_UNION,
         {{"A", id_of(UA_TYPES_INT32)}, {"B", id_of(UA_TYPES_STRING)}});
  StackArena arena;
  EXPECT_EQ(json_of_fields(types, 3002, arena.map({{"X", 1}, {"O2", 5}})),
            R"({"EncodingMask":2,"X":1,"O2":5})");
  EXPECT_EQ(json_of_fields(types, 3003, arena.map({{"B", "text"}})),
            R"({"SwitchField":2,"Value":"text"})");
  EXPECT_EQ(json_of_fields(types, 3003, arena.map({})), R"({"SwitchField":0})");
}

TEST(OpcuaReversible, AFieldThatIsNotWrittenIsNullOrZero) {
  DataTypes types;
  define(types, 3002, UA_STRUCTURETYPE_STRUCTUREWITHOPTIONALFIELDS,
         {{"X", id_of(UA_TYPES_INT32)},
          {"Name", id_of(UA_TYPES_STRING)},
          {"O1", id_of(UA_TYPES_INT32), -1, true},
          {"Range", id_of(UA_TYPES_RANGE)}});
  const OwnedMessage read =
      from_json(R"({"Value":{"Type":22,"Body":{"TypeId":{"Id":3002,"Namespace":1},)"
                R"("Body":{"EncodingMask":1}}}})")
          .value();
  const DataValue value = from_reversible(read.body(), &types);
  StackArena arena;
  const ValueView fields = to_value(arena, value->value, &types).at(1);
  EXPECT_EQ(fields.find("X")->get<int>(), 0);
  EXPECT_TRUE(fields.find("Name")->is_null());
  EXPECT_EQ(fields.find("O1")->get<int>(), 0);
  EXPECT_EQ(fields.find("Range")->find("High")->get<double>(), 0.0);
}

TEST(OpcuaReversible, WhatIsNoneIsRefusedWithItsReason) {
  const auto refusal = [](std::string_view json) -> std::string {
    const OwnedMessage read = from_json(json).value();
    try {
      from_reversible(read.body(), nullptr);
    } catch (const Error& error) {
      EXPECT_EQ(error.status().code(), BP_INVALID_ARGUMENT) << json;
      return std::string(error.status().message());
    }
    return "taken";
  };
  EXPECT_THAT(refusal("20.5"), HasSubstr("expected a map for a DataValue"));
  EXPECT_THAT(refusal(R"({"Val":1})"), HasSubstr("a DataValue has no 'Val'"));
  EXPECT_THAT(refusal(R"({"Value":{"Type":26,"Body":1}})"), HasSubstr("26 is no built-in type"));
  EXPECT_THAT(refusal(R"({"Value":{"Type":4,"Body":70000}})"), HasSubstr("70000 is no Int16"));
  EXPECT_THAT(refusal(R"({"Value":{"Type":15,"Body":"?"}})"), HasSubstr("no base64"));
  EXPECT_THAT(refusal(R"({"Value":{"Type":17,"Body":{"IdType":7,"Id":1}}})"),
              HasSubstr("'IdType'"));
  EXPECT_THAT(refusal(R"({"Value":{"Type":6,"Body":[1,2],"Dimensions":[3]}})"),
              HasSubstr("do not give its 2 elements"));
  EXPECT_THAT(refusal(R"({"Value":{"Type":22,"Body":{"TypeId":{"Id":9},"Body":{}}}})"),
              HasSubstr("describes no structure i=9"));
  EXPECT_THAT(refusal(R"({"Value":{"Type":13,"Body":"soon"}})"), HasSubstr("is no time"));
}

}  // namespace
}  // namespace backplane::opcua
