// SPDX-License-Identifier: Apache-2.0
// The life of instances, opening addresses, permissions, and what the host gives them.
#include "backplane/service/executor.h"
#include "support/eventually.hpp"
#include "support/scripted_plugin.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

namespace backplane::test {
namespace {

struct Info {
  std::uint32_t life = 99;
  std::uint32_t state = 99;
  std::string detail;
  std::uint64_t pending = 99;
};
Info info(ScriptedKernel& kernel) {
  Info found;
  bp_kernel_visit_instances(
      kernel.kernel,
      [](void* user, const bp_instance_info* info) {
        auto* out = static_cast<Info*>(user);
        if (std::string_view(info->name.ptr, info->name.len) != "it") return;
        *out = {info->life, info->state, std::string(info->detail.ptr, info->detail.len),
                info->pending};
      },
      &found);
  return found;
}

TEST(PluginInstance, RunsThroughItsLifeInOrder) {
  Script script;
  std::vector<std::string> steps;
  script.create = [&](const bp_value&, bp_error*) {
    steps.emplace_back("create");
    return BP_OK;
  };
  script.start = [&](bp_op*) {
    steps.emplace_back("start");
    return BP_OK;
  };
  script.drain = [&](bp_op*) {
    steps.emplace_back("drain");
    return BP_OK;
  };
  script.stop = [&](bp_op*) {
    steps.emplace_back("stop");
    return BP_OK;
  };
  {
    ScriptedKernel sut;
    EXPECT_EQ(sut.start(), BP_OK);
    EXPECT_EQ(info(sut).life, BP_LIFE_STARTED);
    EXPECT_EQ(sut.stop(), BP_OK);
    EXPECT_EQ(info(sut).life, BP_LIFE_DESTROYED);
    EXPECT_EQ(sut.stop(), BP_OK) << "stop is idempotent";
  }
  EXPECT_EQ(steps, (std::vector<std::string>{"create", "start", "drain", "stop"}));
  EXPECT_EQ(script.destroyed, 1);
}

TEST(PluginInstance, StartMayPendAndCompleteOnAnotherThread) {
  Script script;
  std::thread completer;
  ScriptedKernel sut;
  script.start = [&](bp_op* op) {
    completer = std::thread([&, op] { sut.service->complete(script.host, op, BP_OK); });
    return BP_PENDING;
  };
  EXPECT_EQ(sut.start(), BP_OK);
  completer.join();
}

TEST(PluginInstance, AFailedStartStopsWhatHadStartedAndSaysWhy) {
  Script script;
  ScriptedKernel sut(
      "[instances.first]\nplugin = \"scripted\"\n[instances.it]\nplugin = \"scripted\"\nafter = "
      "[\"first\"]\n");
  int starts = 0;
  int stops = 0;
  script.start = [&](bp_op* op) -> bp_status {
    if (++starts == 1) return BP_OK;
    op->error->message_len = 7;
    std::copy_n("no luck", 7, op->error->message);
    return BP_UNAVAILABLE;
  };
  script.stop = [&](bp_op*) {
    ++stops;
    return BP_OK;
  };
  bp_error error{};
  EXPECT_EQ(sut.start(&error), BP_UNAVAILABLE);
  EXPECT_EQ(text(error), "instance 'it': no luck");
  EXPECT_EQ(stops, 2);
  EXPECT_EQ(script.destroyed, 2);
}

TEST(PluginInstance, AStartThatNeverCompletesFailsAtItsDeadline) {
  Script script;
  ScriptedKernel sut(
      "[system]\nname = \"t\"\nstart_timeout_s = 0.05\n[instances.it]\nplugin = \"scripted\"\n");
  bool cancelled = false;
  script.start = [](bp_op*) { return BP_PENDING; };
  script.cancel_step = [&](bp_op* op) {
    cancelled = true;
    sut.service->complete(script.host, op, BP_CANCELLED);
  };
  EXPECT_EQ(sut.start(), BP_DEADLINE_EXCEEDED);
  EXPECT_TRUE(cancelled);
}

TEST(PluginInstance, QuarantinesAnInstanceThatMissesItsStopAndAnswersUnavailable) {
  Script script;
  ScriptedKernel sut(
      "[system]\nname = \"t\"\nstop_timeout_s = 0.05\n[instances.it]\nplugin = \"scripted\"\n");
  ASSERT_EQ(sut.start(), BP_OK);
  const bp_ref ref = sut.open("it:x");
  script.submit = [](bp_op*) { return BP_PENDING; };
  std::atomic<int> done{0};
  bp_op* const op = sut.new_op(BP_V_CALL, ref);
  op->user = &done;
  op->done = [](bp_op* finished) { ++*static_cast<std::atomic<int>*>(finished->user); };
  ASSERT_EQ(sut.submit(op), BP_PENDING);
  script.stop = [](bp_op*) { return BP_PENDING; };
  EXPECT_EQ(sut.stop(), BP_DEADLINE_EXCEEDED);
  EXPECT_EQ(info(sut).life, BP_LIFE_QUARANTINED);
  EXPECT_EQ(done, 1) << "what pended is completed for it";
  EXPECT_EQ(op->status, BP_UNAVAILABLE);
  EXPECT_EQ(sut.logged("quarantined"), 1);
  bp_op* const next = sut.new_op(BP_V_READ, ref);
  EXPECT_EQ(sut.submit(next), BP_UNAVAILABLE);
  sut.free_op(next);
  sut.service->complete(script.host, op, BP_OK);  // too late, and harmless
  EXPECT_EQ(done, 1);
  sut.free_op(op);
  EXPECT_EQ(script.destroyed, 0);
}

TEST(PluginInstance, ClosesTheEndpointsThatAreStillOpenWhenItStops) {
  Script script;
  ScriptedKernel sut;
  ASSERT_EQ(sut.start(), BP_OK);
  const bp_ref ref = sut.open("it:x");
  EXPECT_EQ(sut.stop(), BP_OK);
  EXPECT_EQ(script.closed, 1);
  bp_op* const op = sut.new_op(BP_V_READ, ref);
  EXPECT_EQ(sut.submit(op), BP_FAILED_PRECONDITION);
  sut.free_op(op);
}

TEST(PluginInstance, SaysWhatADestroyedPluginLeftBehind) {
  Script script;
  ScriptedKernel sut;
  script.start = [&](bp_op*) {
    sut.service->op_new(script.host);
    return BP_OK;
  };
  ASSERT_EQ(sut.start(), BP_OK);
  EXPECT_EQ(sut.stop(), BP_OK);
  EXPECT_EQ(sut.logged("left 1 operations that it made and did not free"), 1);
}

TEST(PluginInstance, TakesFromTheLoopWhatAPluginLeftThere) {
  Script script;
  ScriptedKernel sut;
  const int fd = eventfd(0, EFD_CLOEXEC);
  std::atomic<int> runs{0};
  script.start = [&](bp_op*) {
    const auto* executor = static_cast<const bp_executor_service*>(
        script.host->get_service(script.host, BP_S_EXECUTOR));
    std::uint64_t id = 0;
    executor->at(
        script.host, INT64_MAX, [](void* user) { ++*static_cast<std::atomic<int>*>(user); }, &runs,
        &id);
    return executor->watch_fd(
        script.host, fd, BP_FD_READ,
        [](void* user, std::uint32_t) { ++*static_cast<std::atomic<int>*>(user); }, &runs, &id);
  };
  ASSERT_EQ(sut.start(), BP_OK);
  EXPECT_EQ(sut.stop(), BP_OK);
  EXPECT_EQ(sut.logged("left 1 timers, 1 watched descriptors"), 1);
  eventfd_write(fd, 1);
  close(fd);
  EXPECT_EQ(runs, 0);
}

// ---- draining ----

constexpr const char* kTwo =
    "[system]\nname = \"t\"\nstop_timeout_s = 0.05\n"
    "[instances.first]\nplugin = \"scripted\"\n"
    "[instances.it]\nplugin = \"scripted\"\nafter = [\"first\"]\n";

TEST(KernelDrain, FinishesEveryInstanceBeforeAStopEndsTheFirst) {
  Script script;
  std::vector<std::string> steps;
  script.drain = [&](bp_op*) {
    steps.emplace_back("drain");
    return BP_OK;
  };
  script.stop = [&](bp_op*) {
    steps.emplace_back("stop");
    return BP_OK;
  };
  ScriptedKernel sut(kTwo);
  ASSERT_EQ(sut.start(), BP_OK);
  EXPECT_EQ(sut.stop(), BP_OK);
  EXPECT_EQ(steps, (std::vector<std::string>{"drain", "drain", "stop", "stop"}));
}

TEST(KernelDrain, IsDoneOnceWhoeverAsksForIt) {
  Script script;
  int drains = 0;
  script.drain = [&](bp_op*) {
    ++drains;
    return BP_OK;
  };
  ScriptedKernel sut;
  EXPECT_EQ(sut.drain(), BP_OK) << "nothing has started";
  ASSERT_EQ(sut.start(), BP_OK);
  EXPECT_EQ(sut.drain(), BP_OK);
  EXPECT_EQ(sut.drain(), BP_OK);
  EXPECT_EQ(sut.stop(), BP_OK);
  EXPECT_EQ(sut.drain(), BP_OK);
  EXPECT_EQ(drains, 1);
}

TEST(KernelDrain, KeepsWhatIsOpenAndOpensNothingMore) {
  Script script;
  ScriptedKernel sut;
  ASSERT_EQ(sut.start(), BP_OK);
  const bp_ref ref = sut.open("it:x");
  ASSERT_EQ(sut.drain(), BP_OK);
  EXPECT_EQ(info(sut).life, BP_LIFE_DRAINING);
  EXPECT_EQ(script.closed, 0);
  bp_op* const op = sut.new_op(BP_V_READ, ref);
  EXPECT_EQ(sut.submit(op), BP_OK) << "what it still takes is the plugin's to say";
  bp_error error{};
  op->error = &error;
  EXPECT_EQ(sut.service->open(sut.host, BP_STR("it:y"), nullptr, op), BP_UNAVAILABLE);
  EXPECT_EQ(text(error), "instance 'it' is draining: it takes no new work");
  sut.free_op(op);
  EXPECT_EQ(sut.stop(), BP_OK);
  EXPECT_EQ(script.closed, 1);
}

TEST(KernelDrain, MakesNoInstanceOfAUrlAnyMore) {
  Script script;
  std::atomic<int> creates{0};
  script.create = [&](const bp_value&, bp_error*) {
    ++creates;
    return BP_OK;
  };
  ScriptedKernel sut("");
  ASSERT_EQ(sut.start(), BP_OK);
  ASSERT_EQ(sut.drain(), BP_OK);
  bp_op* const op = sut.service->op_new(sut.host);
  EXPECT_EQ(sut.service->open(sut.host, BP_STR("scripted://host/x"), nullptr, op), BP_UNAVAILABLE);
  EXPECT_EQ(creates, 0);
  sut.free_op(op);
}

TEST(KernelDrain, GoesOnAfterAnErrorAndReturnsTheFirstThatOfADependent) {
  Script script;
  int drains = 0;
  script.drain = [&](bp_op*) {
    ++drains;
    return BP_INTERNAL;
  };
  ScriptedKernel sut(kTwo);
  ASSERT_EQ(sut.start(), BP_OK);
  bp_error error{};
  EXPECT_EQ(bp_kernel_drain(sut.kernel, &error), BP_INTERNAL);
  EXPECT_EQ(text(error), "instance 'it': failed without a reason");
  EXPECT_EQ(drains, 2);
  EXPECT_EQ(sut.stop(), BP_OK);
  EXPECT_EQ(script.destroyed, 2);
}

TEST(KernelDrain, LeavesBehindWhatIsNotDoneAtTheDeadline) {
  Script script;
  ScriptedKernel sut(kTwo);
  ASSERT_EQ(sut.start(), BP_OK);
  bool cancelled = false;
  script.drain = [](bp_op*) { return BP_PENDING; };
  script.cancel_step = [&](bp_op* op) {
    cancelled = true;
    sut.service->complete(script.host, op, BP_CANCELLED);
  };
  EXPECT_EQ(sut.drain(), BP_DEADLINE_EXCEEDED);
  EXPECT_TRUE(cancelled);
  EXPECT_EQ(sut.stop(), BP_OK);
  EXPECT_EQ(info(sut).life, BP_LIFE_DESTROYED);
}

// ---- opening ----

bp_status open(ScriptedKernel& kernel, std::string_view address, bp_error& error) {
  bp_op* const op = kernel.service->op_new(kernel.host);
  op->error = &error;
  const bp_status status =
      kernel.service->open(kernel.host, {address.data(), address.size()}, nullptr, op);
  kernel.free_op(op);
  return status;
}

TEST(OpenAddress, GivesThePluginThePathVerbatim) {
  Script script;
  ScriptedKernel sut;
  ASSERT_EQ(sut.start(), BP_OK);
  std::string path;
  script.open = [&](std::string_view given, bp_op*, bp_endpoint* out) {
    path = given;
    *out = Script::endpoint();
    return BP_OK;
  };
  sut.open("it:ns=1;s=Line1:Temp/a b");
  EXPECT_EQ(path, "ns=1;s=Line1:Temp/a b");
}

TEST(OpenAddress, IsRefusedBeforeTheStart) {
  Script script;
  ScriptedKernel sut;
  bp_error error{};
  for (const char* address : {"it:x", "nobody:x", "scripted://host/x"}) {
    EXPECT_EQ(open(sut, address, error), BP_FAILED_PRECONDITION) << address;
    EXPECT_EQ(text(error), "the kernel has not been started") << address;
  }
}

TEST(KernelStart, IsRefusedAfterAManifestThatIs) {
  Script script;
  bp_kernel* kernel = nullptr;
  ASSERT_EQ(bp_kernel_create(nullptr, &kernel, nullptr), BP_OK);
  bp_error error{};
  const auto load = [&](bp_str text) {
    return bp_kernel_load_text(kernel, BP_STR("t.toml"), text, nullptr, nullptr, &error);
  };
  EXPECT_EQ(load(BP_STR("[instances.it]\nplugin = \"nothing\"\n")), BP_INVALID_ARGUMENT);
  EXPECT_EQ(bp_kernel_start(kernel, &error), BP_FAILED_PRECONDITION);
  EXPECT_EQ(text(error), "the manifest was refused: load one without mistakes first");
  EXPECT_EQ(load(BP_STR("")), BP_OK);
  EXPECT_EQ(bp_kernel_start(kernel, &error), BP_OK);
  bp_kernel_destroy(kernel);
}

TEST(KernelStop, IsRefusedOnTheLoopThatItWaitsFor) {
  Script script;
  ScriptedKernel sut;
  ASSERT_EQ(sut.start(), BP_OK);
  const auto* executor =
      static_cast<const bp_executor_service*>(sut.host->get_service(sut.host, BP_S_EXECUTOR));
  struct Seen {
    bp_kernel* kernel;
    bp_status start, drain, stop;
    bp_error error;
    std::atomic<bool> is_done{false};
  } seen{sut.kernel, BP_OK, BP_OK, BP_OK, {}};
  const auto task = [](void* user) {
    auto& all = *static_cast<Seen*>(user);
    all.start = bp_kernel_start(all.kernel, &all.error);
    all.drain = bp_kernel_drain(all.kernel, &all.error);
    all.stop = bp_kernel_stop(all.kernel, &all.error);
    all.is_done = true;
  };
  ASSERT_EQ(executor->post(sut.host, task, &seen), BP_OK);
  ASSERT_TRUE(eventually([&] { return seen.is_done.load(); }));
  EXPECT_EQ(seen.start, BP_FAILED_PRECONDITION);
  EXPECT_EQ(seen.drain, BP_FAILED_PRECONDITION);
  EXPECT_EQ(seen.stop, BP_FAILED_PRECONDITION);
  EXPECT_NE(text(seen.error).find("another thread"), std::string::npos) << text(seen.error);
  EXPECT_EQ(info(sut).life, BP_LIFE_STARTED);
}

TEST(OpenAddress, NamesTheNearestInstance) {
  Script script;
  ScriptedKernel sut("[instances.sensors]\nplugin = \"scripted\"\n");
  ASSERT_EQ(sut.start(), BP_OK);
  bp_error error{};
  EXPECT_EQ(open(sut, "sensor:x", error), BP_NOT_FOUND);
  EXPECT_EQ(text(error), "unknown instance 'sensor', did you mean 'sensors'?");
  EXPECT_EQ(open(sut, "nothing", error), BP_INVALID_ARGUMENT);
  EXPECT_EQ(text(error),
            "'nothing' is no address, expected instance:path or scheme://authority/path");
}

TEST(OpenAddress, PassesOnThePluginsRefusal) {
  Script script;
  ScriptedKernel sut;
  ASSERT_EQ(sut.start(), BP_OK);
  script.open = [](std::string_view, bp_op*, bp_endpoint*) { return BP_NOT_FOUND; };
  bp_error error{};
  EXPECT_EQ(open(sut, "it:x", error), BP_NOT_FOUND);
  EXPECT_EQ(script.closed, 0);
}

TEST(OpenAddress, MayPendAndBeCancelled) {
  Script script;
  ScriptedKernel sut;
  ASSERT_EQ(sut.start(), BP_OK);
  bp_op* seen = nullptr;
  script.open = [&](std::string_view, bp_op* op, bp_endpoint* out) {
    *out = Script::endpoint();
    seen = op;
    return BP_PENDING;
  };
  script.cancel_step = [&](bp_op* op) { sut.service->complete(script.host, op, BP_CANCELLED); };
  std::atomic<int> done{0};
  bp_op* const op = sut.service->op_new(sut.host);
  op->user = &done;
  op->done = [](bp_op* finished) { ++*static_cast<std::atomic<int>*>(finished->user); };
  EXPECT_EQ(sut.service->open(sut.host, BP_STR("it:x"), nullptr, op), BP_PENDING);
  sut.service->complete(script.host, seen, BP_OK);
  EXPECT_EQ(done, 1);
  EXPECT_EQ(op->out.body.tag, BP_T_REF);
  sut.service->close(sut.host, op->out.body.as.u);
  EXPECT_EQ(sut.service->open(sut.host, BP_STR("it:x"), nullptr, op), BP_PENDING);
  sut.service->cancel(sut.host, op);
  EXPECT_EQ(done, 2);
  EXPECT_EQ(op->status, BP_CANCELLED);
  sut.free_op(op);
}

TEST(OpenAddress, TakesNoCreditAndNoAcknowledgementWhileItPends) {
  Script script;
  ScriptedKernel sut;
  ASSERT_EQ(sut.start(), BP_OK);
  bp_op* seen = nullptr;
  script.open = [&](std::string_view, bp_op* op, bp_endpoint* out) {
    *out = Script::endpoint();
    seen = op;
    return BP_PENDING;
  };
  bp_op* const op = sut.service->op_new(sut.host);
  op->done = [](bp_op*) {};
  EXPECT_EQ(sut.service->open(sut.host, BP_STR("it:x"), nullptr, op), BP_PENDING);
  sut.service->credit(sut.host, op, 1);
  sut.service->ack(sut.host, op, 1, BP_OK);
  sut.service->complete(script.host, seen, BP_OK);
  EXPECT_EQ(op->status, BP_OK);
  sut.service->close(sut.host, op->out.body.as.u);
  sut.free_op(op);
}

TEST(OpenAddress, AUrlMakesAnInstanceOnceAndOthersShareIt) {
  Script script;
  ScriptedKernel sut("");
  ASSERT_EQ(sut.start(), BP_OK);
  std::atomic<int> creates{0};
  std::string url;
  script.create = [&](const bp_value& config, bp_error*) {
    ++creates;
    for (std::uint32_t i = 0; i < config.len; ++i) {
      if (std::string_view(config.as.map[i].key.as.s, config.as.map[i].key.len) == "url") {
        url.assign(config.as.map[i].val.as.s, config.as.map[i].val.len);
      }
    }
    return BP_OK;
  };
  std::atomic<int> done{0};
  std::vector<bp_op*> ops;
  for (int i = 0; i < 3; ++i) {
    ops.push_back(sut.service->op_new(sut.host));
    ops.back()->user = &done;
    ops.back()->done = [](bp_op* op) { ++*static_cast<std::atomic<int>*>(op->user); };
    // Inline when the instance runs already.
    if (sut.service->open(sut.host, BP_STR("scripted://somewhere:1/a/b"), nullptr, ops.back()) !=
        BP_PENDING) {
      ++done;
    }
  }
  ASSERT_TRUE(eventually([&] { return done == 3; }));
  for (bp_op* op : ops) {
    EXPECT_EQ(op->status, BP_OK);
    sut.free_op(op);
  }
  EXPECT_EQ(creates, 1);
  EXPECT_EQ(url, "scripted://somewhere:1");
}

TEST(OpenAddress, AUrlThatFailedToStartIsTriedAgain) {
  Script script;
  ScriptedKernel sut("");
  ASSERT_EQ(sut.start(), BP_OK);
  int starts = 0;
  script.start = [&](bp_op*) { return ++starts == 1 ? BP_UNAVAILABLE : BP_OK; };
  for (const bp_status expected : {BP_UNAVAILABLE, BP_OK}) {
    std::atomic<int> done{0};
    bp_op* const op = sut.service->op_new(sut.host);
    op->user = &done;
    op->done = [](bp_op* finished) { ++*static_cast<std::atomic<int>*>(finished->user); };
    EXPECT_EQ(sut.service->open(sut.host, BP_STR("scripted://host/x"), nullptr, op), BP_PENDING);
    ASSERT_TRUE(eventually([&] { return done == 1; }));
    EXPECT_EQ(op->status, expected);
    sut.free_op(op);
  }
}

TEST(OpenAddress, RefusesAnInstanceWhatItWasNotGranted) {
  Script script;
  ScriptedKernel sut(
      "[instances.it]\nplugin = \"scripted\"\n[instances.it.allow]\nread = [\"it:open/*\"]\nwrite "
      "= [\"it:open/both\"]\n",
      "[permissions]\nread = [\"*\"]\nwrite = [\"*\"]\n");
  ASSERT_EQ(sut.start(), BP_OK);
  const auto open_as_it = [&](std::string_view address, std::uint16_t verb) {
    bp_op* const op = sut.service->op_new(script.host);
    bp_status status =
        sut.service->open(script.host, {address.data(), address.size()}, nullptr, op);
    if (status == BP_OK) {
      op->target = op->out.body.as.u;
      op->verb = verb;
      const bp_ref ref = op->target;
      status = sut.service->submit(script.host, op);
      sut.service->close(script.host, ref);
    }
    sut.service->op_free(script.host, op);
    return status;
  };
  EXPECT_EQ(open_as_it("it:open/x", BP_V_READ), BP_OK);
  EXPECT_EQ(open_as_it("it:open/x", BP_V_WRITE), BP_UNIMPLEMENTED);
  EXPECT_EQ(open_as_it("it:open/both", BP_V_WRITE), BP_OK);
  EXPECT_EQ(open_as_it("it:closed/x", BP_V_READ), BP_PERMISSION_DENIED);
}

TEST(OpenAddress, GrantsAVerbWithItsFlags) {
  Script script;
  ScriptedKernel sut("[instances.it]\nplugin = \"scripted\"\nallow.watch = [\"it:x\"]\n",
                     "[permissions]\nwatch = [\"*\"]\n");
  ASSERT_EQ(sut.start(), BP_OK);
  bp_op* const op = sut.service->op_new(script.host);
  ASSERT_EQ(sut.service->open(script.host, BP_STR("it:x"), nullptr, op), BP_OK);
  const bp_ref ref = op->out.body.as.u;
  EXPECT_EQ(sut.service->verbs(script.host, ref), BP_VERB_BIT(BP_V_WATCH) | BP_CAN_ACK);
  sut.service->close(script.host, ref);
  sut.service->op_free(script.host, op);
}

// ---- services ----

TEST(HostServices, GivesOnlyWhatTheManifestAskedFor) {
  Script script;
  ScriptedKernel sut;
  ASSERT_EQ(sut.start(), BP_OK);
  EXPECT_NE(script.host->get_service(script.host, BP_S_ENDPOINT), nullptr);
  EXPECT_NE(script.host->get_service(script.host, BP_S_LOG), nullptr);
  EXPECT_EQ(script.host->get_service(script.host, BP_S_QUEUE), nullptr);
  EXPECT_EQ(script.host->get_service(script.host, "bp.nothing/1"), nullptr);
  EXPECT_NE(sut.host->get_service(sut.host, BP_S_QUEUE), nullptr) << "the application has all";
}

TEST(HostServices, GivesNoneThatTheOperatorDoesNotAllow) {
  Script script;
  ScriptedKernel sut(
      "[instances.it]\nplugin = \"scripted\"\nallow.services = [\"bp.endpoint/1\", "
      "\"bp.state/1\"]\n");
  ASSERT_EQ(sut.start(), BP_OK);
  EXPECT_NE(script.host->get_service(script.host, BP_S_ENDPOINT), nullptr);
  EXPECT_NE(script.host->get_service(script.host, BP_S_STATE), nullptr);
  EXPECT_EQ(script.host->get_service(script.host, BP_S_LOG), nullptr);
}

TEST(Host, KnowsTheNameOfTheSystem) {
  Script script;
  ScriptedKernel sut("[system]\nname = \"plant\"\n[instances.it]\nplugin = \"scripted\"\n");
  ASSERT_EQ(sut.start(), BP_OK);
  EXPECT_EQ(std::string(script.host->system.ptr, script.host->system.len), "plant");
  EXPECT_EQ(std::string(sut.host->system.ptr, sut.host->system.len), "plant");
}

TEST(Host, KnowsThatTheSystemHasNoName) {
  Script script;
  ScriptedKernel sut;
  ASSERT_EQ(sut.start(), BP_OK);
  EXPECT_EQ(script.host->system.len, 0U);
}

TEST(HostServices, ShowsTheStateThatAnInstanceReports) {
  Script script;
  ScriptedKernel sut;
  ASSERT_EQ(sut.start(), BP_OK);
  const auto* state =
      static_cast<const bp_state_service*>(script.host->get_service(script.host, BP_S_STATE));
  EXPECT_EQ(info(sut).state, BP_STATE_IDLE);
  state->report(script.host, BP_STATE_CONNECTING, BP_STR("refused, next try in 1 s"));
  state->report(script.host, BP_STATE_CONNECTING, BP_STR("refused, next try in 2 s"));
  EXPECT_EQ(info(sut).state, BP_STATE_CONNECTING);
  EXPECT_EQ(info(sut).detail, "refused, next try in 2 s");
}

TEST(HostServices, LogsWhyATryFailedAndNotEachTime) {
  Script script;
  ScriptedKernel sut;
  ASSERT_EQ(sut.start(), BP_OK);
  const auto* state =
      static_cast<const bp_state_service*>(script.host->get_service(script.host, BP_S_STATE));
  state->report(script.host, BP_STATE_CONNECTING, BP_STR("first try"));
  state->report(script.host, BP_STATE_CONNECTING, BP_STR("refused (failure 1)"));
  state->report(script.host, BP_STATE_CONNECTING, BP_STR("refused (failure 2)"));
  EXPECT_EQ(sut.logged("connecting: refused (failure 1)"), 1);
  EXPECT_EQ(sut.logged("connecting: refused"), 1);
  state->report(script.host, BP_STATE_UP, BP_STR("connected"));
  state->report(script.host, BP_STATE_UP, BP_STR("connected to another"));
  state->report(script.host, BP_STATE_CONNECTING, BP_STR("lost"));
  state->report(script.host, BP_STATE_CONNECTING, BP_STR("lost"));
  state->report(script.host, BP_STATE_CONNECTING, BP_STR("refused (failure 3)"));
  EXPECT_EQ(sut.logged("up: "), 1);
  EXPECT_EQ(sut.logged("connecting: lost"), 1);
  EXPECT_EQ(sut.logged("connecting: refused (failure 3)"), 1) << "the reason is another one";
}

TEST(HostServices, CountsBuffersUntilTheyAreReleasedEvenAfterTheKernel) {
  Script script;
  bp_buffer* buffer = nullptr;
  {
    ScriptedKernel sut;
    ASSERT_EQ(sut.start(), BP_OK);
    const auto* buffers =
        static_cast<const bp_buffers_service*>(script.host->get_service(script.host, BP_S_BUFFERS));
    ASSERT_EQ(buffers->allocate(script.host, 100, &buffer), BP_OK);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer->data) % 16, 0u);
    EXPECT_EQ(buffer->len, 100u);
  }
  buffer->ops->release(buffer);
}

