// SPDX-License-Identifier: Apache-2.0
// bp.metrics/1: the counters and gauges that instances define.
#pragma once

#include "backplane/kernel.h"
#include "backplane/service/metrics.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace backplane::kernel {

struct Host;

class Metrics {
 public:
  bp_status define(const Host& host, bp_str name, std::uint32_t kind, const bp_pair* labels,
                   std::uint32_t n_labels, std::uint64_t& id);
  void add(std::uint64_t id, std::int64_t delta) noexcept;
  void set(std::uint64_t id, std::int64_t value) noexcept;
  void visit(const std::function<void(const bp_metric_info&)>& visit);

 private:
  struct Metric {
    std::string instance;
    std::string name;
    std::uint32_t kind = 0;
    std::vector<std::pair<std::string, std::string>> labels;
    std::atomic<std::int64_t> value{0};
  };
  using Key =
      std::tuple<std::string, std::string, std::vector<std::pair<std::string, std::string>>>;

  // An id is an index + 1 into blocks that never move, so that add and set take no lock.
  static constexpr std::size_t kBlock = 256;
  static constexpr std::size_t kBlocks = 1024;
  Metric* find(std::uint64_t id) noexcept;

  std::mutex mutex_;
  std::map<Key, std::uint64_t> ids_;  // guarded by mutex_
  std::uint64_t count_ = 0;           // guarded by mutex_
  std::array<std::atomic<Metric*>, kBlocks> blocks_{};
  std::vector<std::unique_ptr<Metric[]>> owned_;  // guarded by mutex_
};

}  // namespace backplane::kernel
