// SPDX-License-Identifier: Apache-2.0
// What the tests of the coap plugin share: a kernel that runs it, Debian's libcoap programs, and a
// peer that writes its datagrams byte by byte.
#pragma once

#include "support/child_process.hpp"
#include "support/eventually.hpp"
#include <backplane/sdk/guarded.hpp>
#include <backplane/sdk/kernel.hpp>

#include <gmock/gmock.h>

#include <arpa/inet.h>
#include <fstream>
#include <iterator>
#include <mutex>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

namespace backplane::test {

using namespace std::chrono_literals;

inline std::string text_of(ValueView value) {
  const auto bytes = value.payload();
  return bytes ? std::string(reinterpret_cast<const char*>(bytes->data()), bytes->size())
               : value.to_text();
}

/// A running kernel with the built plugins.
class TestKernel {
 public:
  explicit TestKernel(const std::string& manifest) : TestKernel() {
    load(manifest).or_throw();
    kernel.start().or_throw();
  }
  TestKernel() : kernel(Kernel::create(options(*logged_)).value()) {}

  Status load(const std::string& manifest) { return kernel.load_text("test.toml", manifest); }
  Endpoint open(const std::string& address, Pairs headers = {}) {
    return kernel.open(address, headers).value();
  }
  InstanceInfo info(std::string_view instance) {
    for (InstanceInfo& item : kernel.instances()) {
      if (item.name == instance) {
        return std::move(item);
      }
    }
    throw std::runtime_error("no such instance");
  }
  int64_t metric(std::string_view instance, std::string_view name) {
    int64_t sum = 0;
    for (const MetricInfo& item : kernel.metrics()) {
      if (item.instance == instance && item.name == name) {
        sum += item.value;
      }
    }
    return sum;
  }
  /// Of a server that listens on port 0.
  uint16_t port(std::string_view instance) {
    const std::string detail = info(instance).detail;
    return static_cast<uint16_t>(std::stoi(detail.substr(detail.rfind(':') + 1)));
  }

  /// All that was logged so far, from warnings on, with its fields.
  std::string logged() const { return logged_->copy(); }
  /// It is logged soon: what happens is counted first, and then told.
  bool logs(std::string_view text) const {
    return eventually([&] { return logged().find(text) != std::string::npos; });
  }

 private:
  // The kernel logs to its end.
  const std::unique_ptr<Guarded<std::string>> logged_ = std::make_unique<Guarded<std::string>>();

 public:
  Kernel kernel;

 private:
  static KernelOptions options(Guarded<std::string>& logged) {
    KernelOptions options;
    options.plugin_folders = BP_TEST_BUILD_DIR "/plugins";
    options.manifest_folders = BP_TEST_BUILD_DIR "/plugin_manifests";
    options.log_level = BP_LOG_WARNING;
    options.flags = BP_KERNEL_CHECKED;
    options.log = [&logged](const LogRecord& record) {
      std::string line = concat(record.instance, ": ", record.message);
      for (const bp_pair& field : record.fields) {
        line += concat(" ", text_of(field.key), "=", text_of(field.val));
      }
      logged.lock()->append(line + "\n");
    };
    return options;
  }
};

/// Collects what a watch gets.
class Collector {
 public:
  void add(MessageView message) {
    const std::lock_guard lock(mutex_);
    messages_.emplace_back(message);
  }
  size_t count() {
    const std::lock_guard lock(mutex_);
    return messages_.size();
  }
  std::vector<OwnedMessage> messages() {
    const std::lock_guard lock(mutex_);
    return messages_;
  }
  std::vector<std::string> texts() {
    std::vector<std::string> out;
    for (const OwnedMessage& message : messages()) {
      out.push_back(text_of(message.body()));
    }
    return out;
  }

 private:
  std::mutex mutex_;
  std::vector<OwnedMessage> messages_;
};

/// Answers of libcoap's client: what it printed, to either stream.
struct Answered {
  std::string out;
  std::string err;
};
inline Answered coap_client(std::vector<std::string> args) {
  args.insert(args.begin(), {"coap-client-openssl", "-B", "10"});
  ChildProcess client(args);
  if (client.wait() != 0) {
    throw std::runtime_error("coap-client-openssl failed: " + client.err());
  }
  return {client.out().substr(0, client.out().find_last_not_of('\n') + 1), client.err()};
}
inline std::string url(uint16_t port, std::string_view path) {
  return concat("coap://127.0.0.1:", static_cast<unsigned>(port), path);
}

/// A UDP port that nobody has at the moment.
inline uint16_t free_port() {
  const UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    throw std::runtime_error("no free port");
  }
  return ntohs(address.sin_port);
}

