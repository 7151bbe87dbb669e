// SPDX-License-Identifier: Apache-2.0
// Real children under the real guard, on a loop with its own thread.
#include "plugins/process/supervisor.hpp"

#include "support/eventually.hpp"
#include "support/fake_host.hpp"
#include "support/scratch_folder.hpp"
#include "support/watch_probe.hpp"
#include "test_options.hpp"
#include <backplane/sdk/endpoint_object.hpp>

#include <gmock/gmock.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <set>
#include <sys/socket.h>

namespace backplane::process {
namespace {

using std::chrono::seconds;
using test::eventually;
using test::ProcessConfig;
using testing::Contains;
using testing::HasSubstr;

constexpr seconds kDeadline(20);

/// Whether a process exists and is no zombie.
bool lives(pid_t pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(stat, text);
  const size_t end = text.rfind(')');
  return end != std::string::npos && text[end + 2] != 'Z' && text[end + 2] != 'X';
}

/// A listening socket on a free port of the loopback interface.
class Listener {
 public:
  Listener() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(socket_.get(), generic, size) != 0 || ::listen(socket_.get(), 5) != 0 ||
        ::getsockname(socket_.get(), generic, &size) != 0) {
      throw std::runtime_error("no port");
    }
    port_ = ntohs(address.sin_port);
  }
  std::string address() const { return concat("127.0.0.1:", port_); }
  int port() const { return port_; }
  void close() { socket_.reset(); }

 private:
  UniqueFd socket_;
  int port_ = 0;
};

class ASupervisor : public testing::Test {
 protected:
  ~ASupervisor() override {
    if (sut_ != nullptr) {
      EXPECT_TRUE(wait([this](Supervisor::Done done) { sut_->close(std::move(done)); }).is_ok());
      std::promise<void> stopped;
      sut_->output().stop(Status(BP_UNAVAILABLE), [&] {
        sut_->states().stop(Status(BP_UNAVAILABLE), [&] { stopped.set_value(); });
      });
      stopped.get_future().wait();
      run_loop_once();
      fake_.loop.stop_thread();
      sut_.reset();
    }
  }

  void make(const ProcessConfig& config) {
    sut_ = std::make_unique<Supervisor>(host_, config.options());
    fake_.loop.start_thread();
  }
  Status start(const ProcessConfig& config) {
    make(config);
    return start();
  }
  Status start() {
    return wait([this](Supervisor::Done done) { sut_->start(std::move(done)); });
  }
  Status stop() {
    return wait([this](Supervisor::Done done) { sut_->stop(std::move(done)); });
  }
  template <class Ask>
  Status wait(Ask&& ask) {
    auto answer = std::make_shared<std::promise<Status>>();
    auto future = answer->get_future();
    ask([answer](const Status& status) { answer->set_value(status); });
    return future.wait_for(kDeadline) == std::future_status::ready
               ? future.get()
               : Status(BP_DEADLINE_EXCEEDED, "the test waited long enough");
  }
  /// What was posted before has run.
  void run_loop_once() {
    std::promise<void> ran;
    post(host_, [&] { ran.set_value(); }).or_throw();
    ran.get_future().wait();
  }
  RunState state() { return sut_->snapshot().state; }
  /// And has told everybody.
  bool becomes_stopped() {
    const bool is_stopped = eventually([&] { return state() == RunState::kStopped; });
    run_loop_once();
    return is_stopped;
  }
  std::vector<std::string> logged() {
    std::vector<std::string> out;
    for (const auto& record : fake_.logs()) {
      out.push_back(record.text);
    }
    return out;
  }
  bool says(const std::string& line) {
    return eventually([&] { return testing::Value(logged(), Contains(line)); });
  }
  /// The number that a command has written to a file of the scratch folder.
  pid_t pid_in(const std::string& name) {
    pid_t pid = 0;
    eventually([&] { return static_cast<bool>(std::ifstream(file(name)) >> pid); });
    return pid;
  }
  std::string file(const std::string& name) const { return (folder_.path() / name).string(); }