class CredentialsService : public ::testing::Test {
 protected:
  CredentialsService() {
    path_ = ::testing::TempDir() + "bp_credential_" + std::to_string(getpid());
    std::ofstream(path_) << "hunter2\n";
    setenv("BP_TEST_SECRET", "from the environment", 1);
    const std::string manifest =
        "[credentials.mine]\nuser = \"plain\"\npassword = \"@file:" + path_ +
        "\"\npsk = \"@env:BP_TEST_SECRET\"\n[credentials.other]\nuser = \"x\"\n"
        "[instances.it]\nplugin = \"scripted\"\ncredentials = \"mine\"\n";
    sut_ = std::make_unique<ScriptedKernel>(manifest);
    EXPECT_EQ(sut_->start(), BP_OK);
    service_ = static_cast<const bp_credentials_service*>(
        script_.host->get_service(script_.host, BP_S_CREDENTIALS));
  }
  ~CredentialsService() override { unlink(path_.c_str()); }

  bp_status get(bp_str name, bp_str field, std::uint32_t flags, std::string& out) {
    bp_buffer* buffer = nullptr;
    error_ = bp_error{};
    const bp_status status = service_->get(script_.host, name, field, flags, &buffer, &error_);
    if (status == BP_OK) {
      out.assign(static_cast<const char*>(buffer->data), buffer->len);
      if ((flags & BP_CREDENTIAL_AS_FILE) != 0) {
        std::ifstream file(out);
        out.assign(std::istreambuf_iterator<char>(file), {});
      }
      buffer->ops->release(buffer);
    }
    return status;
  }

