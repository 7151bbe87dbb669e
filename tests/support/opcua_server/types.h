// SPDX-License-Identifier: Apache-2.0
// Types of a plant's own, in namespace 1, as a server of open62541 describes them:
//
//   3001 Point    {X, Y: Double}
//   3002 Order    {Name: String, Priority: optional Int32, Path: Point[], Mode}
//   3003 Reading  one of {Number: Double, Text: String}
//   3010 Litres   a Double
//   3011 Mode     an enumeration
#pragma once

#include <open62541/types_generated.h>
#include <stddef.h>

typedef struct {
  UA_Double x;
  UA_Double y;
} Point;
typedef struct {
  UA_String name;
  UA_Int32* priority;
  size_t n_path;
  Point* path;
  UA_Int32 mode;
} Order;
typedef struct {
  UA_UInt32 which;
  union {
    UA_Double number;
    UA_String text;
  } is;
} Reading;

enum { kPoint, kOrder, kReading, kLitres, kMode, kTypeCount };

static const UA_UInt32 kTypeBases[kTypeCount] = {UA_NS0ID_STRUCTURE, UA_NS0ID_STRUCTURE,
                                                 UA_NS0ID_STRUCTURE, UA_NS0ID_DOUBLE,
                                                 UA_NS0ID_ENUMERATION};

static const UA_DataType kTypes[kTypeCount];

static UA_DataTypeMember point_members[] = {{"X", &UA_TYPES[UA_TYPES_DOUBLE], 0, false, false},
                                            {"Y", &UA_TYPES[UA_TYPES_DOUBLE], 0, false, false}};
static UA_DataTypeMember order_members[] = {{"Name", &UA_TYPES[UA_TYPES_STRING], 0, false, false},
                                            {"Priority", &UA_TYPES[UA_TYPES_INT32], 0, false, true},
                                            {"Path", &kTypes[kPoint], 0, true, false},
                                            {"Mode", &kTypes[kMode], 0, false, false}};
static UA_DataTypeMember reading_members[] = {
    {"Number", &UA_TYPES[UA_TYPES_DOUBLE], offsetof(Reading, is), false, false},
    {"Text", &UA_TYPES[UA_TYPES_STRING], offsetof(Reading, is), false, false}};

static const UA_DataType kTypes[kTypeCount] = {{"Point",
                                                {1, UA_NODEIDTYPE_NUMERIC, {3001}},
                                                {1, UA_NODEIDTYPE_NUMERIC, {5001}},
                                                sizeof(Point),
                                                UA_DATATYPEKIND_STRUCTURE,
                                                true,
                                                true,
                                                2,
                                                point_members},
                                               {"Order",
                                                {1, UA_NODEIDTYPE_NUMERIC, {3002}},
                                                {1, UA_NODEIDTYPE_NUMERIC, {5002}},
                                                sizeof(Order),
                                                UA_DATATYPEKIND_OPTSTRUCT,
                                                false,
                                                false,
                                                4,
                                                order_members},
                                               {"Reading",
                                                {1, UA_NODEIDTYPE_NUMERIC, {3003}},
                                                {1, UA_NODEIDTYPE_NUMERIC, {5003}},
                                                sizeof(Reading),
                                                UA_DATATYPEKIND_UNION,
                                                false,
                                                false,
                                                2,
                                                reading_members},
                                               {"Litres",
                                                {1, UA_NODEIDTYPE_NUMERIC, {3010}},
                                                {0, UA_NODEIDTYPE_NUMERIC, {0}},
                                                sizeof(UA_Double),
                                                UA_DATATYPEKIND_DOUBLE,
                                                true,
                                                true,
                                                0,
                                                NULL},
                                               {"Mode",
                                                {1, UA_NODEIDTYPE_NUMERIC, {3011}},
                                                {0, UA_NODEIDTYPE_NUMERIC, {0}},
                                                sizeof(UA_Int32),
                                                UA_DATATYPEKIND_ENUM,
                                                true,
                                                true,
                                                0,
                                                NULL}};