  test::ScratchFolder folder_;
  test::FakeHost fake_;
  Host host_{fake_.raw()};
  std::unique_ptr<Supervisor> sut_;
};

TEST_F(ASupervisor, RunsACommandAndLogsItsOutputByLines) {
  const Status status = start({"sh", "-c", "echo out; echo err >&2; exec sleep 60"});
  ASSERT_TRUE(status.is_ok()) << status.to_string();
  EXPECT_TRUE(says("out"));
  EXPECT_TRUE(says("err"));
  const Snapshot snapshot = sut_->snapshot();
  EXPECT_EQ(snapshot.state, RunState::kRunning);
  EXPECT_TRUE(lives(snapshot.pid));
  EXPECT_TRUE(stop().is_ok());
  EXPECT_FALSE(lives(snapshot.pid));
  EXPECT_EQ(sut_->snapshot().exit->text(), "was ended by SIGTERM");
}

TEST_F(ASupervisor, NamesTheCommandThatCannotBeExecuted) {
  const Status status = start({"/nowhere/no-such-program", "x"});
  EXPECT_EQ(status.code(), BP_NOT_FOUND);
  EXPECT_EQ(status.native(), ENOENT);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("cannot execute /nowhere/no-such-program: No such file or directory"));
  EXPECT_EQ(state(), RunState::kStopped);
}

TEST_F(ASupervisor, NamesAFileThatIsNotExecutable) {
  EXPECT_EQ(start({"/etc/passwd"}).code(), BP_PERMISSION_DENIED);
}

