// SPDX-License-Identifier: Apache-2.0
#include "plugins/isolation/link/ring.hpp"

#include "plugins/isolation/link/spin_policy.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <semaphore>
#include <string>
#include <thread>
#include <vector>

namespace backplane::isolation {
namespace {

class ARing : public ::testing::Test {
 protected:
  std::string take(size_t most = 100) {
    std::string out(most, '\0');
    out.resize(reader.take(out.data(), most));
    return out;
  }
  void write(const std::string& bytes) {
    writer.put(bytes.data(), bytes.size());
    writer.publish();
  }

  const std::unique_ptr<RingMemory> memory = std::make_unique<RingMemory>();
  RingWriter writer{*memory};
  RingReader reader{*memory};
};

TEST_F(ARing, ShowsWhatWasPublished) {
  EXPECT_TRUE(reader.is_empty());
  writer.put("frame", 5);
  EXPECT_TRUE(reader.is_empty());
  EXPECT_EQ(take(), "");
  writer.publish();
  EXPECT_FALSE(reader.is_empty());
  EXPECT_EQ(take(2), "fr");
  EXPECT_EQ(take(), "ame");
  EXPECT_TRUE(reader.is_empty());
}

TEST_F(ARing, GoesOnAtItsBeginning) {
  const std::string most(RingMemory::kSize - 2, '.');
  write(most);
  EXPECT_EQ(take(most.size()), most);
  EXPECT_EQ(writer.room(), RingMemory::kSize);
  write("abcdef");
  EXPECT_EQ(take(), "abcdef");
}

TEST_F(ARing, TakesAsMuchAsItHasRoomFor) {
  write(std::string(RingMemory::kSize, '.'));
  EXPECT_EQ(writer.room(), 0u);
  take(7);
  EXPECT_EQ(writer.room(), 7u);
}

TEST_F(ARing, WakesAReaderThatSleepsOnce) {
  EXPECT_FALSE(writer.must_wake());
  EXPECT_TRUE(reader.sleep());
  write("x");
  EXPECT_TRUE(writer.must_wake());
  EXPECT_FALSE(writer.must_wake());
  EXPECT_FALSE(reader.sleep()) << "there is something";
  EXPECT_FALSE(writer.must_wake());
  take();
  EXPECT_TRUE(reader.sleep());
  reader.awake();
  EXPECT_FALSE(writer.must_wake());
}

TEST_F(ARing, WakesAWriterThatWaitsForRoomOnce) {
  EXPECT_FALSE(writer.wait()) << "there is room";
  EXPECT_FALSE(reader.must_wake());
  write(std::string(RingMemory::kSize, '.'));
  EXPECT_TRUE(writer.wait());
  take(1);
  EXPECT_TRUE(reader.must_wake());
  EXPECT_FALSE(reader.must_wake());
}

TEST_F(ARing, RefusesCursorsThatCannotBe) {
  write("x");
  for (const uint64_t written : {RingMemory::kSize + 1, UINT64_MAX, uint64_t{0} - 5}) {
    memory->written = written;
    char bytes[8];
    try {
      reader.take(bytes, sizeof bytes);
      ADD_FAILURE() << written;
    } catch (const Error& error) {
      EXPECT_EQ(error.status().code(), BP_DATA_LOSS);
    }
  }
  for (const uint64_t read : {uint64_t{2}, uint64_t{0} - RingMemory::kSize, uint64_t{1} << 40}) {
    memory->read = read;
    EXPECT_EQ(writer.room(), 0u) << read;
    EXPECT_TRUE(writer.wait()) << read;
  }
}

// Each side sleeps whenever it may.
TEST_F(ARing, CarriesAllBytesInOrderBetweenThreadsThatSleep) {
  constexpr size_t kBytes = 20'000'000;
  std::counting_semaphore<> to_reader(0);
  std::counting_semaphore<> to_writer(0);
  std::thread writing([&] {
    std::vector<unsigned char> piece(5000);
    unsigned size = 1;
    for (size_t sent = 0; sent < kBytes;) {
      size = size * 1103515245 + 12345;
      const size_t n =
          std::min({size_t{size >> 16} % piece.size() + 1, writer.room(), kBytes - sent});
      if (n == 0) {
        if (writer.wait()) {
          to_writer.acquire();
        }
        continue;
      }
      for (size_t i = 0; i < n; ++i) {
        piece[i] = static_cast<unsigned char>((sent + i) * 7 >> 3);
      }
      writer.put(piece.data(), n);
      writer.publish();
      if (writer.must_wake()) {
        to_reader.release();
      }
      sent += n;
    }
  });
  size_t wrong = 0;
  std::vector<unsigned char> piece(3000);
  for (size_t have = 0; have < kBytes;) {
    const size_t n = reader.take(piece.data(), piece.size());
    if (n == 0) {
      if (reader.sleep()) {
        to_reader.acquire();
      }
      continue;
    }
    if (reader.must_wake()) {
      to_writer.release();
    }
    for (size_t i = 0; i < n; ++i) {
      wrong += piece[i] != static_cast<unsigned char>((have + i) * 7 >> 3) ? 1 : 0;
    }
    have += n;
  }
  writing.join();
  EXPECT_EQ(wrong, 0u);
  EXPECT_TRUE(reader.is_empty());
}

TEST(ASpinPolicy, TriesLessAndLessWhereItDoesNotHelp) {
  constexpr int64_t kMost = 1000;
  if (std::thread::hardware_concurrency() < 2) {
    GTEST_SKIP() << "with one processor it never tries";
  }
  SpinPolicy sut(kMost);
  const auto frames_until_the_next_try = [&] {
    sut.failed();
    int frames = 1;
    while (sut.end(5) == 0) {
      ++frames;
    }
    return frames;
  };
  EXPECT_EQ(sut.end(5), 5 + kMost);
  std::vector<int> pauses;
  for (int i = 0; i < 8; ++i) {
    pauses.push_back(frames_until_the_next_try());
  }
  EXPECT_EQ(pauses, (std::vector<int>{2, 3, 5, 9, 17, 33, 65, 65}));
  sut.succeeded();
  EXPECT_EQ(sut.end(7), 7 + kMost);
  EXPECT_EQ(frames_until_the_next_try(), 2);
}

TEST(ASpinPolicy, OfZeroNeverTries) { EXPECT_EQ(SpinPolicy(0).end(5), 0); }

}  // namespace
}  // namespace backplane::isolation
