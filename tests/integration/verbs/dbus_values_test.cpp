// SPDX-License-Identifier: Apache-2.0
// D-Bus: struct, variant, empty dictionary, and descriptors that stay usable after everybody else
// has closed theirs.
#include "integration/verbs/client.hpp"

#include <array>
#include <fcntl.h>
#include <unistd.h>

namespace backplane::test {
namespace {

// Closes at its end.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { reset(); }

  [[nodiscard]] int get() const { return fd_; }
  void reset(int fd = -1) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
  }

 private:
  int fd_;
};

std::string read_all(int fd) {
  std::string text;
  std::array<char, 64> part{};
  for (int i = 0; i < 100; ++i) {
    const ssize_t n = ::read(fd, part.data(), part.size());
    if (n <= 0) break;
    text.append(part.data(), static_cast<std::size_t>(n));
  }
  return text;
}

bool is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }

class DbusValues : public Fixture {
 protected:
  void SetUp() override {
    Fixture::SetUp();
    if (HasFatalFailure()) return;
    std::array<int, 2> ends{};
    ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
    read_end_.reset(ends[0]);
    write_end_.reset(ends[1]);
  }

  // ((si), v, h) with the pipe's write end.
  bp_value arguments() {
    structure_ = {value_text("lamp"), value_int(41, 32)};
    variant_ = value_list(elements_.data(), 2, BP_TYPE(BP_T_STRING, 0));
    variant_.flags = BP_VALUE_VARIANT;
    arguments_ = {value_list(structure_.data(), 2, BP_LIST_STRUCT), variant_,
                  value_fd(write_end_.get())};
    return value_list(arguments_.data(), 3, BP_LIST_ARGUMENTS);
  }

  Descriptor read_end_;
  Descriptor write_end_;
  std::array<bp_value, 2> structure_{};
  std::array<bp_value, 2> elements_{value_text("red"), value_text("green")};
  bp_value variant_{};
  std::array<bp_value, 3> arguments_{};
};

TEST_P(DbusValues, StructAndVariantKeepWhatTheyAre) {
  Operation call(*this, BP_V_CALL, open("bus/Exchange"));
  ASSERT_EQ(call.body(arguments()).run(), BP_OK) << call.error_text();
  const bp_value& results = call.out().body;
  ASSERT_EQ(results.aux, BP_LIST_ARGUMENTS);
  ASSERT_EQ(results.len, 4u);
  const bp_value& structure = results.as.list[0];
  EXPECT_EQ(structure.tag, BP_T_LIST);
  EXPECT_EQ(structure.aux, BP_LIST_STRUCT);
  EXPECT_EQ(text_of(structure.as.list[0]), "lamp");
  EXPECT_EQ(structure.as.list[1].aux, 32u);
  EXPECT_EQ(structure.as.list[1].as.i, 42);
  const bp_value& variant = results.as.list[1];
  EXPECT_EQ(variant.flags, BP_VALUE_VARIANT) << "(si) is not (sv)";
  EXPECT_EQ(variant.aux, BP_TYPE(BP_T_STRING, 0));
  EXPECT_EQ(text_of(variant.as.list[1]), "green");
  EXPECT_TRUE(value_is_text(find_header(&call.out(), BP_H_NATIVE_TYPE), "(si)vha{sv}"));
}

TEST_P(DbusValues, AnEmptyDictionarySaysTheTypeOfItsEntries) {
  Operation call(*this, BP_V_CALL, open("bus/Exchange"));
  ASSERT_EQ(call.body(arguments()).run(), BP_OK);
  const bp_value& typed = call.out().body.as.list[3];
  ASSERT_EQ(typed.tag, BP_T_TYPED);
  EXPECT_EQ(text_of(typed.as.list[0]), "dbus:a{sv}");
  EXPECT_EQ(typed.as.list[1].tag, BP_T_MAP);
  EXPECT_EQ(typed.as.list[1].len, 0u);
}

TEST_P(DbusValues, ADescriptorThatIsPassedInIsUsedAndStaysTheCallers) {
  Operation call(*this, BP_V_CALL, open("bus/Exchange"));
  ASSERT_EQ(call.body(arguments()).run(), BP_OK);
  EXPECT_TRUE(is_open(write_end_.get()));
  write_end_.reset();
  EXPECT_EQ(read_all(read_end_.get()), "written by the bus") << "up to the end: nobody else has it";
}

TEST_P(DbusValues, ADescriptorInAResultLivesAsLongAsTheOwnerAndADuplicateLonger) {
  Descriptor duplicate;
  int borrowed = -1;
  {
    Operation call(*this, BP_V_CALL, open("bus/Exchange"));
    ASSERT_EQ(call.body(arguments()).run(), BP_OK);
    const bp_value& descriptor = call.out().body.as.list[2];
    ASSERT_EQ(descriptor.tag, BP_T_FD);
    ASSERT_NE(call.out().owner, nullptr) << "somebody has to close it";
    borrowed = static_cast<int>(descriptor.as.i);
    EXPECT_TRUE(is_open(borrowed));
    duplicate.reset(fcntl(borrowed, F_DUPFD_CLOEXEC, 0));
  }
  EXPECT_FALSE(is_open(borrowed)) << "released with its owner";
  ASSERT_EQ(lseek(duplicate.get(), 0, SEEK_SET), 0);
  EXPECT_EQ(read_all(duplicate.get()), "read by the caller");
}

TEST_P(DbusValues, ADescriptorThatIsKeptIsUsableAfterItsSenderClosedIt) {
  const bp_ref kept = open("bus/Kept");
  EXPECT_EQ(Operation(*this, BP_V_WRITE, kept).body(value_fd(write_end_.get())).run(), BP_OK);
  write_end_.reset();
  {
    Operation read(*this, BP_V_READ, kept);
    ASSERT_EQ(read.run(), BP_OK);
    ASSERT_EQ(read.out().body.tag, BP_T_FD);
    EXPECT_EQ(::write(static_cast<int>(read.out().body.as.i), "still here", 10), 10);
  }
  EXPECT_EQ(Operation(*this, BP_V_WRITE, kept).run(), BP_OK);  // lets go of it
  EXPECT_EQ(read_all(read_end_.get()), "still here");
}

TEST_P(DbusValues, AnErrorKeepsItsNameAndItsArguments) {
  Operation call(*this, BP_V_CALL, open("bus/Fail"));
  EXPECT_EQ(call.run(), BP_NOT_FOUND);
  EXPECT_TRUE(value_is_text(find_header(&call.out(), BP_H_ERROR_NAME), "org.example.Error.NoLamp"));
  ASSERT_EQ(call.out().body.len, 2u);
  EXPECT_EQ(text_of(call.out().body.as.list[0]), "no such lamp");
  EXPECT_EQ(call.out().body.as.list[1].as.i, 7);
}

INSTANTIATE_TEST_SUITE_P(, DbusValues,
                         testing::Values(Form::kLinked, Form::kLoaded, Form::kIsolated), form_name);

}  // namespace
}  // namespace backplane::test
