// SPDX-License-Identifier: Apache-2.0
// Of the hosts that this process has started: which runs an instance.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace backplane::benchmark {

// 0: none does.
inline pid_t host_of(std::string_view instance) {
  using namespace std::string_literals;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream children(task.path() / "children");
    pid_t child = 0;
    while (children >> child) {
      std::ifstream file("/proc/" + std::to_string(child) + "/cmdline");
      std::string command;
      std::getline(file, command);
      if (command == "backplane-host\0"s.append(instance) + '\0') return child;
    }
  }
  return 0;
}

}  // namespace backplane::benchmark
