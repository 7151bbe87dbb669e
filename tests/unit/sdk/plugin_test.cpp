// SPDX-License-Identifier: Apache-2.0
#include "backplane/sdk/plugin.hpp"

#include "support/fake_host.hpp"

#include <gtest/gtest.h>

namespace backplane {
namespace {

class Level final {
 public:
  explicit Level(int& alive) : alive_(alive) { ++alive_; }
  ~Level() { --alive_; }
  Status read(Op op) { return op.reply(1.5); }
  Status write(Op) { throw std::runtime_error("the valve is stuck"); }

 private:
  int& alive_;
};

int endpoints_alive = 0;

class Tank final : public Plugin {
 public:
  Tank(const bp_host* raw, const Config& config) : Plugin(raw), name_(config.string("name")) {}
  Status start(Op op) override {
    starting_ = op;
    return Status::pending();
  }
  void cancel(Op op) noexcept override {
    if (op == starting_) host().complete(std::exchange(starting_, Op()), Status(BP_CANCELLED));
  }
  Status open(std::string_view path, MessageView options, OpenOp op) override {
    if (path != "level") return Status(BP_NOT_FOUND, "tank '", name_, "' has no '", path, "'");
    const bool read_only = options.header<bool>("read_only").value_or(false);
    return op.give(std::make_unique<Level>(endpoints_alive),
                   read_only ? BP_VERB_BIT(BP_V_READ) : verbs_of<Level>());
  }

 private:
  std::string name_;
  Op starting_;
};

}  // namespace
}  // namespace backplane

BACKPLANE_PLUGIN(backplane::Tank, "tank", "1.2.3", BP_PLUGIN_MULTI_INSTANCE, BP_S_ENDPOINT,
                 BP_S_EXECUTOR);

namespace backplane {
namespace {

const bp_plugin& table() {
  const bp_offer offer{BP_SIZE_TO(bp_offer, kernel_version), 0, 5, 0, 0, {}};
  const bp_plugin* out = nullptr;
  bp_error error{};
  EXPECT_EQ(bp_plugin_entry_1(&offer, &out, &error), BP_OK);
  return *out;
}

struct APlugin : ::testing::Test {
  bp_status create(ValueView config) {
    return table().create(fake.raw(), &config, &instance, &error);
  }
  void create() { ASSERT_EQ(create(arena.map({{"name", "north"}})), BP_OK); }
  ~APlugin() override {
    if (instance != nullptr) table().destroy(instance);
  }
  bp_status open(std::string_view path, const bp_message* options = nullptr) {
    op.error = &error;
    return table().open(instance, to_str(path), options, &op, &endpoint);
  }

  test::FakeHost fake;
  StackArena<> arena;
  void* instance = nullptr;
  bp_error error{};
  bp_op op{};
  bp_endpoint endpoint{};
};

TEST_F(APlugin, DescribesItself) {
  EXPECT_EQ(to_view(table().id), "tank");
  EXPECT_EQ(to_view(table().version), "1.2.3");
  EXPECT_EQ(table().flags, BP_PLUGIN_MULTI_INSTANCE);
  EXPECT_STREQ(table().needs[0], BP_S_ENDPOINT);
  EXPECT_STREQ(table().needs[1], BP_S_EXECUTOR);
  EXPECT_EQ(table().needs[2], nullptr);
  EXPECT_EQ(&table(), &table()) << "each call gives the same table";
}

TEST_F(APlugin, DoesNotComeToLifeWithAWrongConfiguration) {
  EXPECT_EQ(create(arena.map({})), BP_INVALID_ARGUMENT);
  EXPECT_EQ(Status::from(BP_INVALID_ARGUMENT, error).message(), "configuration: 'name' is missing");
  EXPECT_EQ(instance, nullptr);
}

TEST_F(APlugin, OpensAndClosesEndpoints) {
  create();
  ASSERT_EQ(open("level"), BP_OK);
  EXPECT_EQ(endpoint.verbs, BP_VERB_BIT(BP_V_READ) | BP_VERB_BIT(BP_V_WRITE));
  EXPECT_EQ(endpoints_alive, 1);
  endpoint.ops->close(endpoint.self);
  EXPECT_EQ(endpoints_alive, 0);
  EXPECT_EQ(open("colour"), BP_NOT_FOUND);
  EXPECT_EQ(Status::from(BP_NOT_FOUND, error).message(), "tank 'north' has no 'colour'");
}

TEST_F(APlugin, NarrowsTheVerbsOfAnEndpoint) {
  create();
  MessageBuilder options;
  options.header("read_only", true);
  ASSERT_EQ(open("level", &options.view()), BP_OK);
  EXPECT_EQ(endpoint.verbs, BP_VERB_BIT(BP_V_READ));
  endpoint.ops->close(endpoint.self);
}

TEST_F(APlugin, LetsNoExceptionOut) {
  create();
  ASSERT_EQ(open("level"), BP_OK);
  op.self = endpoint.self;
  op.verb = BP_V_WRITE;
  EXPECT_EQ(endpoint.ops->submit(&op), BP_INTERNAL);
  EXPECT_NE(Status::from(BP_INTERNAL, error).message().find("the valve is stuck"),
            std::string_view::npos);
  for (const auto verb : {BP_V_WATCH, BP_V_SERVE, BP_V_BROWSE, 0u, 0xFFFFu}) {
    op.verb = static_cast<uint16_t>(verb);
    EXPECT_EQ(endpoint.ops->submit(&op), BP_UNIMPLEMENTED);
  }
  endpoint.ops->cancel(&op);
  endpoint.ops->credit(&op, 1);
  endpoint.ops->ack(&op, 1, BP_OK);
  endpoint.ops->close(endpoint.self);
}

TEST_F(APlugin, MayStartLater) {
  create();
  EXPECT_EQ(table().start(instance, &op), BP_PENDING);
  EXPECT_EQ(table().drain(instance, &op), BP_OK);
  EXPECT_EQ(table().stop(instance, &op), BP_OK);
}

}  // namespace
}  // namespace backplane
