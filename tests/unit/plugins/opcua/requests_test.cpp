// SPDX-License-Identifier: Apache-2.0
#include "requests.hpp"

#include "backplane/sdk/endpoint_object.hpp"
#include "support/fake_host.hpp"
#include "support/watch_probe.hpp"

#include <gmock/gmock.h>

namespace backplane::opcua {
namespace {

using testing::HasSubstr;

/// Its operations wait.
class Waiting final {
 public:
  Waiting(Requests& requests, std::vector<uint64_t>& keys) : requests_(requests), keys_(keys) {}
  Status read(Op op) { return requests_.add(op, keys_.emplace_back()); }
  void cancel(Op op) noexcept { requests_.cancel(op); }

 private:
  Requests& requests_;
  std::vector<uint64_t>& keys_;
};

class AFewRequests : public testing::Test {
 protected:
  static constexpr size_t kMost = 2;
  std::unique_ptr<test::WatchProbe> read() {
    return std::make_unique<test::WatchProbe>(
        host_, target_,
        test::WatchProbe::Options{.overflow = {}, .on_message = {}, .verb = BP_V_READ});
  }
  void TearDown() override { host_.services().endpoint.close(host_.raw(), target_); }

  test::FakeHost fake_;
  const Host host_{fake_.raw()};
  Requests sut_{host_, kMost};
  std::vector<uint64_t> keys_;
  const bp_ref target_ =
      fake_.adopt_endpoint(make_endpoint(std::make_unique<Waiting>(sut_, keys_)));
};

TEST_F(AFewRequests, RefuseOneMoreUntilThereIsRoom) {
  auto first = read();
  const auto second = read();
  const auto third = read();
  EXPECT_FALSE(first->done() || second->done());
  ASSERT_TRUE(third->done());
  EXPECT_EQ(third->outcome().code(), BP_RESOURCE_EXHAUSTED);
  EXPECT_THAT(std::string(third->outcome().message()), HasSubstr("'max_requests'"));
  first->cancel();
  const auto fourth = read();
  EXPECT_FALSE(fourth->done());
}

TEST_F(AFewRequests, AreNotAnsweredByWhatComesTooLateForTheOneBefore) {
  auto first = read();
  first->cancel();
  const auto second = read();
  const auto third = read();
  sut_.fail(keys_[0], Status(BP_UNAVAILABLE));
  EXPECT_FALSE(sut_.take_back(keys_[0]));
  EXPECT_FALSE(second->done() || third->done());
  EXPECT_EQ(first->outcome().code(), BP_CANCELLED);
  sut_.reply(keys_[1], MessageView(), Status::ok());
  EXPECT_TRUE(second->done());
  sut_.fail(keys_[2], Status(BP_UNAVAILABLE));
  EXPECT_EQ(third->outcome().code(), BP_UNAVAILABLE);
}

TEST_F(AFewRequests, AreNotKnownToBeDoneWhenTheyAreClosed) {
  const auto sent = read();
  sut_.close(Status(BP_UNAVAILABLE, "stopping"));
  const auto late = read();
  EXPECT_EQ(sent->outcome().message(), "stopping: whether it was done is not known");
  EXPECT_EQ(late->outcome().message(), "stopping");
}

}  // namespace
}  // namespace backplane::opcua