  std::string path_;
  Script script_;
  std::unique_ptr<ScriptedKernel> sut_;
  const bp_credentials_service* service_ = nullptr;
  bp_error error_{};
};

TEST_F(CredentialsService, ReadsTextFilesAndTheEnvironment) {
  std::string out;
  EXPECT_EQ(get(BP_STR("mine"), BP_STR("user"), 0, out), BP_OK);
  EXPECT_EQ(out, "plain");
  EXPECT_EQ(get(BP_STR("mine"), BP_STR("password"), 0, out), BP_OK);
  EXPECT_EQ(out, "hunter2") << "without the line end of an editor";
  EXPECT_EQ(get(BP_STR("mine"), BP_STR("psk"), 0, out), BP_OK);
  EXPECT_EQ(out, "from the environment");
}

TEST_F(CredentialsService, GivesTheContentAsAFileToLibrariesThatWantOne) {
  std::string out;
  EXPECT_EQ(get(BP_STR("mine"), BP_STR("user"), BP_CREDENTIAL_AS_FILE, out), BP_OK);
  EXPECT_EQ(out, "plain");
  EXPECT_EQ(get(BP_STR("mine"), BP_STR("password"), BP_CREDENTIAL_AS_FILE, out), BP_OK);
  EXPECT_EQ(out, "hunter2\n");
}

