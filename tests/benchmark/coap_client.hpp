// SPDX-License-Identifier: Apache-2.0
// A CoAP client that keeps operations under way, each started by the end of another: on libcoap
// alone, or through the plugin.
#pragma once

#include "bench.hpp"

#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace backplane::benchmark {

// What the servers of an experiment offer.
inline constexpr std::string_view kCoapValue = "0123456789abcdef";  // at /value; text/plain
inline constexpr std::size_t kCoapLarge = 65536;                    // bytes of /large

struct CoapWork {
  std::string path = "value";
  std::string payload{};        // of a PUT; empty: a GET
  std::size_t answer_size = 0;  // bytes of the answer's body
  bool is_notified = false;     // the operation ends when its notification has come, too
};

class CoapClient {
 public:
  CoapClient() = default;
  virtual ~CoapClient() = default;
  CoapClient(const CoapClient&) = delete;
  CoapClient& operator=(const CoapClient&) = delete;

  // From now on notifications of /value come.
  virtual void observe() = 0;
  // So many operations, `outstanding` of them under way. `latencies` may be null; with several
  // outstanding it must be.
  virtual void run(const CoapWork& work, std::size_t operations, std::size_t outstanding,
                   std::vector<std::int64_t>* latencies) = 0;
  // By the thread that runs the client, in the last run.
  std::uint64_t allocated() const noexcept { return allocated_; }

 protected:
  void begin(const CoapWork& work, std::size_t operations, std::vector<std::int64_t>* latencies) {
    work_ = work;
    to_send_ = to_end_ = operations;
    latencies_ = latencies;
    allocated_ = allocations();
  }
  // True: one more request is to be sent, now.
  bool take() {
    if (to_send_ == 0) return false;
    --to_send_;
    parts_ = work_.is_notified ? 2 : 1;
    if (latencies_ != nullptr) started_ = now_ns();
    return true;
  }
  // A datagram of the operation has come. True: it was the last one, so that the next may start.
  bool part(bool is_notification, std::size_t size) {
    const std::size_t expected = is_notification ? kCoapValue.size() : work_.answer_size;
    if (size != expected) fail("an answer or notification has not the expected size");
    if (--parts_ > 0 && work_.is_notified) return false;
    if (latencies_ != nullptr) latencies_->push_back(now_ns() - started_);
    if (--to_end_ == 0) allocated_ = allocations() - allocated_;
    return true;
  }
  void fail(const char* why) { failed_ = why; }
  bool is_over() const noexcept { return to_end_ == 0 || failed_ != nullptr; }
  void check() const {
    if (failed_ != nullptr) throw std::runtime_error(std::string("coap: ") + failed_);
  }

  CoapWork work_;

 private:
  std::size_t to_send_ = 0;
  std::size_t to_end_ = 0;
  int parts_ = 0;
  std::int64_t started_ = 0;
  std::vector<std::int64_t>* latencies_ = nullptr;
  std::uint64_t allocated_ = 0;
  const char* failed_ = nullptr;
};

std::shared_ptr<CoapClient> raw_coap_client(std::uint16_t port, std::uint16_t nstart);
std::shared_ptr<CoapClient> plugin_coap_client(std::uint16_t port, std::uint16_t nstart);

}  // namespace backplane::benchmark
