// SPDX-License-Identifier: Apache-2.0
// Processes that share the speed of a line: `line set KEY SPEED`, `line watch KEY`.
#include <backplane/sdk/shared_memory.hpp>

#include <cstdlib>
#include <iostream>

namespace {

using namespace backplane;

struct Line {
  ProcessCondition changed;
  uint64_t changes;
  double speed;
};

/// The lock, with what a killed process may have left half done mended.
ProcessLock locked(SharedMemory& memory) {
  ProcessLock lock = memory.lock().value();
  if (lock.owner_died()) {
    lock.repaired();  // each value here is good by itself
  }
  return lock;
}

void set(SharedMemory& memory, double speed) {
  const ProcessLock lock = locked(memory);
  Line& line = memory.as<Line>();
  line.speed = speed;
  ++line.changes;
  line.changed.notify();
}

[[noreturn]] void watch(SharedMemory& memory) {
  Line& line = memory.as<Line>();
  ProcessLock lock = locked(memory);
  for (uint64_t seen = 0;; seen = line.changes) {
    Status status;
    while ((status = line.changed.wait(lock, [&] { return line.changes != seen; })).is_error()) {
      if (status.code() != BP_ABORTED) {
        throw Error(status);
      }
      lock.repaired();
    }
    std::cout << line.speed << std::endl;
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "line set KEY SPEED | line watch KEY\n";
    return 2;
  }
  try {
    const NativeKey key = NativeKey::parse(argv[2]).value();
    SharedMemory memory = SharedMemory::open(key, {.size = sizeof(Line)}).value();
    if (argc == 4) {
      set(memory, std::atof(argv[3]));
    } else {
      watch(memory);
    }
  } catch (const Error& error) {
    std::cerr << "line: " << error.what() << '\n';
    return 1;
  }
}
