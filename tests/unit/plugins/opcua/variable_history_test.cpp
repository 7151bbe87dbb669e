// SPDX-License-Identifier: Apache-2.0
#include "variable_history.hpp"

#include "error_map.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace backplane::opcua {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;

/// 5:02 is 502.
UA_DateTime at(int time) { return UA_DATETIME_UNIX_EPOCH + time * UA_DATETIME_SEC; }
constexpr int kUnspecified = 0;
constexpr int kFirst = 1;  // a bound that there is not
constexpr int kLast = 2;

DataValue value_at(int time) {
  UA_Int32 number = time;
  DataValue out;
  UA_Variant_setScalarCopy(&out->value, &number, &UA_TYPES[UA_TYPES_INT32]);
  out->hasValue = true;
  out->hasSourceTimestamp = true;
  out->sourceTimestamp = at(time);
  return out;
}

/// Of part 11, 4.5: 5:00, 5:02, 5:03, 5:05, 5:06; they come out of order.
VariableHistory standard_history() {
  VariableHistory out(100);
  for (const int time : {503, 500, 502, 506, 505}) {
    out.add(*value_at(time));
  }
  return out;
}

UA_ReadRawModifiedDetails details(int start, int end, uint32_t n, bool has_bounds) {
  UA_ReadRawModifiedDetails out;
  UA_ReadRawModifiedDetails_init(&out);
  out.startTime = start == kUnspecified ? 0 : at(start);
  out.endTime = end == kUnspecified ? 0 : at(end);
  out.numValuesPerNode = n;
  out.returnBounds = has_bounds;
  return out;
}

/// Numbers, and which end has no bound.
std::vector<int> numbers(const VariableHistory::Page& page) {
  std::vector<int> out;
  for (size_t i = 0; i < page.values->dataValuesSize; ++i) {
    const UA_DataValue& value = page.values->dataValues[i];
    const bool is_missing = value.hasStatus && value.status == UA_STATUSCODE_BADBOUNDNOTFOUND;
    out.push_back(!is_missing ? *static_cast<UA_Int32*>(value.value.data)
                  : i == 0    ? kFirst
                              : kLast);
  }
  return out;
}

VariableHistory::Page read(const VariableHistory& history, const UA_ReadRawModifiedDetails& what,
                           std::string_view point = {}) {
  VariableHistory::Room room;
  return history.read({what, UA_TIMESTAMPSTORETURN_BOTH, nullptr, point, room});
}

struct Row {
  int start, end;
  uint32_t n;
  bool has_bounds;
  std::vector<int> expected;
  bool goes_on;
};

class TheTableOfPart11 : public testing::TestWithParam<Row> {};

TEST_P(TheTableOfPart11, IsWhatIsRead) {
  const Row& row = GetParam();
  const VariableHistory history = standard_history();
  const auto page = read(history, details(row.start, row.end, row.n, row.has_bounds));
  EXPECT_THAT(numbers(page), ElementsAreArray(row.expected));
  EXPECT_EQ(!page.next.empty(), row.goes_on);
}

