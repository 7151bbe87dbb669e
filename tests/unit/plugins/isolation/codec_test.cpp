// SPDX-License-Identifier: Apache-2.0
#include "plugins/isolation/link/codec.hpp"

#include <backplane/operation.h>
#include <backplane/sdk/arena.hpp>

#include <gmock/gmock.h>

#include <array>
#include <capnp/message.h>
#include <map>
#include <sys/stat.h>

namespace backplane::isolation {
namespace {

using testing::HasSubstr;

/// Numbers references from 100 on, and remembers what is open.
class FakeReferences final : public References {
 public:
  Shown show(bp_ref ref) override {
    shown[++last_] = ref;
    return {last_, BP_VERB_BIT(BP_V_READ)};
  }
  void unshow(uint64_t number) noexcept override { shown.erase(number); }
  bp_ref take(Shown from) override {
    EXPECT_EQ(from.verbs, BP_VERB_BIT(BP_V_READ));
    ++taken;
    return from.number + 1000;
  }
  void close(bp_ref) noexcept override { --taken; }

  std::map<uint64_t, bp_ref> shown;
  int taken = 0;

 private:
  uint64_t last_ = 99;
};

/// Through a frame and back.
class TheCodec : public testing::Test {
 protected:
  ReadMessage through(const bp_message& message) {
    capnp::MallocMessageBuilder frame;
    Outgoing outgoing(references_);
    write(frame.initRoot<wire::Message>(), message, outgoing);
    outgoing.sent();
    std::vector<UniqueFd> descriptors;
    for (const int each : outgoing.descriptors()) {
      descriptors.emplace_back(dup(each));
    }
    Incoming incoming(references_, descriptors);
    ReadMessage out = read(frame.getRoot<wire::Message>().asReader(), incoming);
    kept_ = incoming.keep();
    return out;
  }
  ReadMessage through(ValueView body) { return through(MessageBuilder(body).view()); }

