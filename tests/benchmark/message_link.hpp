// SPDX-License-Identifier: Apache-2.0
// Numbers that go to another process and back, each in a message of a size, by what the benchmark
// of channels compares.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace backplane::benchmark {

// What is compared, as like with like.
struct LinkOptions {
  std::string name;          // both sides have the same, of a file
  bool is_first = false;     // which of the two sides this is
  std::uint64_t size = 0;    // of a message, 8 and more
  bool spins = false;        // when it waits; else it sleeps
  bool is_lossless = false;  // who sends waits for who receives; else the oldest is lost
  // How many messages who receives may be behind.
  std::uint32_t capacity() const { return !is_lossless ? 16 : size > 1024 ? 4 : 256; }
};

class MessageLink {
 public:
  virtual ~MessageLink() = default;
  // Writes the number into the first 8 bytes of a message.
  virtual void send(std::uint64_t number) = 0;
  // Reads the first 8 bytes. None: nothing came for a tenth of a second.
  virtual std::optional<std::uint64_t> receive() = 0;
};

std::unique_ptr<MessageLink> channel_link(const LinkOptions& options);
std::unique_ptr<MessageLink> request_link(const LinkOptions& options);
std::unique_ptr<MessageLink> spin_link(const LinkOptions& options);
std::unique_ptr<MessageLink> futex_link(const LinkOptions& options);
std::unique_ptr<MessageLink> unix_socket_link(const LinkOptions& options);
std::unique_ptr<MessageLink> iceoryx_link(const LinkOptions& options);  // if it is installed

}  // namespace backplane::benchmark