TEST_F(CredentialsService, SeesARenewedFile) {
  std::string out;
  std::ofstream(path_) << "renewed";
  EXPECT_EQ(get(BP_STR("mine"), BP_STR("password"), 0, out), BP_OK);
  EXPECT_EQ(out, "renewed");
}

TEST_F(CredentialsService, WarnsOnceOfARenewedSecretThatEverybodyCanRead) {
  std::string out;
  ASSERT_EQ(chmod(path_.c_str(), 0600), 0);
  EXPECT_EQ(get(BP_STR("mine"), BP_STR("password"), 0, out), BP_OK);
  EXPECT_EQ(sut_->logged("everybody can read it"), 0);
  ASSERT_EQ(chmod(path_.c_str(), 0644), 0);
  EXPECT_EQ(get(BP_STR("mine"), BP_STR("password"), 0, out), BP_OK);
  EXPECT_EQ(get(BP_STR("mine"), BP_STR("password"), 0, out), BP_OK);
  EXPECT_EQ(sut_->logged("everybody can read it"), 1);
}

TEST_F(CredentialsService, RefusesWhatTheConfigurationDoesNotName) {
  std::string out;
  EXPECT_EQ(get(BP_STR("other"), BP_STR("user"), 0, out), BP_PERMISSION_DENIED);
  EXPECT_EQ(get(BP_STR("mine"), BP_STR("key"), 0, out), BP_NOT_FOUND);
  EXPECT_EQ(text(error_), "[credentials.mine] has no key");
}

