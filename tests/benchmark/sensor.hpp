// SPDX-License-Identifier: Apache-2.0
// The world around a gateway: a foreign sensor that PUTs to it (bare libcoap), and a foreign
// subscriber at the broker that sees what comes out (bare libmosquitto); one thread, one clock.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace backplane::benchmark {

class SensorAndSubscriber {
 public:
  SensorAndSubscriber(std::uint16_t coap_port, std::uint16_t mqtt_port);
  ~SensorAndSubscriber();

  struct Result {
    std::vector<std::int64_t> latencies_ns;  // from PUT to the subscriber
    std::int64_t duration_ns = 0;
  };
  // So many PUTs on /value, `outstanding` at a time, each of which is over when it is answered and
  // the subscriber of bench/value has got it. Throws when a message is lost, comes twice or out of
  // order, or when a PUT is refused.
  Result run(unsigned messages, unsigned outstanding);

 private:
  class World;
  const std::unique_ptr<World> world_;
};

}  // namespace backplane::benchmark