  /// What reading a value says that a hostile host wrote.
  template <class Fill>
  std::string refusal(Fill fill) {
    capnp::MallocMessageBuilder frame;
    fill(frame.initRoot<wire::Message>().initBody());
    Incoming incoming(references_, {});
    try {
      read(frame.getRoot<wire::Message>().asReader(), incoming);
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  }

  FakeReferences references_;
  std::vector<bp_ref> kept_;
};

TEST_F(TheCodec, KeepsEveryTypeOfValueWithItsWidthAndFlags) {
  StackArena arena;
  const std::array<uint32_t, 2> dimensions{2, 1};
  const std::array<double, 2> numbers{1.5, -2.5};
  const std::array<uint8_t, 3> bools{1, 0, 1};
  ValueView variant(int32_t{7});
  variant.flags = BP_VALUE_VARIANT;
  ValueView status(uint32_t{0x80010000});
  status.aux = BP_UINT_STATUS;
  ValueView time(int64_t{-5});
  time.tag = BP_T_TIME;
  time.aux = BP_TIME_100NS;
  ValueView uuid = ValueView::bytes("0123456789abcdef", 16);
  uuid.aux = BP_BYTES_UUID;
  ValueView null(nullptr);
  null.aux = BP_TYPE(BP_T_FLOAT, 32);
  ValueView matrix = arena.list({ValueView::array(std::span<const uint32_t>(dimensions)),
                                 ValueView::array(std::span<const double>(numbers))});
  matrix.tag = BP_T_MATRIX;
  ValueView typed = arena.list({"decimal", "1.10"});
  typed.tag = BP_T_TYPED;
  ValueView flags = ValueView::array(std::span<const uint8_t>(bools));
  flags.aux = BP_TYPE(BP_T_BOOL, 0);
  const ValueView all =
      arena.list({null,
                  true,
                  int8_t{-8},
                  int16_t{-16},
                  variant,
                  int64_t{-64},
                  uint64_t{64},
                  status,
                  1.5F,
                  2.5,
                  time,
                  std::chrono::nanoseconds(5),
                  "text",
                  "",
                  uuid,
                  ValueView::list({}),
                  arena.map({{1, "one"}, {"two", arena.list({2})}}),
                  ValueView::map({}),
                  matrix,
                  typed,
                  flags,
                  ValueView::encoded(std::as_bytes(std::span("{}", 2)), BP_FORMAT_JSON)});
  EXPECT_EQ(ValueView(through(all).message.body), all);
}

TEST_F(TheCodec, KeepsHeadersFlagsTimeAndSequence) {
  MessageBuilder message(21.5);
  message.header(BP_H_QOS, 1u)
      .header("unit", "Cel")
      .flags(BP_M_INITIAL)
      .seq(9)
      .time(Time(std::chrono::nanoseconds(12345)));
  const ReadMessage read = through(message.view());
  EXPECT_EQ(MessageView(read.message).header<uint32_t>(BP_H_QOS), 1u);
  EXPECT_EQ(MessageView(read.message).header<std::string>("unit"), "Cel");
  EXPECT_EQ(read.message.flags, BP_M_INITIAL);
  EXPECT_EQ(read.message.seq, 9u);
  EXPECT_EQ(read.message.time_ns, 12345);
}

TEST_F(TheCodec, NeedsNoMemoryForAScalar) { EXPECT_FALSE(through(ValueView(1.0)).memory); }

TEST_F(TheCodec, TranslatesReferences) {
  const ReadMessage read = through(ValueView::reference(5));
  EXPECT_EQ(references_.shown.at(100), 5u);
  EXPECT_EQ(read.message.body.as.u, 1100u);
  EXPECT_THAT(kept_, testing::ElementsAre(1100u));
}

TEST_F(TheCodec, CarriesADescriptorAsADuplicateThatTheBufferCloses) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const UniqueFd in(ends[0]);
  const UniqueFd out(ends[1]);
  int duplicate = -1;
  {
    const ReadMessage read = through(ValueView::descriptor(out.get()));
    duplicate = static_cast<int>(read.message.body.as.i);
    struct stat one {};
    struct stat other {};
    ASSERT_EQ(fstat(out.get(), &one), 0);
    ASSERT_EQ(fstat(duplicate, &other), 0);
    EXPECT_NE(duplicate, out.get());
    EXPECT_EQ(one.st_ino, other.st_ino);
  }
  EXPECT_EQ(fcntl(duplicate, F_GETFD), -1);
}

TEST_F(TheCodec, TakesBackWhatAFrameThatIsNotSentHasShown) {
  StackArena arena;
  ValueView unknown(1);
  unknown.tag = 99;
  EXPECT_THROW(through(arena.list({ValueView::reference(5), unknown})), Error);
  EXPECT_TRUE(references_.shown.empty());
}

TEST_F(TheCodec, RefusesToWriteWhatIsTooDeep) {
  StackArena arena;
  ValueView deep = arena.list({});
  for (unsigned i = 0; i < kMaxDepth; ++i) {
    deep = arena.list({deep});
  }
  EXPECT_THROW(through(deep), Error);
}

TEST_F(TheCodec, RefusesAValueWhoseFormIsNotThatOfItsTag) {
  EXPECT_THAT(refusal([](wire::Value::Builder value) {
                value.setTag(BP_T_STRING);
                value.setBits(UINT64_MAX);
              }),
              HasSubstr("not of the form that its tag has"));
}

TEST_F(TheCodec, RefusesAnUnknownTag) {
  EXPECT_THAT(refusal([](wire::Value::Builder value) { value.setTag(200); }), HasSubstr("tag 200"));
}

TEST_F(TheCodec, RefusesAnArrayThatEndsInsideAnElement) {
  EXPECT_THAT(refusal([](wire::Value::Builder value) {
                value.setTag(BP_T_ARRAY);
                value.setAux(BP_TYPE(BP_T_INT, 32));
                value.initBytes(5);
              }),
              HasSubstr("ends inside an element"));
}

TEST_F(TheCodec, RefusesAMatrixOfOnePart) {
  EXPECT_THAT(refusal([](wire::Value::Builder value) {
                value.setTag(BP_T_MATRIX);
                value.initList(1);
              }),
              HasSubstr("not two parts"));
}

TEST_F(TheCodec, RefusesAMatrixWithoutDimensions) {
  for (const auto elements : {uint8_t{BP_T_ARRAY}, uint8_t{BP_T_INT}}) {
    EXPECT_THAT(refusal([&](wire::Value::Builder value) {
                  value.setTag(BP_T_MATRIX);
                  auto parts = value.initList(2);
                  const bool has_dimensions = elements == BP_T_INT;
                  parts[0].setTag(has_dimensions ? BP_T_ARRAY : BP_T_STRING);
                  parts[0].setAux(has_dimensions ? BP_TYPE(BP_T_UINT, 32) : 0);
                  parts[0].initBytes(has_dimensions ? 4 : 0);
                  parts[1].setTag(elements);
                }),
                HasSubstr("not dimensions and elements"));
  }
}

TEST_F(TheCodec, RefusesATypedValueWhoseTypeIsNoString) {
  EXPECT_THAT(refusal([](wire::Value::Builder value) {
                value.setTag(BP_T_TYPED);
                value.initList(2)[0].setTag(BP_T_NULL);
              }),
              HasSubstr("type is no string"));
}

TEST_F(TheCodec, RefusesADescriptorThatDidNotCome) {
  EXPECT_THAT(refusal([](wire::Value::Builder value) {
                value.setTag(BP_T_FD);
                value.setDescriptor(0);
              }),
              HasSubstr("did not come with it"));
}

TEST_F(TheCodec, RefusesToReadWhatIsTooDeep) {
  EXPECT_THAT(refusal([](wire::Value::Builder value) {
                for (unsigned i = 0; i <= kMaxDepth; ++i) {
                  value.setTag(BP_T_LIST);
                  value = value.initList(1)[0];
                }
              }),
              HasSubstr("nested too deep"));
}

TEST_F(TheCodec, RefusesAPackedArrayOfWhatPointsSomewhere) {
  for (const int tag : {BP_T_NULL, BP_T_STRING, BP_T_LIST, BP_T_MAP, BP_T_ARRAY, BP_T_MATRIX,
                        BP_T_TYPED, BP_T_REF, BP_T_FD}) {
    EXPECT_THAT(refusal([tag](wire::Value::Builder value) {
                  value.setTag(BP_T_ARRAY);
                  value.setAux(BP_TYPE(tag, 64));
                  value.initBytes(8);
                }),
                HasSubstr("cannot be packed"))
        << tag;
  }
}

TEST_F(TheCodec, KnowsTheWordsOfAMessageSoThatItIsOneSegment) {
  StackArena arena;
  const std::vector<bp_value> empties(1000, ValueView::map({}));
  const ValueView nested = arena.map({{ValueView::list({}), ValueView::list(empties)}, {"k", "v"}});
  MessageBuilder message(nested);
  message.header("unit", "x");
  const size_t words = words_for(message.view());
  capnp::MallocMessageBuilder frame(static_cast<unsigned>(words + 1));  // its root
  Outgoing outgoing(references_);
  write(frame.initRoot<wire::Message>(), message.view(), outgoing);
  EXPECT_EQ(frame.getSegmentsForOutput().size(), 1U);
  EXPECT_EQ(frame.sizeInWords(), words + 1);
}

TEST_F(TheCodec, ClosesTheReferencesOfAMessageThatItRefuses) {
  EXPECT_THAT(refusal([](wire::Value::Builder value) {
                value.setTag(BP_T_LIST);
                auto list = value.initList(3);
                for (unsigned i = 0; i < 2; ++i) {
                  list[i].setTag(i == 0 ? BP_T_REF : BP_T_FD);
                }
                list[0].initReference().setVerbs(BP_VERB_BIT(BP_V_READ));
                list[1].setDescriptor(0);
              }),
              HasSubstr("did not come with it"));
  EXPECT_EQ(references_.taken, 0);
}

TEST_F(TheCodec, KeepsAnErrorWithItsTextAndNativeNumber) {
  capnp::MallocMessageBuilder frame;
  bp_error error{};
  Status(BP_NOT_FOUND, "no topic").with_native(404, "coap").to(&error);
  auto complete = frame.initRoot<wire::Complete>();
  write_failure(complete, BP_NOT_FOUND, &error);
  bp_error read{};
  EXPECT_EQ(read_failure(complete.asReader(), &read), BP_NOT_FOUND);
  EXPECT_EQ(Status::from(BP_NOT_FOUND, read).to_string(), "NOT_FOUND: no topic (coap 404)");
}

TEST_F(TheCodec, CutsATextThatIsLongerThanAnError) {
  capnp::MallocMessageBuilder frame;
  auto complete = frame.initRoot<wire::Complete>();
  complete.setStatus(BP_UNKNOWN);
  complete.setText(to_data(std::string(5000, 'x')));
  complete.setDomain(to_data(std::string(100, 'd')));
  bp_error read{};
  EXPECT_EQ(read_failure(complete.asReader(), &read), BP_UNKNOWN);
  EXPECT_EQ(read.message_len, sizeof read.message);
}

}  // namespace
}  // namespace backplane::isolation