TEST_F(CredentialsService, NeverTakesAFieldThatCannotBeReadForNone) {
  std::string out;
  unlink(path_.c_str());
  EXPECT_EQ(get(BP_STR("mine"), BP_STR("password"), 0, out), BP_PERMISSION_DENIED);
  EXPECT_EQ(error_.native, ENOENT);
  EXPECT_NE(text(error_).find(path_), std::string::npos) << text(error_);
  unsetenv("BP_TEST_SECRET");
  EXPECT_EQ(get(BP_STR("mine"), BP_STR("psk"), 0, out), BP_PERMISSION_DENIED);
}

TEST_F(CredentialsService, ReadsFilesOfAnySizeAndThoseThatTellNone) {
  std::string out;
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{1} << 20U}) {
    std::ofstream(path_, std::ios::trunc) << std::string(size, 'x');
    EXPECT_EQ(get(BP_STR("mine"), BP_STR("password"), 0, out), BP_OK);
    EXPECT_EQ(out.size(), size);
  }
  std::ofstream(path_, std::ios::app) << 'x';
  EXPECT_EQ(get(BP_STR("mine"), BP_STR("password"), 0, out), BP_PERMISSION_DENIED);
  EXPECT_EQ(error_.native, EFBIG);
  unlink(path_.c_str());
  ASSERT_EQ(symlink("/proc/self/stat", path_.c_str()), 0);
  EXPECT_EQ(get(BP_STR("mine"), BP_STR("password"), 0, out), BP_OK);
  EXPECT_FALSE(out.empty());
}

TEST_F(CredentialsService, ReadsWhatAnotherProgramWritesIntoAPipe) {
  unlink(path_.c_str());
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  std::thread writer([this] { std::ofstream(path_) << "hunter3\n"; });
  std::string out;
  EXPECT_EQ(get(BP_STR("mine"), BP_STR("password"), 0, out), BP_OK) << text(error_);
  EXPECT_EQ(out, "hunter3");
  writer.join();
}

}  // namespace
}  // namespace backplane::test
