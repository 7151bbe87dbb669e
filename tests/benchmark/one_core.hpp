// SPDX-License-Identifier: Apache-2.0
// Keeps this thread, and every thread and process that it starts, on one core: what several
// processes do in turn then costs the sum of their work, and not what the scheduler makes of it (a
// broker and a client that wake each other across cores differ by a factor of two from run to run).
#pragma once

#include <sched.h>

namespace backplane::benchmark {

class OneCore {
 public:
  OneCore() {
    sched_getaffinity(0, sizeof before_, &before_);
    int last = 0;
    for (int core = 0; core < CPU_SETSIZE; ++core) {
      if (CPU_ISSET(core, &before_)) last = core;
    }
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(last, &one);
    sched_setaffinity(0, sizeof one, &one);
  }
  ~OneCore() { sched_setaffinity(0, sizeof before_, &before_); }
  OneCore(const OneCore&) = delete;
  OneCore& operator=(const OneCore&) = delete;

 private:
  cpu_set_t before_{};
};

}  // namespace backplane::benchmark
