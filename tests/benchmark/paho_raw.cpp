// SPDX-License-Identifier: Apache-2.0
// Eclipse Paho C, its asynchronous client: it has two threads of its own, and the work goes on
// where it calls back, on the one that receives.
#include "mqtt_side.hpp"

#include <MQTTAsync.h>

#include <arpa/inet.h>
#include <filesystem>
#include <mutex>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <semaphore>
#include <stdexcept>
#include <sys/socket.h>

namespace backplane::benchmark {
namespace {

constexpr const char* kTopic = "bench/paho";

void require(int result, const char* what) {
  if (result != MQTTASYNC_SUCCESS)
    throw std::runtime_error(std::string("paho: ") + what + ": " + std::to_string(result));
}

// Paho has no option for TCP_NODELAY and does not show its socket: it is found by its peer. Other
// connections to that port have the option already.
void set_no_delay(std::uint16_t port) {
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    const int fd = std::stoi(entry.path().filename());
    sockaddr_in peer{};
    socklen_t size = sizeof peer;
    const int on = 1;
    if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) == 0 &&
        peer.sin_family == AF_INET && ntohs(peer.sin_port) == port)
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
}

class Paho final : public MqttSide {
 public:
  explicit Paho(const MqttOptions& options) : options_(options), payload_(options.payload, 'x') {
    const std::string url = "tcp://127.0.0.1:" + std::to_string(options.port);
    MQTTAsync_createOptions create = MQTTAsync_createOptions_initializer5;
    create.maxBufferedMessages = static_cast<int>(options.outstanding) + 1;
    require(MQTTAsync_createWithOptions(&client_, url.c_str(), "bench-paho",
                                        MQTTCLIENT_PERSISTENCE_NONE, nullptr, &create),
            "create");
    require(MQTTAsync_setCallbacks(
                client_, this, nullptr,
                [](void* user, char* topic, int, MQTTAsync_message* message) {
                  of(user).go_on(&MqttWork::received);
                  MQTTAsync_freeMessage(&message);
                  MQTTAsync_free(topic);
                  return 1;
                },
                nullptr),
            "callbacks");
    MQTTAsync_connectOptions connect = MQTTAsync_connectOptions_initializer5;
    connect.keepAliveInterval = kMqttKeepAliveSeconds;
    connect.cleanstart = 1;
    connect.maxInflight = 256;
    connect.context = this;
    connect.onSuccess5 = [](void* user, MQTTAsync_successData5*) { of(user).done_.release(); };
    require(MQTTAsync_connect(client_, &connect), "connect");
    wait("it is not connected");
    set_no_delay(options.port);
    if (options.subscribes) {
      MQTTAsync_responseOptions response =
          answer([](void* user, MQTTAsync_successData5*) { of(user).done_.release(); });
      require(MQTTAsync_subscribe(client_, kTopic, options.qos, &response), "subscribe");
      wait("no SUBACK");
    }
  }
  ~Paho() override { MQTTAsync_destroy(&client_); }

  // A message of its own brings the work to the thread that receives.
  void run(MqttWork& work) override {
    work_ = &work;
    send("bench/paho/begin", 1,
         [](void* user, MQTTAsync_successData5*) { of(user).go_on(&MqttWork::begin); });
    wait("its work does not end");
  }

  void publish() override {
    MQTTAsync_onSuccess5* const then = [](void* user, MQTTAsync_successData5*) {
      of(user).go_on(&MqttWork::published);
    };
    send(kTopic, options_.qos, options_.qos == 0 ? nullptr : then);
  }

 private:
  static Paho& of(void* user) { return *static_cast<Paho*>(user); }

  MQTTAsync_responseOptions answer(MQTTAsync_onSuccess5* then) {
    MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
    response.context = this;
    response.onSuccess5 = then;
    return response;
  }
  void send(const char* topic, int qos, MQTTAsync_onSuccess5* then) {
    MQTTAsync_responseOptions response = answer(then);
    require(MQTTAsync_send(client_, topic, static_cast<int>(payload_.size()), payload_.data(), qos,
                           0, &response),
            "send");
  }
  void go_on(void (MqttWork::*event)()) {
    const std::lock_guard lock(mutex_);
    if (work_ == nullptr) return;
    (work_->*event)();
    if (work_->is_over()) {
      work_ = nullptr;
      done_.release();
    }
  }
  void wait(const char* otherwise) {
    if (done_.try_acquire_for(std::chrono::seconds(kMqttPatienceSeconds))) return;
    const std::lock_guard lock(mutex_);
    work_ = nullptr;
    throw std::runtime_error(std::string("paho: ") + otherwise);
  }

  const MqttOptions options_;
  const std::string payload_;
  MQTTAsync client_ = nullptr;
  std::mutex mutex_;          // for the end of a run that takes too long
  MqttWork* work_ = nullptr;  // guarded by mutex_
  std::counting_semaphore<> done_{0};
};

}  // namespace

std::unique_ptr<MqttSide> paho_raw(const MqttOptions& options) {
  return std::make_unique<Paho>(options);
}

}  // namespace backplane::benchmark