/// A file that goes with the test.
class ScratchFile {
 public:
  explicit ScratchFile(const std::string& content) {
    const int fd = mkstemp(name_);
    if (fd < 0) {
      throw std::runtime_error("mkstemp failed");
    }
    close(fd);
    std::ofstream(name_, std::ios::binary) << content;
  }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;
  ~ScratchFile() { unlink(name_); }
  std::string name() const { return name_; }
  std::string content() const {
    std::ifstream file(name_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

 private:
  char name_[32] = "/tmp/bp-coap-test-XXXXXX";
};

/// A peer without a library: datagrams as RFC 7252, section 3, writes them.
class RawPeer {
 public:
  enum Type : uint8_t { kCon = 0, kNon = 1, kAck = 2, kRst = 3 };
  struct Option {
    unsigned number;
    std::string value;
  };
  struct Message {
    uint8_t type = 0;
    unsigned code = 0;  // 204 for 2.04
    uint16_t mid = 0;
    std::string token;
    std::string rest;  // options and payload
    bool has_payload(std::string_view text) const {
      return rest.size() >= text.size() + 1 && rest.substr(rest.size() - text.size()) == text;
    }
  };

  /// A server, for the first client that it receives something of.
  RawPeer() : fd_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)), listens_(true) {
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    if (bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      throw std::runtime_error("no free port");
    }
    port_ = ntohs(address.sin_port);
  }
  /// A client of the server there.
  explicit RawPeer(uint16_t port)
      : fd_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)), port_(port) {
    const sockaddr_in address = loopback(port);
    if (connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      throw std::runtime_error("connect failed");
    }
  }

  /// The server's.
  uint16_t port() const { return port_; }

  void send_bytes(std::string_view bytes) const {
    ASSERT_EQ(::send(fd_.get(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  }
  /// `options` in ascending order.
  void send(Type type, unsigned code, uint16_t mid, std::string_view token,
            const std::vector<Option>& options, std::string_view payload) const {
    std::string out;
    out += static_cast<char>(0x40 | type << 4 | static_cast<int>(token.size()));
    out += static_cast<char>((code / 100) << 5 | code % 100);
    out += static_cast<char>(mid >> 8);
    out += static_cast<char>(mid & 0xff);
    out += token;
    unsigned last = 0;
    for (const Option& option : options) {
      const unsigned delta = option.number - last;
      last = option.number;
      const auto nibble = [](size_t value) { return value < 13 ? value : size_t{13}; };
      out += static_cast<char>(nibble(delta) << 4 | nibble(option.value.size()));
      if (delta >= 13) {
        out += static_cast<char>(delta - 13);
      }
      if (option.value.size() >= 13) {
        out += static_cast<char>(option.value.size() - 13);
      }
      out += option.value;
    }
    if (!payload.empty()) {
      out += '\xff';
      out += payload;
    }
    send_bytes(out);
  }
  void put(uint16_t mid, std::string_view token, std::string_view path, std::string_view payload,
           Type type = kCon) const {
    send(type, 3, mid, token, uri(path), payload);
  }
  static std::vector<Option> uri(std::string_view path) {
    std::vector<Option> options;
    while (!path.empty()) {
      path.remove_prefix(1);
      const size_t end = std::min(path.find('/'), path.size());
      options.push_back({11, std::string(path.substr(0, end))});
      path.remove_prefix(end);
    }
    return options;
  }
  void acknowledge(const Message& message) const { send(kAck, 0, message.mid, "", {}, ""); }

  /// The next datagram, or nothing within the time.
  std::optional<Message> receive(std::chrono::milliseconds at_most = 5s) const {
    pollfd wait{fd_.get(), POLLIN, 0};
    if (poll(&wait, 1, static_cast<int>(at_most.count())) <= 0) {
      return std::nullopt;
    }
    char buffer[2048];
    sockaddr_in from{};
    socklen_t from_size = sizeof from;
    const ssize_t size = recvfrom(fd_.get(), buffer, sizeof buffer, 0,
                                  reinterpret_cast<sockaddr*>(&from), &from_size);
    if (listens_ && connect(fd_.get(), reinterpret_cast<sockaddr*>(&from), from_size) != 0) {
      throw std::runtime_error("connect failed");
    }
    if (size < 4) {
      return std::nullopt;
    }
    const std::string bytes(buffer, static_cast<size_t>(size));
    const auto byte = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
    Message out;
    out.type = byte(0) >> 4 & 3;
    out.code = (byte(1) >> 5) * 100u + (byte(1) & 31u);
    out.mid = static_cast<uint16_t>(byte(2) << 8 | byte(3));
    const size_t token = byte(0) & 15u;
    out.token = bytes.substr(4, token);
    out.rest = bytes.substr(std::min(bytes.size(), 4 + token));
    return out;
  }

 private:
  static sockaddr_in loopback(uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    return address;
  }

  UniqueFd fd_;
  uint16_t port_ = 0;
  bool listens_ = false;
};

}  // namespace backplane::test