TEST_F(ASupervisor, NamesAFolderThatIsNotThere) {
  const Status status = start(ProcessConfig{"true"}.set("cwd", "/nowhere"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("cannot enter 'cwd' /nowhere"));
}

TEST_F(ASupervisor, FailsWithTheLastOutputOfACommandThatEndsBeforeItIsReady) {
  ProcessConfig config{"sh", "-c", "echo first; echo bad configuration >&2; exit 3"};
  const Status status = start(config.ready({{"log", "never seen"}}));
  EXPECT_EQ(status.code(), BP_UNAVAILABLE);
  EXPECT_THAT(std::string(status.message()), HasSubstr("exited with code 3 before it was ready"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("bad configuration"));
}

TEST_F(ASupervisor, FailsWhenTheCommandIsNotReadyInTimeAndLeavesNothing) {
  ProcessConfig config{"sh", "-c", "echo $$ > " + file("pid") + "; exec sleep 60"};
  const Status status = start(config.ready({{"log", "never seen"}}, 0.3));
  EXPECT_EQ(status.code(), BP_DEADLINE_EXCEEDED);
  EXPECT_THAT(std::string(status.message()), HasSubstr("not ready within 300 ms"));
  EXPECT_FALSE(lives(pid_in("pid")));
}

TEST_F(ASupervisor, IsReadyWhenALineMatches) {
  ProcessConfig config{"sh", "-c", "echo starting; echo listening on 7; exec sleep 60"};
  EXPECT_TRUE(start(config.ready({{"log", "listening on [0-9]+"}})).is_ok());
}

TEST_F(ASupervisor, IsReadyWhenItsFileIsWrittenAnewNotWhenItIsThere) {
  std::ofstream(file("ready")) << "old";
  ProcessConfig config{"sh", "-c",
                       "echo waiting; while [ ! -e " + file("go") +
                           " ]; do sleep 0.01; done; echo new > " + file("ready") +
                           "; exec sleep 60"};
  const std::string path = file("ready");
  make(config.ready({{"file", path}}));
  auto answer = std::make_shared<std::promise<Status>>();
  sut_->start([answer](const Status& status) { answer->set_value(status); });
  EXPECT_TRUE(says("waiting"));
  EXPECT_EQ(state(), RunState::kStarting);
  std::ofstream(file("go")) << "go";
  auto future = answer->get_future();
  ASSERT_EQ(future.wait_for(kDeadline), std::future_status::ready);
  EXPECT_TRUE(future.get().is_ok());
}

TEST_F(ASupervisor, IsReadyWhenItsPortTakesConnections) {
  Listener probe;
  const std::string address = probe.address();
  const std::string port = std::to_string(probe.port());
  probe.close();
  ProcessConfig config{"mosquitto", "-p", port};
  const Status status = start(config.ready({{"tcp", address}}));
  ASSERT_TRUE(status.is_ok()) << status.to_string();
  EXPECT_EQ(state(), RunState::kRunning);
}

TEST_F(ASupervisor, DoesNotTakeSomebodyElsesPortForReadiness) {
  const Listener foreign;
  const std::string address = foreign.address();
  ProcessConfig config{"sleep", "60"};
  const Status status = start(config.ready({{"tcp", address}}));
  EXPECT_EQ(status.code(), BP_FAILED_PRECONDITION);
  EXPECT_THAT(std::string(status.message()), HasSubstr(address + " is taken by another process"));
  EXPECT_EQ(sut_->snapshot().exit, std::nullopt) << "it was not even started";
}

TEST_F(ASupervisor, StartsAgainAfterAFailureAtOnceThenLater) {
  ProcessConfig config{"sh", "-c", "exit 1"};
  config.set("restart", "on_failure").set("restart_delay_max_s", 0.05);
  ASSERT_TRUE(start(config).is_ok());
  EXPECT_TRUE(eventually([&] { return sut_->snapshot().starts >= 4; }));
  const auto reports = fake_.reports();
  EXPECT_TRUE(std::any_of(reports.begin(), reports.end(), [](const auto& report) {
    return report.detail == "exited with code 1, starting again";
  }));
  EXPECT_TRUE(std::any_of(reports.begin(), reports.end(), [](const auto& report) {
    return report.detail == "exited with code 1, next start in 50 ms";
  }));
}

TEST_F(ASupervisor, LeavesACommandThatEndsWellWhenOnlyFailuresRestart) {
  ASSERT_TRUE(start(ProcessConfig{"true"}.set("restart", "on_failure")).is_ok());
  EXPECT_TRUE(becomes_stopped());
  EXPECT_EQ(sut_->snapshot().starts, 1U);
  EXPECT_EQ(fake_.reports().back().state, BP_STATE_IDLE);
}

TEST_F(ASupervisor, SaysThatItIsDownWhenAFailureIsNotRestarted) {
  ASSERT_TRUE(start({"false"}).is_ok());
  EXPECT_TRUE(becomes_stopped());
  EXPECT_EQ(fake_.reports().back().state, BP_STATE_DOWN);
  EXPECT_EQ(sut_->snapshot().exit->text(), "exited with code 1");
}

TEST_F(ASupervisor, KillsACommandThatIgnoresTheStopSignal) {
  ProcessConfig config{"sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 1; done"};
  ASSERT_TRUE(start(config.ready({{"log", "deaf"}}).set("stop_timeout_s", 0.2)).is_ok());
  const pid_t pid = sut_->snapshot().pid;
  EXPECT_TRUE(stop().is_ok());
  EXPECT_FALSE(lives(pid));
  EXPECT_EQ(sut_->snapshot().exit->text(), "was ended by SIGKILL");
}

TEST_F(ASupervisor, KillsAtOnceWhenTheStopIsHurried) {
  ProcessConfig config{"sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 1; done"};
  ASSERT_TRUE(start(config.ready({{"log", "deaf"}}).set("stop_timeout_s", 600.0)).is_ok());
  EXPECT_TRUE(wait([this](Supervisor::Done done) {
                sut_->stop(std::move(done));
                sut_->hurry();
              }).is_ok());
  EXPECT_EQ(sut_->snapshot().exit->text(), "was ended by SIGKILL");
}

TEST_F(ASupervisor, EndsGrandchildrenThatIgnoreSignalsAndHaveLeftTheSession) {
  ProcessConfig config{"sh", "-c",
                       "setsid sh -c 'trap \"\" TERM HUP INT; echo $$ > " + file("far") +
                           "; while :; do sleep 1; done' & echo $$ > " + file("near") +
                           "; exec sleep 60"};
  ASSERT_TRUE(start(config).is_ok());
  const pid_t near = pid_in("near");
  const pid_t far = pid_in("far");
  ASSERT_TRUE(lives(near) && lives(far));
  EXPECT_TRUE(stop().is_ok());
  EXPECT_FALSE(lives(near));
  EXPECT_FALSE(lives(far));
}

TEST_F(ASupervisor, EndsWhatACommandLeftInTheBackground) {
  ProcessConfig config{"sh", "-c", "(setsid sleep 60 & echo $! > " + file("daemon") + ") ; exit 0"};
  ASSERT_TRUE(start(config).is_ok());
  const pid_t daemon = pid_in("daemon");
  EXPECT_TRUE(becomes_stopped());
  EXPECT_FALSE(lives(daemon));
}

TEST_F(ASupervisor, EndsTheCommandAndItsGroupWhenTheGuardIsKilled) {
  ProcessConfig config{"sh", "-c", "sleep 60 & echo $! > " + file("other") + "; exec sleep 60"};
  ASSERT_TRUE(start(config).is_ok());
  const pid_t pid = sut_->snapshot().pid;
  const pid_t other = pid_in("other");
  std::ifstream stat(concat("/proc/", pid, "/stat"));
  std::string skip;
  pid_t guard = 0;
  stat >> skip >> skip >> skip >> guard;
  ASSERT_GT(guard, 1);
  ASSERT_EQ(::kill(guard, SIGKILL), 0);
  EXPECT_TRUE(becomes_stopped());
  EXPECT_EQ(sut_->snapshot().exit->text(), "was ended with its guard");
  EXPECT_TRUE(eventually([&] { return !lives(pid) && !lives(other); }));
}

TEST_F(ASupervisor, PassesSignalsOn) {
  ProcessConfig config{"sh", "-c", "trap 'echo again' HUP; echo up; while :; do sleep 0.05; done"};
  ASSERT_TRUE(start(config.ready({{"log", "up"}})).is_ok());
  EXPECT_TRUE(wait([&](Supervisor::Done done) { sut_->signal(SIGHUP, done); }).is_ok());
  EXPECT_TRUE(says("again"));
  EXPECT_TRUE(stop().is_ok());
  EXPECT_EQ(wait([&](Supervisor::Done done) { sut_->signal(SIGHUP, done); }).code(),
            BP_FAILED_PRECONDITION);
}

TEST_F(ASupervisor, RestartsOnRequest) {
  ASSERT_TRUE(start({"sleep", "60"}).is_ok());
  const pid_t before = sut_->snapshot().pid;
  EXPECT_TRUE(wait([&](Supervisor::Done done) { sut_->restart(done); }).is_ok());
  EXPECT_NE(sut_->snapshot().pid, before);
  EXPECT_FALSE(lives(before));
  EXPECT_EQ(sut_->snapshot().starts, 2U);
}

TEST_F(ASupervisor, StopsACommandThatIsNotReadyYetAndTellsWhoWaitsForIt) {
  ProcessConfig config{"sh", "-c", "echo begun; exec sleep 60"};
  make(config.ready({{"log", "never seen"}}));
  auto started = std::make_shared<std::promise<Status>>();
  sut_->start([started](const Status& status) { started->set_value(status); });
  EXPECT_TRUE(says("begun"));
  EXPECT_TRUE(stop().is_ok());
  EXPECT_EQ(started->get_future().get().code(), BP_ABORTED);
}

TEST_F(ASupervisor, StopsWhileItChecksThePort) {
  Listener probe;
  const std::string address = probe.address();
  probe.close();
  make(ProcessConfig{"sleep", "60"}.ready({{"tcp", address}}));
  auto started = std::make_shared<std::promise<Status>>();
  sut_->start([started](const Status& status) { started->set_value(status); });
  EXPECT_TRUE(stop().is_ok());
  EXPECT_EQ(started->get_future().get().code(), BP_ABORTED);
}

TEST_F(ASupervisor, GivesTheChildNoDescriptorButThree) {
  const UniqueFd leak(::dup(0));  // not close-on-exec
  ASSERT_TRUE(start({"sleep", "60"}).is_ok());
  std::set<std::string> descriptors;
  const bool are_three = eventually([&] {  // its loader may still have one of its own
    descriptors.clear();
    for (const auto& entry :
         std::filesystem::directory_iterator(concat("/proc/", sut_->snapshot().pid, "/fd"))) {
      descriptors.insert(entry.path().filename().string());
    }
    return descriptors == std::set<std::string>{"0", "1", "2"};
  });
  EXPECT_TRUE(are_three) << testing::PrintToString(descriptors);
}

TEST_F(ASupervisor, GivesTheChildCleanSignals) {
  const auto before = std::signal(SIGUSR1, SIG_IGN);
  ASSERT_TRUE(start({"sleep", "60"}).is_ok());
  std::ifstream status(concat("/proc/", sut_->snapshot().pid, "/status"));
  uint64_t masks = 0;
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("SigBlk:") || line.starts_with("SigIgn:")) {
      masks |= std::stoull(line.substr(7), nullptr, 16);
    }
  }
  const uint64_t internal = uint64_t{3} << 31u;  // 32 and 33 belong to the C library
  EXPECT_EQ(masks & ~internal, 0U);
  std::signal(SIGUSR1, before);
}

