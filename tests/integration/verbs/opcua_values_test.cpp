// SPDX-License-Identifier: Apache-2.0
// OPC UA: an array with status and both timestamps, parts of it, many reads in one request, methods
// with several outputs, a browse of 10,000 references.
#include "integration/verbs/client.hpp"

#include <array>
#include <cstring>
#include <memory>
#include <set>

namespace backplane::test {
namespace {

constexpr std::uint64_t kUncertain = 0x40000000;
// 2024-02-29 in OPC UA's unit, counted from the Unix epoch.
constexpr std::int64_t kServerTime = 17091648000000000;
constexpr std::int64_t kSourceTime = 1709164799123456700;  // ns

class OpcuaValues : public Fixture {
 protected:
  std::array<double, 4> values_{1.5, -0.0, 1e300, 4.0};

  void write_profile(bp_ref node) {
    EXPECT_EQ(Operation(*this, BP_V_WRITE, node)
                  .body(value_doubles(values_.data(), 4))
                  .header(BP_H_STATUS, value_uint(kUncertain, BP_UINT_STATUS))
                  .header(BP_H_SERVER_TIME, value_time(kServerTime, BP_TIME_100NS))
                  .time(kSourceTime)
                  .run(),
              BP_OK);
  }

  static void expect_profile(const bp_message& message, const double* values, std::uint32_t n) {
    EXPECT_EQ(message.body.tag, BP_T_ARRAY);
    EXPECT_EQ(message.body.aux, BP_TYPE(BP_T_FLOAT, 64));
    ASSERT_EQ(message.body.len, n);
    EXPECT_EQ(std::memcmp(message.body.as.p, values, n * sizeof *values), 0) << "bit by bit";
    const bp_value* status = find_header(&message, BP_H_STATUS);
    const bp_value* server_time = find_header(&message, BP_H_SERVER_TIME);
    ASSERT_NE(status, nullptr);
    ASSERT_NE(server_time, nullptr);
    EXPECT_EQ(status->aux, BP_UINT_STATUS);
    EXPECT_EQ(status->as.u, kUncertain);
    EXPECT_EQ(server_time->aux, BP_TIME_100NS);
    EXPECT_EQ(server_time->as.i, kServerTime);
    EXPECT_EQ(message.time_ns, kSourceTime);
  }
};

TEST_P(OpcuaValues, AnArrayKeepsItsStatusAndBothTimestamps) {
  const bp_ref node = open("node/Profile");
  write_profile(node);
  Operation read(*this, BP_V_READ, node);
  EXPECT_EQ(read.run(), BP_OK);
  expect_profile(read.out(), values_.data(), 4);
}

TEST_P(OpcuaValues, AResultGoesIntoTheScratchOrHasAnOwnerWhateverItsSize) {
  const bp_ref node = open("node/Profile");
  write_profile(node);
  alignas(16) std::array<unsigned char, 4096> memory{};
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{32}, memory.size()}) {
    Operation read(*this, BP_V_READ, node);
    EXPECT_EQ(read.scratch(memory.data(), size).run(), BP_OK);
    expect_profile(read.out(), values_.data(), 4);
    EXPECT_EQ(read.out().owner == nullptr, size == memory.size()) << size;
  }
}

TEST_P(OpcuaValues, APartOfAnArrayIsReadAndWritten) {
  const bp_ref node = open("node/Profile");
  write_profile(node);
  Operation read(*this, BP_V_READ, node);
  EXPECT_EQ(read.header(BP_H_INDEX_RANGE, value_text("1:2")).run(), BP_OK);
  expect_profile(read.out(), values_.data() + 1, 2);

  const std::array<double, 1> other{42.0};
  EXPECT_EQ(Operation(*this, BP_V_WRITE, node)
                .body(value_doubles(other.data(), 1))
                .header(BP_H_INDEX_RANGE, value_text("3"))
                .run(),
            BP_OK);
  Operation whole(*this, BP_V_READ, node);
  EXPECT_EQ(whole.run(), BP_OK);
  ASSERT_EQ(whole.out().body.len, 4u);
  EXPECT_EQ(static_cast<const double*>(whole.out().body.as.p)[0], 1.5);
  EXPECT_EQ(static_cast<const double*>(whole.out().body.as.p)[3], 42.0);
}

