// SPDX-License-Identifier: Apache-2.0
// Functions of its life cycle crash by configuration, those of an endpoint by the endpoint's path.
// `fine` does not crash; `look` tells what the plugin sees of its process, `try` what that lets it
// do; `credential` and `reads` use what the kernel gives it.
#include "plugins/isolation/link/ring.hpp"
#include <backplane/sdk/endpoint.hpp>
#include <backplane/sdk/host_memory.hpp>
#include <backplane/sdk/loop.hpp>
#include <backplane/sdk/plugin.hpp>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sched.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

extern char** environ;

namespace backplane::crashing {
namespace {

class Crash {
 public:
  Crash(std::string where, int by) : where_(std::move(where)), by_(by) {}
  void in(std::string_view function) const {
    if (function == where_) {
      signal(by_, SIG_DFL);  // whatever a sanitizer does with it
      raise(by_);
    }
  }

 private:
  const std::string where_;
  const int by_;
};

class Endpoint final {
 public:
  explicit Endpoint(Crash crash) : crash_(std::move(crash)) {}
  Status read(Op op) {
    crash_.in("read");
    return op.reply(int64_t{getpid()});
  }
  Status write(Op) {
    crash_.in("write");
    return Status::ok();
  }
  Status call(Op) {
    crash_.in("call");
    return Status::pending();
  }
  Status watch(Op) {
    crash_.in("watch");
    return Status::pending();
  }
  void cancel(Op) noexcept { crash_.in("cancel"); }
  void credit(Op, uint32_t) noexcept { crash_.in("credit"); }
  void ack(Op, uint64_t, bp_status) noexcept { crash_.in("ack"); }
  ~Endpoint() { crash_.in("close"); }

 private:
  const Crash crash_;
};

/// What the plugin sees of its process.
class Look final {
 public:
  Status read(Op op) {
    std::error_code error;
    int64_t descriptors = 0;
    for (const auto& each : std::filesystem::directory_iterator("/proc/self/fd", error)) {
      const auto target = std::filesystem::read_symlink(each.path(), error).string();
      descriptors += target.starts_with("anon_inode") || target.starts_with("/proc") ? 0 : 1;
    }
    int64_t variables = 0;
    for (char** each = environ; *each != nullptr; ++each) {
      ++variables;
    }
    StackArena arena;
    return op.reply(arena.map({{"descriptors", descriptors},
                               {"variables", variables},
                               {"parent", int64_t{getppid()}},
                               {"session", int64_t{getsid(0)}}}));
  }
};

/// Bytes from their hexadecimal form.
std::string unhex(const std::string& text) {
  std::string out;
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    out += static_cast<char>(std::stoi(text.substr(i, 2), nullptr, 16));
  }
  return out;
}

/// The link of this process, where a plugin has no business: its frames go behind those that were
/// sent by who has.
class StolenLink {
 public:
  StolenLink() : memory_(find()), writer_(memory_->to_proxy, memory_->to_proxy.written) {}

