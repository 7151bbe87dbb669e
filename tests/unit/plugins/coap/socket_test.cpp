// SPDX-License-Identifier: Apache-2.0
#include "socket.hpp"

#include <backplane/sdk/unique_handle.hpp>

#include <gmock/gmock.h>

#include <sys/epoll.h>
#include <sys/eventfd.h>

namespace backplane::coap::test {
namespace {

TEST(CoapSocket, SaysWhatAnEpollSetHasAndTells) {
  const UniqueFd set(epoll_create1(EPOLL_CLOEXEC));
  const UniqueFd first(eventfd(0, EFD_CLOEXEC));
  const UniqueFd second(eventfd(0, EFD_CLOEXEC));
  EXPECT_TRUE(polled_by(set.get()).empty());
  constexpr uint64_t kLarge = 0xffff'ffff'ffff'fff0;
  for (const auto& [fd, data] : {Polled{first.get(), 0}, Polled{second.get(), kLarge}}) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = data;
    ASSERT_EQ(epoll_ctl(set.get(), EPOLL_CTL_ADD, fd, &event), 0);
  }
  const auto is = [](int fd, uint64_t data) {
    return testing::AllOf(testing::Field(&Polled::fd, fd), testing::Field(&Polled::data, data));
  };
  EXPECT_THAT(polled_by(set.get()),
              testing::UnorderedElementsAre(is(first.get(), 0), is(second.get(), kLarge)));
}

TEST(CoapSocket, SaysNothingOfWhatIsNoEpollSet) {
  const UniqueFd other(eventfd(0, EFD_CLOEXEC));
  EXPECT_TRUE(polled_by(other.get()).empty());
  EXPECT_TRUE(polled_by(-1).empty());
}

}  // namespace
}  // namespace backplane::coap::test
