// SPDX-License-Identifier: Apache-2.0
#include "systemd.hpp"

#include <systemd/sd-daemon.h>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

namespace backplane::cli::systemd {

void ready(std::string_view status) {
  sd_notify(0, ("READY=1\nSTATUS=" + std::string(status)).c_str());
}
void stopping(std::string_view status) {
  sd_notify(0, ("STOPPING=1\nSTATUS=" + std::string(status)).c_str());
}
void status(std::string_view text) { sd_notify(0, ("STATUS=" + std::string(text)).c_str()); }
void alive() { sd_notify(0, "WATCHDOG=1"); }

std::optional<std::chrono::nanoseconds> watchdog_period() {
  uint64_t limit_us = 0;
  if (sd_watchdog_enabled(0, &limit_us) <= 0) {
    return std::nullopt;
  }
  return std::chrono::microseconds(limit_us) / 2;
}

bool stderr_is_journal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat self {};
  uintmax_t device = 0;
  uintmax_t inode = 0;
  return stream != nullptr && std::sscanf(stream, "%" SCNuMAX ":%" SCNuMAX, &device, &inode) == 2 &&
         fstat(STDERR_FILENO, &self) == 0 && self.st_dev == device && self.st_ino == inode;
}

}  // namespace backplane::cli::systemd