TEST_F(ASupervisor, SetsFolderAndVariables) {
  ProcessConfig config{"sh", "-c", "echo $PWD:$BP_TEST_WORD; exec sleep 60"};
  StackArena arena;
  config.set("env", arena.map({{"BP_TEST_WORD", "hello"}})).set("cwd", "/usr");
  ASSERT_TRUE(start(config).is_ok());
  EXPECT_TRUE(says("/usr:hello"));
}

TEST_F(ASupervisor, CutsLongLinesAndCountsThem) {
  ProcessConfig config{"sh", "-c",
                       "head -c 100000 /dev/zero | tr '\\0' x; echo; echo end; exec sleep 60"};
  ASSERT_TRUE(start(config).is_ok());
  EXPECT_TRUE(says(std::string(4096, 'x')));
  EXPECT_TRUE(says("end"));
  EXPECT_EQ(fake_.metric("output_lines_cut_total"), 1);
}

TEST_F(ASupervisor, ShowsItsOutputAndStatesToWatchers) {
  struct Output {
    Hub hub;
    Status watch(Op op) { return hub.watch(op); }
    void cancel(Op op) noexcept { hub.cancel(op); }
    void credit(Op op, uint32_t n) noexcept { hub.credit(op, n); }
  };
  make(ProcessConfig{"sh", "-c", "echo hello; exec sleep 60"});
  const bp_ref output =
      fake_.adopt_endpoint(make_endpoint(std::make_unique<Output>(Output{sut_->output()})));
  const bp_ref states =
      fake_.adopt_endpoint(make_endpoint(std::make_unique<Output>(Output{sut_->states()})));
  {
    test::WatchProbe lines(host_, output, {});
    test::WatchProbe changes(host_, states, {});
    ASSERT_TRUE(start().is_ok());
    EXPECT_TRUE(eventually([&] { return lines.count() == 1; }));
    EXPECT_EQ(lines.messages().at(0).body(), ValueView("hello"));
    EXPECT_EQ(lines.messages().at(0).view().header<std::string_view>("stream"), "stdout");
    EXPECT_TRUE(eventually([&] { return changes.count() == 2; }));
    EXPECT_EQ(changes.messages().at(0).body().find("state"), ValueView("starting"));
    EXPECT_EQ(changes.messages().at(1).body().find("state"), ValueView("running"));
  }
  host_.services().endpoint.close(host_.raw(), output);
  host_.services().endpoint.close(host_.raw(), states);
}