  /// Waits until the other side has taken all of it. False: the link has ended.
  bool write(std::string_view bytes) {
    while (!bytes.empty()) {
      const size_t n = std::min(bytes.size(), writer_.room());
      writer_.put(bytes.data(), n);
      writer_.publish();
      bytes.remove_prefix(n);
      while (memory_->to_proxy.read != memory_->to_proxy.written) {
        if (send(3, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN) {
          return false;
        }
        sched_yield();
      }
    }
    return true;
  }

  /// Moves the cursor to where none can be.
  bool damage() {
    memory_->to_proxy.written += isolation::RingMemory::kSize + 1;
    return send(3, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
  }

 private:
  static isolation::LinkMemory* find() {
    constexpr size_t kPage = 4096;
    constexpr size_t kSize = (sizeof(isolation::LinkMemory) + kPage - 1) / kPage * kPage;
    std::ifstream maps("/proc/self/maps");
    std::string line;
    while (std::getline(maps, line)) {
      uintptr_t begin = 0;
      uintptr_t end = 0;
      if (line.find("/memfd:") != line.npos &&
          std::sscanf(line.c_str(), "%zx-%zx", &begin, &end) == 2 && end - begin == kSize) {
        return reinterpret_cast<isolation::LinkMemory*>(begin);
      }
    }
    throw std::runtime_error("no link");
  }

  isolation::LinkMemory* const memory_;
  isolation::RingWriter writer_;
};

/// Writes the same to the link until that ends, and reads nothing: this is the loop's thread.
int flood(const std::string& frame) {
  std::string many;
  for (int i = 0; i < 1024; ++i) {
    many += frame;
  }
  StolenLink link;
  while (link.write(many)) {
  }
  return EPIPE;
}

/// What the system answers to somebody who tries: 0, or its errno.
int attempt(const std::string& what) {
  const size_t colon = what.find(':');
  const std::string verb = what.substr(0, colon);
  const std::string rest = colon == what.npos ? "" : what.substr(colon + 1);
  const auto error_of = [](long result) { return result < 0 ? errno : 0; };
  if (verb == "read") return error_of(open(rest.c_str(), O_RDONLY | O_CLOEXEC));
  if (verb == "write") return error_of(open(rest.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  if (verb == "socket") return error_of(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (verb == "datagram") {
    int pair[2];
    return error_of(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair));
  }
  if (verb == "unix") {
    const int type = rest == "stream" ? SOCK_STREAM : rest == "raw" ? SOCK_RAW : SOCK_DGRAM;
    return error_of(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  }
  if (verb == "fast_open") return error_of(sendto(3, "", 0, MSG_FASTOPEN, nullptr, 0));
  if (verb == "limit") {
    rlimit limit{};
    return error_of(prlimit(std::atoi(rest.c_str()), RLIMIT_NOFILE, nullptr, &limit));
  }
  if (verb == "priority") {
    return error_of(setpriority(PRIO_PROCESS, static_cast<id_t>(std::atoi(rest.c_str())), 0));
  }
  if (verb == "mode") return error_of(chmod(rest.c_str(), 0644));
  if (verb == "empty") return error_of(truncate(rest.c_str(), 0));
  if (verb == "signal") return error_of(kill(std::atoi(rest.c_str()), 0));
  if (verb == "trace") return error_of(ptrace(PTRACE_TRACEME, 0, nullptr, nullptr));
  if (verb == "memory") {
    void* const block = mmap(nullptr, size_t{1} << 20 << std::atoi(rest.c_str()),
                             PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return block == MAP_FAILED ? errno : 0;
  }
  if (verb == "fork") {
    const pid_t child = fork();
    if (child == 0) _exit(0);
    return error_of(child);
  }
  if (verb == "execute") {
    const char* const arguments[] = {"true", nullptr};
    return error_of(execv("/bin/true", const_cast<char* const*>(arguments)));
  }
  if (verb == "link") {  // its own end, where a plugin has no business
    const std::string frames = rest.empty() ? std::string(64, '\xff') : unhex(rest);
    StolenLink link;
    return link.write(frames) && link.damage() ? 0 : EPIPE;
  }
  if (verb == "flood") return flood(unhex(rest));
  if (verb == "spin") {
    for (const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
         std::chrono::steady_clock::now() < end;) {
    }
  }
  return 0;
}

/// A channel of numbers: a write publishes, a read gives the last that its descriptor told of.
class Shared final {
 public:
  Shared(const Host& host, std::string_view key)
      : channel_(open_channel(host, key, {.sample_size = sizeof(int64_t)}).value()),
        publisher_(channel_.publisher().value()),
        subscriber_(channel_.subscriber().value()),
        watch_(host, subscriber_.descriptor().value(), BP_FD_READ, [this](uint32_t) { take(); }) {}
  Status write(Op op) { return publisher_.send(op.in().as<int64_t>().value()); }
  Status read(Op op) { return op.reply(last_.load()); }

 private:
  void take() {
    for (auto sample = subscriber_.try_receive(); sample; sample = subscriber_.try_receive()) {
      last_ = sample->as<int64_t>();
    }
  }

  Channel channel_;
  Publisher publisher_;
  Subscriber subscriber_;
  std::atomic<int64_t> last_{0};
  FdWatch watch_;
};

/// Does `body` with what comes in, as a call.
class Callable final {
 public:
  using Body = std::function<Status(Op)>;
  explicit Callable(Body body) : body_(std::move(body)) {}
  Status call(Op op) { return body_(op); }
  void cancel(Op) noexcept {}

 private:
  const Body body_;
};

class CrashingPlugin final : public Plugin {
 public:
  CrashingPlugin(const bp_host* raw, const Config& config)
      : Plugin(raw),
        by_(config.integer<int>("by")),
        hang_(config.find<std::string>("hang").value_or("")),
        crash_(config.find<std::string>("crash").value_or(""), by_),
        credential_(config.find<std::string>("credential").value_or("none")),
        reads_(config.find<std::string>("reads").value_or("nowhere:")),
        shares_(config.find<std::string>("shares").value_or("")),
        opened_(host().counter("opened_total")) {
    crash_.in("create");
  }
  ~CrashingPlugin() override { crash_.in("destroy"); }
  Status start(Op) override {
    crash_.in("start");
    host().log().info("it runs", {{"answer", 42}});
    host().report(BP_STATE_UP, "at work");
    return Status::ok();
  }
  Status drain(Op) override {
    crash_.in("drain");
    return Status::ok();
  }
  Status stop(Op) override {
    crash_.in("stop");
    hang_in("stop");
    return Status::ok();
  }
  Status open(std::string_view path, MessageView, OpenOp op) override {
    Crash(path == "open" ? "open" : "", by_).in("open");
    opened_.add();
    if (path == "look") {
      return op.give(std::make_unique<Look>());
    }
    if (path == "credential") {
      return op.give(std::make_unique<Callable>([this](Op call) {
        const auto secret = host().credential(credential_, "password");
        return secret.is_ok() ? call.reply(ValueView(secret->text())) : secret.status();
      }));
    }
    if (path == "shared" || path == "another") {
      return op.give(std::make_unique<Shared>(host(), path == "shared" ? shares_ : "anonymous:x"));
    }
    if (path == "large") {
      return open_memory(host(), shares_, {.size = size_t{100} << 20}).status();
    }
    if (path == "bytes") {
      return op.give(std::make_unique<Callable>([this](Op call) {
        auto memory = open_memory(host(), shares_, {.size = sizeof(int64_t)}).value();
        const ProcessLock lock = memory.lock().value();
        return call.reply(++memory.as<int64_t>());
      }));
    }
    if (path == "try") {
      return op.give(std::make_unique<Callable>([](Op call) {
        return call.reply(int32_t{attempt(call.in().as<std::string>().value())});
      }));
    }
    if (path == "reads") {
      return op.give(std::make_unique<Callable>([this](Op call) {
        read_other(call);
        return Status::pending();
      }));
    }
    return op.give(std::make_unique<Endpoint>(Crash(std::string(path), by_)));
  }

 private:
  /// Opens and reads the address of the body, or else the configured one, and answers with that.
  void read_other(Op call) {
    const std::string address = call.in().as<std::string>().value_or(reads_);
    open_address(host(), address).then([this, call](Result<backplane::Endpoint> opened) {
      if (!opened) {
        return host().complete(call, opened.status());
      }
      const auto kept = std::make_shared<backplane::Endpoint>(*std::move(opened));
      kept->read<OwnedMessage>().then([this, call, kept](Result<OwnedMessage> read) {
        read ? host().complete_with(call, *std::move(read)) : host().complete(call, read.status());
      });
    });
  }

  void hang_in(std::string_view function) const {
    while (function == hang_) {
      std::this_thread::sleep_for(std::chrono::seconds(1));
    }
  }

  const int by_;
  const std::string hang_;
  const Crash crash_;
  const std::string credential_;
  const std::string reads_;
  const std::string shares_;
  const Counter opened_;
};

}  // namespace
}  // namespace backplane::crashing

BACKPLANE_PLUGIN(backplane::crashing::CrashingPlugin, "crashing", "0.1.0", BP_PLUGIN_MULTI_INSTANCE,
                 BP_S_ENDPOINT, BP_S_EXECUTOR);
