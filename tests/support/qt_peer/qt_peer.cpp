// SPDX-License-Identifier: Apache-2.0
// qt_peer memory|semaphore native|legacy KEY INPUT: does what the lines of that file say, and
// answers each by a line.
//   memory      create SIZE, attach, write TEXT, read, lock, unlock, detach
//   semaphore   open COUNT, create COUNT, acquire, release N
#include <QSharedMemory>
#include <QSystemSemaphore>
#include <QTextStream>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>

namespace {

QString answer(bool is_ok, const QString& error) {
  return is_ok ? QStringLiteral("ok") : QStringLiteral("error: ") + error;
}

QString use(QSharedMemory& memory, const QString& action, const QString& argument) {
  if (action == "create") return answer(memory.create(argument.toInt()), memory.errorString());
  if (action == "attach") return answer(memory.attach(), memory.errorString());
  if (action == "lock") return answer(memory.lock(), memory.errorString());
  if (action == "unlock") return answer(memory.unlock(), memory.errorString());
  if (action == "detach") return answer(memory.detach(), memory.errorString());
  if (action == "read") {
    return QString::number(memory.size()) + " " +
           QString::fromUtf8(static_cast<const char*>(memory.constData()));
  }
  const QByteArray text = argument.toUtf8();
  std::memcpy(memory.data(), text.constData(), static_cast<std::size_t>(text.size()) + 1);
  return "ok";
}

QString use(std::unique_ptr<QSystemSemaphore>& semaphore, const QString& key, const QString& action,
            const QString& argument) {
  if (action == "open" || action == "create") {
    semaphore = std::make_unique<QSystemSemaphore>(
        key, argument.toInt(),
        action == "create" ? QSystemSemaphore::Create : QSystemSemaphore::Open);
    return answer(semaphore->error() == QSystemSemaphore::NoError, semaphore->errorString());
  }
  const bool is_ok =
      action == "acquire" ? semaphore->acquire() : semaphore->release(argument.toInt());
  return answer(is_ok, semaphore->errorString());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  const bool is_memory = std::strcmp(argv[1], "memory") == 0;
  const QString key = QString::fromUtf8(argv[3]);
  QSharedMemory memory;
  std::unique_ptr<QSystemSemaphore> semaphore;
  if (std::strcmp(argv[2], "native") == 0) {
    memory.setNativeKey(key);
  } else {
    memory.setKey(key);
  }
  std::ifstream in(argv[4]);
  QTextStream out(stdout);
  for (std::string text; std::getline(in, text);) {
    const QString line = QString::fromStdString(text);
    const QString action = line.section(' ', 0, 0);
    const QString argument = line.section(' ', 1);
    out << (is_memory ? use(memory, action, argument) : use(semaphore, key, action, argument))
        << "\n";
    out.flush();
  }
  return 0;
}