TEST_P(OpcuaValues, AnErrorHasTheNativeStatusBitByBit) {
  const bp_ref node = open("node/Profile");
  Operation read(*this, BP_V_READ, node);
  EXPECT_EQ(read.header(BP_H_INDEX_RANGE, value_text("2:9")).run(), BP_OUT_OF_RANGE);
  EXPECT_EQ(static_cast<std::uint32_t>(read.error().native), 0x80370000u);
  EXPECT_STREQ(read.error().domain, "opcua");
  EXPECT_EQ(read.error().code, BP_OUT_OF_RANGE);
}

TEST_P(OpcuaValues, ManyReadsShareOneRequestAndAllCompleteByDone) {
  const bp_ref node = open("node/Profile");
  write_profile(node);
  std::vector<std::unique_ptr<Operation>> reads;
  std::vector<bp_op*> ops;
  for (int i = 0; i < 100; ++i) {
    reads.push_back(std::make_unique<Operation>(*this, BP_V_READ, node));
    reads.back()->prepare();
    ops.push_back(reads.back()->raw());
  }
  const std::uint32_t taken = endpoints().submit_n(host(), ops.data(), 100);
  EXPECT_EQ(taken, 100u);
  for (std::size_t i = 0; i < reads.size(); ++i) {
    if (i >= taken) {
      reads[i]->note(BP_UNAVAILABLE);
      continue;
    }
    EXPECT_EQ(reads[i]->wait(), BP_OK);
    EXPECT_EQ(reads[i]->completions(), 1);
    expect_profile(reads[i]->out(), values_.data(), 4);
  }
}

TEST_P(OpcuaValues, AMethodHasSeveralOutputsOfTheirOwnTypes) {
  const std::array<bp_value, 2> inputs{value_float(2.5, 64), value_int(4, 32)};
  Operation call(*this, BP_V_CALL, open("node/Mix"));
  EXPECT_EQ(call.body(value_list(inputs.data(), 2, BP_LIST_ARGUMENTS)).run(), BP_OK);
  const bp_value& outputs = call.out().body;
  ASSERT_EQ(outputs.tag, BP_T_LIST);
  EXPECT_EQ(outputs.aux, BP_LIST_ARGUMENTS);
  ASSERT_EQ(outputs.len, 3u);
  EXPECT_EQ(outputs.as.list[0].tag, BP_T_FLOAT);
  EXPECT_EQ(outputs.as.list[0].as.f, 10.0);
  EXPECT_EQ(outputs.as.list[1].tag, BP_T_INT);
  EXPECT_EQ(outputs.as.list[1].aux, 32u);
  EXPECT_EQ(outputs.as.list[1].as.i, 8);
  EXPECT_EQ(text_of(outputs.as.list[2]), "mixed");
}

TEST_P(OpcuaValues, ARefusedMethodSaysWhatIsWrongWithEachArgument) {
  const std::array<bp_value, 2> inputs{value_float(2.5, 64), value_text("four")};
  Operation call(*this, BP_V_CALL, open("node/Mix"));
  EXPECT_EQ(call.body(value_list(inputs.data(), 2, BP_LIST_ARGUMENTS)).run(), BP_INVALID_ARGUMENT);
  const bp_value& details = call.out().body;
  ASSERT_EQ(details.tag, BP_T_LIST) << "a failure has a body, too";
  ASSERT_EQ(details.len, 2u);
  EXPECT_EQ(details.as.list[0].as.u, 0u);
  EXPECT_EQ(details.as.list[1].as.u, 0x80740000u);
}

class OpcuaBrowse : public Fixture {};