/// A WRITE to the child's standard input.
class Write {
 public:
  Write(const Host& host, bp_ref input, ValueView body, uint32_t flags = 0)
      : host_(host), op_(host.services().endpoint.op_new(host.raw())) {
    message_.body(body).flags(flags);
    op_->verb = BP_V_WRITE;
    op_->target = input;
    op_->in = &message_.view();
    op_->error = &error_;
    op_->user = this;
    op_->done = [](bp_op* op) { static_cast<Write*>(op->user)->done_.set_value(op->status); };
    const bp_status status = host.services().endpoint.submit(host.raw(), op_);
    if (status != BP_PENDING) {
      done_.set_value(status);
    }
  }
  Write(const Write&) = delete;
  Write& operator=(const Write&) = delete;
  ~Write() { host_.services().endpoint.op_free(host_.raw(), op_); }
  bp_status wait() {
    auto future = done_.get_future();
    return future.wait_for(kDeadline) == std::future_status::ready ? future.get() : BP_PENDING;
  }
  void cancel() { host_.services().endpoint.cancel(host_.raw(), op_); }

 private:
  const Host& host_;
  MessageBuilder message_;
  bp_op* op_;
  bp_error error_{};
  std::promise<bp_status> done_;
};

class AChildWithStandardInput : public ASupervisor {
 protected:
  struct Input {
    StdinWriter& writer;
    Status write(Op op) { return writer.write(op); }
    void cancel(Op op) noexcept { writer.cancel(op); }
  };
  Status start_with_input(ProcessConfig& config) {
    make(config.set("stdin", "pipe"));
    input_ = fake_.adopt_endpoint(make_endpoint(std::make_unique<Input>(Input{sut_->input()})));
    return start();
  }
  ~AChildWithStandardInput() override { host_.services().endpoint.close(host_.raw(), input_); }
  bp_ref input_ = 0;
};

