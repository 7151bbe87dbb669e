// SPDX-License-Identifier: Apache-2.0
// The children of a process, and which of them are hosts of isolated instances.
#pragma once

#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <dirent.h>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <unistd.h>
#include <vector>

namespace backplane::test {

/// Of a file below /proc; empty: the process is gone, perhaps while it is read.
inline std::string told_by_proc(const std::string& path) {
  std::ostringstream out;
  out << std::ifstream(path).rdbuf();  // turns an error into a state; an iterator throws it
  return out.str();
}

/// The processes whose parent is that one.
inline std::set<pid_t> children(pid_t of = getpid()) {
  std::set<pid_t> out;
  DIR* const processes = opendir("/proc");
  while (const dirent* entry = readdir(processes)) {
    if (std::isdigit(static_cast<unsigned char>(entry->d_name[0])) == 0) {
      continue;
    }
    const std::string text = told_by_proc("/proc/" + std::string(entry->d_name) + "/stat");
    const size_t end = text.rfind(')');
    char state = 0;
    int parent = 0;
    if (end != std::string::npos &&
        std::sscanf(text.c_str() + end, ") %c %d", &state, &parent) == 2 && parent == of) {
      out.insert(std::atoi(entry->d_name));
    }
  }
  closedir(processes);
  return out;
}

/// Those of its children that run an instance; of all instances, or of one.
inline std::vector<pid_t> hosts(pid_t of, std::string_view instance = {}) {
  std::string wanted = "backplane-host";
  wanted += '\0';
  if (!instance.empty()) {
    wanted.append(instance) += '\0';
  }
  std::vector<pid_t> out;
  for (const pid_t child : children(of)) {
    if (told_by_proc("/proc/" + std::to_string(child) + "/cmdline").starts_with(wanted)) {
      out.push_back(child);
    }
  }
  return out;
}

/// The process that runs an instance of this one; 0 while none does.
inline pid_t host_of(std::string_view instance) {
  const std::vector<pid_t> found = hosts(getpid(), instance);
  return found.empty() ? 0 : found.front();
}

/// What the threads of a process wait for, for the text of a failure.
inline std::string waits_of(pid_t process) {
  if (process == 0) {
    return "there is no process";
  }
  const std::string tasks = "/proc/" + std::to_string(process) + "/task/";
  std::string out = "process " + std::to_string(process);
  DIR* const threads = opendir(tasks.c_str());
  while (const dirent* entry = threads != nullptr ? readdir(threads) : nullptr) {
    if (std::isdigit(static_cast<unsigned char>(entry->d_name[0])) != 0) {
      const std::string at = tasks + entry->d_name;
      std::string name = told_by_proc(at + "/comm");
      name.resize(name.empty() ? 0 : name.size() - 1);
      out += "; " + name + " in " + told_by_proc(at + "/wchan");
    }
  }
  if (threads != nullptr) {
    closedir(threads);
  }
  return out;
}

}  // namespace backplane::test
