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

TEST(OpcuaReversible, AStructureIsItsFieldsByTheirTypes) {
  DataTypes types;
  const UA_NodeId id = UA_NODEID_NUMERIC(1, 3001);
  const UA_NodeId kFields[] = {
      UA_TYPES[UA_TYPES_INT64].typeId,   UA_TYPES[UA_TYPES_DATETIME].typeId,
      UA_TYPES[UA_TYPES_VARIANT].typeId, UA_TYPES[UA_TYPES_LOCALIZEDTEXT].typeId,
      UA_TYPES[UA_TYPES_INT16].typeId,   UA_TYPES[UA_TYPES_BYTESTRING].typeId,
      UA_TYPES[UA_TYPES_RANGE].typeId};
  const char* const kNames[] = {"Long", "Time", "Any", "Text", "Matrix", "Bytes", "Ranges"};
  std::vector<UA_StructureField> fields(std::size(kFields));
  for (size_t i = 0; i < fields.size(); ++i) {
    fields[i].name = borrowed(kNames[i]);
    fields[i].dataType = kFields[i];
    fields[i].valueRank = i == 4 ? 2 : i >= 5 ? 1 : -1;
  }
  UA_StructureDefinition definition{};
  definition.defaultEncodingId = UA_NODEID_NUMERIC(1, 5001);
  definition.fields = fields.data();
  definition.fieldsSize = fields.size();
  UA_Variant told;
  UA_Variant_init(&told);
  UA_Variant_setScalar(&told, &definition, &UA_TYPES[UA_TYPES_STRUCTUREDEFINITION]);
  std::vector<NodeId> more;
  ASSERT_TRUE(types.define(id, told, more));
  types.link();

  StackArena arena;
  const ValueView range = arena.map({{"Low", 1.0}, {"High", 2.0}});
  const ValueView map =
      arena.map({{"Long", INT64_MIN},
                 {"Time", "2024-02-29T12:00:00Z"},
                 {"Any", 1.5f},
                 {"Text", "warm"},
                 {"Matrix", arena.list({arena.list({1, 2, 3}), arena.list({4, 5, 6})})},
                 {"Bytes", arena.list({ValueView::bytes("\0\1", 2), ValueView::bytes("", 0)})},
                 {"Ranges", arena.list({range, range})}});
  ValueView value = arena.list({"opcua:ns=1;i=3001", map});
  value.tag = BP_T_TYPED;
  const DataValue before = with_times(to_variant(value, {}, &types));
  const std::string json = json_of(*before, &types);
  EXPECT_THAT(json, HasSubstr(R"("Value":{"Type":22,"Body":{"TypeId":{"Id":3001,"Namespace":1},)"
                              R"("Body":{"Long":"-9223372036854775808",)"
                              R"("Time":"2024-02-29T12:00:00Z","Any":{"Type":10,"Body":1.5},)"));
  EXPECT_THAT(json, HasSubstr(R"("Matrix":[[1,2,3],[4,5,6]],"Bytes":["AAE=",""],)"
                              R"("Ranges":[{"Low":1.0,"High":2.0},{"Low":1.0,"High":2.0}])"));
  const OwnedMessage read = from_json(json).value();
  EXPECT_EQ(wire(*from_reversible(read.body(), &types)), wire(*before));
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