TEST_P(OpcuaBrowse, TenThousandReferencesComeInBatchesWithinTheCredit) {
  Watch browse(*this, open("folder"), 0, BP_V_BROWSE);
  std::uint64_t granted = 100;
  std::uint64_t seen = 0;
  // The consumer grants from inside `next`, as much as it has consumed, in steps of 100.
  browse.on_next = [&](const bp_message*, std::uint32_t n) -> bp_status {
    seen += n;
    EXPECT_LE(seen, granted);
    if (seen == granted) {
      granted += 100;
      browse.grant(100);
    }
    return BP_OK;
  };
  EXPECT_EQ(browse.credit(100).submit(), BP_PENDING);
  EXPECT_EQ(browse.wait(), BP_OK);
  ASSERT_EQ(browse.count(), 10000u);
  EXPECT_GT(browse.largest_batch(), 1u);
  std::set<std::string> paths;
  for (std::size_t i = 0; i < 10000; ++i) {
    const bp_message& entry = browse.at(i);
    ASSERT_EQ(entry.seq, i + 1);
    const bp_value* path = find_header(&entry, BP_H_PATH);
    ASSERT_NE(path, nullptr);
    paths.insert(text_of(*path));
  }
  EXPECT_EQ(paths.size(), 10000u);
  const bp_message& last = browse.at(9999);
  EXPECT_TRUE(value_is_text(find_header(&last, BP_H_PATH), "ns=2;i=9999"));
  EXPECT_TRUE(value_is_text(find_header(&last, BP_H_TITLE), "Sensor 9999"));
  EXPECT_TRUE(value_is_text(find_header(&last, BP_H_TYPE), "Variable"));
  EXPECT_EQ(find_header(&last, BP_H_VERBS)->as.u, BP_VERB_BIT(BP_V_READ) | BP_VERB_BIT(BP_V_WATCH));
  EXPECT_EQ(last.body.tag, BP_T_MAP);
}

TEST_P(OpcuaBrowse, StopsHalfWayWhenCancelledFromInsideNext) {
  Watch browse(*this, open("folder"), 0, BP_V_BROWSE);
  std::uint64_t seen = 0;
  std::uint64_t after_cancel = 0;
  browse.on_next = [&](const bp_message*, std::uint32_t n) -> bp_status {
    if (seen >= 5000) after_cancel += n;
    seen += n;
    if (seen >= 5000) browse.cancel();
    return BP_OK;
  };
  EXPECT_EQ(browse.credit(UINT32_MAX).submit(), BP_PENDING);
  EXPECT_EQ(browse.wait(), BP_CANCELLED);
  EXPECT_EQ(browse.completions(), 1);
  EXPECT_LT(seen, 10000u);
  const std::uint64_t at_completion = seen;
  barrier();
  EXPECT_EQ(seen, at_completion) << "the completion is the last call";
}

TEST_P(OpcuaBrowse, EndsWithTheConsumersStatusWhenNextRefuses) {
  Watch browse(*this, open("folder"), 0, BP_V_BROWSE);
  browse.on_next = [](const bp_message*, std::uint32_t) -> bp_status { return BP_ABORTED; };
  EXPECT_EQ(browse.credit(UINT32_MAX).submit(), BP_PENDING);
  EXPECT_EQ(browse.wait(), BP_ABORTED);
}

TEST_P(OpcuaBrowse, StaysSilentWithoutCreditUntilItsDeadline) {
  Watch browse(*this, open("folder"), 0, BP_V_BROWSE);
  EXPECT_EQ(browse.credit(0).deadline(std::chrono::milliseconds(20)).submit(), BP_PENDING);
  EXPECT_EQ(browse.wait(), BP_DEADLINE_EXCEEDED);
  EXPECT_EQ(browse.count(), 0u);
}

INSTANTIATE_TEST_SUITE_P(, OpcuaValues,
                         testing::Values(Form::kLinked, Form::kLoaded, Form::kIsolated), form_name);
INSTANTIATE_TEST_SUITE_P(, OpcuaBrowse,
                         testing::Values(Form::kLinked, Form::kLoaded, Form::kIsolated), form_name);

}  // namespace
}  // namespace backplane::test
