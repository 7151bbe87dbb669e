// SPDX-License-Identifier: Apache-2.0
// A real mosquitto on a free port of the loopback interface, as a child of the test.
#pragma once

#include "support/child_process.hpp"
#include "support/scratch_folder.hpp"

#include <arpa/inet.h>
#include <memory>
#include <netinet/in.h>
#include <sstream>
#include <sys/socket.h>
#include <thread>

namespace backplane::test {

struct BrokerOptions {
  std::string config{};           // more lines of mosquitto.conf, after the listener
  std::string listener_config{};  // lines of the listener
  std::string log_type = "all";   // of mosquitto.conf
  bool start = true;
};

class Broker {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Broker(BrokerOptions options = {}) : options_(std::move(options)), port_(free_port()) {
    if (options_.start) {
      start();
    }
  }

  uint16_t port() const { return port_; }
  std::string url(std::string_view scheme = "mqtt") const {
    return std::string(scheme) + "://127.0.0.1:" + std::to_string(port_);
  }
  const ScratchFolder& folder() const { return folder_; }

  /// Starts it (again), on the same port, and waits until it accepts connections. By itself it
  /// drops nothing: mosquitto's own limit is 1000 messages that wait for a slow client.
  void start() {
    std::ostringstream config;
    config
        << "user root\nallow_anonymous true\nlog_type " << options_.log_type
        << "\nconnection_messages true\nset_tcp_nodelay true\nmax_queued_messages 0\nlog_dest file "
        << log_path() << "\nlistener " << port_ << " 127.0.0.1\n"
        << options_.listener_config << "\n"
        << options_.config << "\n";
    const auto path = folder_.write("mosquitto.conf", config.str());
    process_ =
        std::make_unique<ChildProcess>(std::vector<std::string>{"mosquitto", "-c", path.string()});
    const auto end = Clock::now() + std::chrono::seconds(20);
    while (!accepts()) {
      if (Clock::now() >= end ||
          waitpid(process_->pid(), nullptr, WNOHANG | WNOWAIT) == process_->pid()) {
        throw std::runtime_error("mosquitto does not listen:\n" + log() + process_->err());
      }
      poll(nullptr, 0, 5);
    }
  }
  /// SIGKILL: it loses what it has not stored.
  void kill() {
    process_->signal(SIGKILL);
    process_->wait();
    process_.reset();
  }
  /// SIGTERM: it stores its sessions, if it is told to.
  void stop() {
    process_->signal(SIGTERM);
    process_->wait();
    process_.reset();
  }
  void signal(int number) const { process_->signal(number); }

  /// What it has logged: every packet, by client.
  std::string log() const {
    std::ifstream file(log_path());
    return {std::istreambuf_iterator<char>(file), {}};
  }
  size_t count_in_log(std::string_view text) const {
    const std::string all = log();
    size_t n = 0;
    for (size_t at = all.find(text); at != all.npos; at = all.find(text, at + 1)) {
      ++n;
    }
    return n;
  }

  static uint16_t free_port() {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = loopback(0);
    socklen_t length = sizeof address;
    bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address);
    getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
    close(fd);
    return ntohs(address.sin_port);
  }

 private:
  static sockaddr_in loopback(uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
  }
  bool accepts() const {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = loopback(port_);
    const bool accepted =
        connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    close(fd);
    return accepted;
  }
  std::string log_path() const { return (folder_.path() / "mosquitto.log").string(); }

  const BrokerOptions options_;
  const ScratchFolder folder_;
  const uint16_t port_;
  std::unique_ptr<ChildProcess> process_;
};

}  // namespace backplane::test
