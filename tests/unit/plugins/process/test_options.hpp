// SPDX-License-Identifier: Apache-2.0
// Options as the kernel would give them: the defaults of the plugin manifest, and what a test adds.
#pragma once

#include "plugins/process/options.hpp"
#include <backplane/sdk/arena.hpp>

namespace backplane::test {

class ProcessConfig {
 public:
  ProcessConfig(std::initializer_list<std::string_view> command) : config_(arena_) {
    ListBuilder list(arena_);
    for (const std::string_view argument : command) {
      list.add(arena_.copy(argument));
    }
    config_.add("command",
                arena_.list(list.view().size() > 0 ? std::span(list.view().as.list, list.size())
                                                   : std::span<const bp_value>()));
    set("restart", "never");
    set("restart_delay_max_s", 30.0);
    set("stable_after_s", 10.0);
    set("stop_signal", "SIGTERM");
    set("stop_timeout_s", 5.0);
    set("stdin", "null");
    set("log_level", "info");
    set("line_max", 4096);
    ready({});
  }
  ProcessConfig& set(std::string_view key, ValueView value) {
    for (bp_pair& pair : std::span(const_cast<bp_pair*>(config_.pairs().data()), config_.size())) {
      if (ValueView(pair.key) == ValueView(key)) {
        pair.val = arena_.copy(value);
        return *this;
      }
    }
    config_.add(key, arena_.copy(value));
    return *this;
  }
  ProcessConfig& ready(Pairs pairs, double timeout_s = 10) {
    MapBuilder map(arena_);
    map.add("timeout_s", timeout_s);
    for (const Pair& pair : pairs) {
      map.add(pair.key, pair.val);
    }
    return set("ready", arena_.map(map.pairs()));
  }
  process::Options options() const { return process::read_options(Config(config_.view())); }
  Arena& arena() { return arena_; }

 private:
  StackArena<> arena_;
  MapBuilder config_;
};

}  // namespace backplane::test
