// SPDX-License-Identifier: Apache-2.0
#include "qt_side.hpp"

#include <QSharedMemory>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <unistd.h>

namespace backplane::benchmark {

std::function<void()> qt_locked_copy(const void* data, int size) {
  auto memory = std::make_shared<QSharedMemory>(QString("bp-bench-%1").arg(getpid()));
  if (!memory->create(size)) {
    throw std::runtime_error(memory->errorString().toStdString());
  }
  return [memory, data, size] {
    if (!memory->lock()) {
      throw std::runtime_error(memory->errorString().toStdString());
    }
    std::memcpy(memory->data(), data, static_cast<std::size_t>(size));
    memory->unlock();
  };
}

}  // namespace backplane::benchmark