INSTANTIATE_TEST_SUITE_P(
    OfOpcua, TheTableOfPart11,
    testing::Values(
        Row{500, 505, 0, true, {500, 502, 503, 505}, false},
        Row{500, 505, 0, false, {500, 502, 503}, false},
        Row{501, 504, 0, true, {500, 502, 503, 505}, false},
        Row{501, 504, 0, false, {502, 503}, false},
        Row{505, 500, 0, true, {505, 503, 502, 500}, false},
        Row{505, 500, 0, false, {505, 503, 502}, false},
        Row{504, 501, 0, true, {505, 503, 502, 500}, false},
        Row{504, 501, 0, false, {503, 502}, false},
        Row{459, 505, 0, true, {kFirst, 500, 502, 503, 505}, false},
        Row{459, 505, 0, false, {500, 502, 503}, false},
        Row{501, 507, 0, true, {500, 502, 503, 505, 506, kLast}, false},
        Row{501, 507, 0, false, {502, 503, 505, 506}, false},
        Row{500, 505, 3, true, {500, 502, 503}, true},
        Row{500, 505, 3, false, {500, 502, 503}, false},
        Row{501, 504, 3, true, {500, 502, 503}, true}, Row{501, 504, 3, false, {502, 503}, false},
        Row{505, 500, 3, true, {505, 503, 502}, true},
        Row{505, 500, 3, false, {505, 503, 502}, false},
        Row{504, 501, 3, true, {505, 503, 502}, true}, Row{504, 501, 3, false, {503, 502}, false},
        Row{459, 505, 3, true, {kFirst, 500, 502}, true},
        Row{459, 505, 3, false, {500, 502, 503}, false},
        Row{501, 507, 3, true, {500, 502, 503}, true},
        Row{501, 507, 3, false, {502, 503, 505}, true},
        Row{500, kUnspecified, 3, true, {500, 502, 503}, true},
        Row{500, kUnspecified, 3, false, {500, 502, 503}, true},
        Row{500, kUnspecified, 6, true, {500, 502, 503, 505, 506, kLast}, false},
        Row{500, kUnspecified, 6, false, {500, 502, 503, 505, 506}, false},
        Row{507, kUnspecified, 6, true, {506, kLast}, false},
        Row{507, kUnspecified, 6, false, {}, false},
        Row{kUnspecified, 506, 3, true, {506, 505, 503}, true},
        Row{kUnspecified, 506, 3, false, {506, 505, 503}, true},
        Row{kUnspecified, 506, 6, true, {506, 505, 503, 502, 500, kLast}, false},
        Row{kUnspecified, 506, 6, false, {506, 505, 503, 502, 500}, false},
        Row{kUnspecified, 448, 6, true, {500, kLast}, false},
        Row{kUnspecified, 448, 6, false, {}, false}, Row{448, 448, 0, true, {kFirst, 500}, false},
        Row{448, 448, 0, false, {}, false}, Row{448, 448, 1, true, {kFirst}, true},
        Row{448, 448, 1, false, {}, false}, Row{448, 448, 2, true, {kFirst, 500}, false},
        Row{500, 500, 0, true, {500, 502}, false}, Row{500, 500, 0, false, {500}, false},
        Row{500, 500, 1, true, {500}, true}, Row{500, 500, 1, false, {500}, false},
        Row{501, 501, 0, true, {500, 502}, false}, Row{501, 501, 0, false, {}, false},
        Row{501, 501, 1, true, {500}, true}, Row{501, 501, 1, false, {}, false}),
    [](const auto& each) {
      const Row& row = each.param;
      return concat(row.start, "_to_", row.end, "_of_", row.n, row.has_bounds ? "_bounded" : "");
    });

TEST(AVariablesHistory, IsReadPageByPage) {
  const VariableHistory history = standard_history();
  for (const auto& what : {details(459, 507, 1, true), details(507, 459, 1, true)}) {
    std::vector<int> all;
    std::string point;
    do {
      const auto page = read(history, what, point);
      ASSERT_EQ(page.values->dataValuesSize, 1u);
      all.push_back(numbers(page).front());
      point = page.next;
    } while (!point.empty() && all.size() < 20);
    const bool is_forward = what.startTime < what.endTime;
    EXPECT_THAT(all, is_forward ? ElementsAre(kFirst, 500, 502, 503, 505, 506, kFirst)
                                : ElementsAre(kFirst, 506, 505, 503, 502, 500, kFirst));
  }
}

TEST(AVariablesHistory, GoesOnThoughTheValueIsGoneBehindWhichItStopped) {
  VariableHistory history(3);
  for (const int time : {501, 502, 503}) {
    history.add(*value_at(time));
  }
  const auto what = details(500, 600, 1, false);
  const auto page = read(history, what);
  EXPECT_THAT(numbers(page), ElementsAre(501));
  history.add(*value_at(504));
  history.add(*value_at(505));
  EXPECT_THAT(numbers(read(history, details(500, 600, 0, false), page.next)),
              ElementsAre(503, 504, 505));
}

TEST(AVariablesHistory, HasTheLastThatCame) {
  VariableHistory history(2);
  for (const int time : {501, 502, 503, 500}) {
    history.add(*value_at(time));
  }
  EXPECT_THAT(numbers(read(history, details(1, 600, 0, false))), ElementsAre(500, 503));
}