TEST_F(AChildWithStandardInput, ReadsWhatIsWrittenInOrderUntilItIsClosed) {
  ProcessConfig config{"sh", "-c", "cat; echo closed"};
  ASSERT_TRUE(start_with_input(config).is_ok());
  const std::string big = std::string(300'000, 'x') + "\n";  // more than a pipe holds
  Write first(host_, input_, ValueView("one\n"));
  Write second(host_, input_, ValueView(big));
  Write third(host_, input_, ValueView("three\n"), BP_M_LAST);
  EXPECT_EQ(first.wait(), BP_OK);
  EXPECT_EQ(second.wait(), BP_OK);
  EXPECT_EQ(third.wait(), BP_OK);
  EXPECT_TRUE(says("one") && says("three") && says("closed"));
}

TEST_F(AChildWithStandardInput, AnswersAWriteThatItWillNeverRead) {
  ProcessConfig config{"sh", "-c", "exec 0<&-; echo deaf; exec sleep 60"};
  ASSERT_TRUE(start_with_input(config.ready({{"log", "deaf"}})).is_ok());
  EXPECT_EQ(Write(host_, input_, ValueView("lost")).wait(), BP_UNAVAILABLE);
  EXPECT_EQ(Write(host_, input_, ValueView(7)).wait(), BP_INVALID_ARGUMENT);
}

TEST_F(AChildWithStandardInput, BoundsWhatWaitsAndLetsItBeCancelled) {
  ProcessConfig config{"sleep", "60"};
  ASSERT_TRUE(start_with_input(config).is_ok());
  const std::string big(StdinWriter::kMostBytes, 'x');
  Write first(host_, input_, ValueView(big));
  EXPECT_EQ(Write(host_, input_, ValueView("one more")).wait(), BP_RESOURCE_EXHAUSTED);
  run_loop_once();  // the pipe is full now, the write half done
  first.cancel();
  EXPECT_EQ(first.wait(), BP_CANCELLED);
  Write last(host_, input_, ValueView("waits"));
  EXPECT_TRUE(stop().is_ok());
  EXPECT_EQ(last.wait(), BP_UNAVAILABLE);
}

}  // namespace
}  // namespace backplane::process