TEST(AVariablesHistory, LetsGoOfTheTimesOfAClockThatWasAhead) {
  VariableHistory history(3);
  for (const int time : {900, 901, 902, 500, 501, 502, 503}) {
    history.add(*value_at(time));
  }
  EXPECT_THAT(numbers(read(history, details(400, 1000, 0, false))), ElementsAre(501, 502, 503));
}

TEST(AVariablesHistory, KeepsValuesOfOneTimeInTheOrderInWhichTheyCame) {
  VariableHistory history(10);
  for (const int number : {1, 2, 3}) {
    DataValue value = value_at(500);
    *static_cast<UA_Int32*>(value->value.data) = number;
    history.add(*value);
  }
  std::vector<int> all;
  std::string point;
  do {
    const auto page = read(history, details(500, 500, 1, false), point);
    all.push_back(numbers(page).front());
    point = page.next;
  } while (!point.empty());
  EXPECT_THAT(all, ElementsAre(1, 2, 3));
}

TEST(AVariablesHistory, GivesTheTimesThatAreWanted) {
  const VariableHistory history = standard_history();
  const auto what = details(500, 501, 0, false);
  VariableHistory::Room room;
  const auto source = history.read({what, UA_TIMESTAMPSTORETURN_SOURCE, nullptr, {}, room});
  EXPECT_TRUE(source.values->dataValues[0].hasSourceTimestamp);
  EXPECT_FALSE(source.values->dataValues[0].hasServerTimestamp);
  const auto server = history.read({what, UA_TIMESTAMPSTORETURN_SERVER, nullptr, {}, room});
  EXPECT_FALSE(server.values->dataValues[0].hasSourceTimestamp);
  EXPECT_TRUE(server.values->dataValues[0].hasServerTimestamp);
}

TEST(AVariablesHistory, GivesNoMoreThanThereIsRoomForInAllThatIsAsked) {
  const VariableHistory history = standard_history();
  const auto what = details(500, 600, 0, false);
  VariableHistory::Room room;
  room.values = 3;
  const auto page = history.read({what, UA_TIMESTAMPSTORETURN_BOTH, nullptr, {}, room});
  EXPECT_THAT(numbers(page), ElementsAre(500, 502, 503));
  EXPECT_TRUE(room.is_empty());
  EXPECT_THAT(numbers(read(history, what, page.next)), ElementsAre(505, 506));
  VariableHistory::Room bytes;
  bytes.bytes = 1;
  const auto one = history.read({what, UA_TIMESTAMPSTORETURN_BOTH, nullptr, {}, bytes});
  EXPECT_THAT(numbers(one), ElementsAre(500)) << "one always goes";
  EXPECT_FALSE(one.next.empty());
}

TEST(AVariablesHistory, TakesTimesAtTheEndsOfTheirRange) {
  VariableHistory history(4);
  for (const UA_DateTime time : {INT64_MIN, INT64_MAX}) {
    DataValue value = value_at(500);
    value->sourceTimestamp = time;
    history.add(*value);
  }
  UA_ReadRawModifiedDetails what = details(500, kUnspecified, 9, true);
  EXPECT_EQ(read(history, what).values->dataValuesSize, 3u);
  what = details(kUnspecified, 500, 9, true);
  EXPECT_EQ(read(history, what).values->dataValuesSize, 3u);
}

TEST(AVariablesHistory, RefusesWhatMakesNoSense) {
  const VariableHistory history = standard_history();
  const auto status = [&](const UA_ReadRawModifiedDetails& what, std::string_view point = {}) {
    try {
      read(history, what, point);
    } catch (const Error& error) {
      return code_of(error.status());
    }
    return UA_StatusCode{UA_STATUSCODE_GOOD};
  };
  EXPECT_EQ(status(details(kUnspecified, kUnspecified, 5, false)),
            UA_STATUSCODE_BADHISTORYOPERATIONINVALID);
  EXPECT_EQ(status(details(500, kUnspecified, 0, false)), UA_STATUSCODE_BADHISTORYOPERATIONINVALID);
  EXPECT_EQ(status(details(500, 506, 0, false), "no point"),
            UA_STATUSCODE_BADCONTINUATIONPOINTINVALID);
}

}  // namespace
}  // namespace backplane::opcua
