// SPDX-License-Identifier: Apache-2.0
// Requests and answers, into whose two segments a peer writes what it likes: what is received lies
// in them, a request is answered once at most, and every call ends. The input is a script: one byte
// for each thing that is done; to write, an offset (two bytes), a length (one), and so many bytes.
#include "backplane/request.h"

#include "channel_memory.hpp"
#include "memory_header.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <set>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

namespace {

using backplane::kernel::ChannelMemory;
using backplane::kernel::MemoryHeader;

constexpr uint64_t kSize = 100;  // of requests and answers
constexpr int64_t kPast = 1;     // nothing is waited for
constexpr uint64_t kLittle = 1U << 20U;

void require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

// A segment as a peer has it.
class Written {
 public:
  explicit Written(const std::string& name) {
    const int file = shm_open(name.c_str(), O_RDWR | O_CLOEXEC, 0);
    struct stat about {};
    if (file < 0 || fstat(file, &about) != 0) return;
    size_ = static_cast<std::size_t>(about.st_size) - MemoryHeader::kSize;
    void* const memory =
        mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, file, MemoryHeader::kSize);
    close(file);
    require(memory != MAP_FAILED);
    bytes_ = static_cast<char*>(memory);
  }
  ~Written() {
    if (bytes_ != nullptr) munmap(bytes_, size_);
  }
  Written(const Written&) = delete;
  Written& operator=(const Written&) = delete;

  // But not into the mutexes: who can do that can do all (docs/shared_memory.md).
  void write(std::size_t offset, const uint8_t* data, std::size_t n) {
    constexpr std::size_t kPlaces = offsetof(ChannelMemory, places);
    for (std::size_t at = offset; at < size_ && at < offset + n; ++at) {
      const bool is_of_place = at >= kPlaces && at < sizeof(ChannelMemory);
      if (is_of_place && (at - kPlaces) % sizeof(ChannelMemory::Place) < sizeof(pthread_mutex_t)) {
        continue;
      }
      bytes_[at] = static_cast<char>(data[at - offset]);
    }
    if (bytes_ == nullptr) return;
    // Answers that the machine has no memory for, or more than it has for this, are refused alike.
    auto& shape = reinterpret_cast<ChannelMemory*>(bytes_)->shape;
    if (shape.response_size > kLittle / std::max<uint64_t>(1, shape.held)) {
      shape.response_size |= uint64_t{1} << 40U;
    }
  }

 private:
  std::size_t size_ = 0;
  char* bytes_ = nullptr;
};

// The name of the answers that this process made.
std::string answers_of_this_process() {
  std::string out;
  DIR* const folder = opendir("/dev/shm");
  while (const dirent* const entry = folder == nullptr ? nullptr : readdir(folder)) {
    if (std::strncmp(entry->d_name, "backplane-answers-", 18) != 0) continue;
    const std::string name = std::string("/") + entry->d_name;
    const int file = shm_open(name.c_str(), O_RDONLY | O_CLOEXEC, 0);
    MemoryHeader header{};
    if (pread(file, static_cast<void*>(&header), sizeof header, 0) ==
            static_cast<ssize_t>(sizeof header) &&
        header.maker == static_cast<uint64_t>(getpid())) {
      out = name;
    }
    close(file);
  }
  if (folder != nullptr) closedir(folder);
  return out;
}

// What one input does.
class Run {
 public:
  Run() : name_("/backplane-fuzz-" + std::to_string(getpid())) {
    key_.type = BP_KEY_POSIX;
    key_.length = static_cast<uint32_t>(name_.size());
    std::memcpy(key_.name, name_.data(), name_.size());
    open_responder();
    require(responder_ != nullptr);
    open_requester();
    requests_ = new Written(name_);
  }
  ~Run() {
    close_requester();
    bp_responder_close(responder_);
    delete requests_;
    shm_unlink(name_.c_str());
  }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  void open_responder() {
    bp_responder_close(responder_);
    held_.clear();
    bp_responder_options options{};
    options.struct_size = sizeof options;
    options.requesters = 2;
    options.request_size = options.response_size = kSize;
    options.outstanding = 2;
    bp_responder_open(&key_, &options, &responder_, nullptr);
  }
  void open_requester() {
    close_requester();
    bp_requester_open(&key_, nullptr, &requester_, nullptr);
    if (requester_ != nullptr) answers_ = new Written(answers_of_this_process());
  }
  void close_requester() {
    bp_requester_close(requester_);
    requester_ = nullptr;
    outstanding_.clear();
    delete answers_;
    answers_ = nullptr;
  }
  void send(uint64_t size) {
    void* memory = nullptr;
    uint64_t number = 0;
    if (requester_ == nullptr || bp_requester_loan(requester_, size, &memory, nullptr) != BP_OK) {
      return;
    }
    std::memset(memory, 7, size);
    if (bp_requester_send(requester_, size, kPast, &number, nullptr) == BP_OK) {
      require(outstanding_.insert(number).second);
    }
  }
  void receive() {
    bp_request request{};
    if (responder_ == nullptr || held_.size() == 2 ||
        bp_responder_receive(responder_, kPast, &request, nullptr) != BP_OK) {
      return;
    }
    read(request.data, request.size);
    held_.push_back(request);
  }
  void respond(uint64_t size) {
    if (held_.empty()) return;
    void* memory = nullptr;
    if (bp_responder_loan(responder_, &held_.back(), size, &memory, nullptr) == BP_OK) {
      std::memset(memory, 9, size);
      bp_responder_respond(responder_, &held_.back(), size, nullptr);
    } else {
      bp_responder_release(responder_, &held_.back());
    }
    held_.pop_back();
  }
  void give_back() {
    if (held_.empty()) return;
    bp_responder_release(responder_, &held_.front());
    held_.erase(held_.begin());
  }
  void receive_answer() {
    bp_response response{};
    if (requester_ == nullptr) return;
    const bp_status status = bp_requester_receive(requester_, kPast, &response, nullptr);
    if (status == BP_OK || status == BP_ABORTED) require(outstanding_.erase(response.number) == 1);
    if (status == BP_UNAVAILABLE) outstanding_.clear();
    if (status != BP_OK) return;
    read(response.data, response.size);
    bp_requester_release(requester_, &response);
  }
  void forget() {
    if (outstanding_.empty()) return;
    bp_requester_forget(requester_, *outstanding_.begin());
    outstanding_.erase(outstanding_.begin());
  }
  Written* requests() { return requests_; }
  Written* answers() { return answers_; }

 private:
  static void read(const void* data, uint64_t size) {
    require(size <= kLittle);
    std::vector<char> copy(size);
    if (size != 0) std::memcpy(copy.data(), data, size);
  }

  const std::string name_;
  bp_key key_{};
  bp_responder* responder_ = nullptr;
  bp_requester* requester_ = nullptr;
  Written* requests_ = nullptr;
  Written* answers_ = nullptr;
  std::vector<bp_request> held_;
  std::set<uint64_t> outstanding_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  Run run;
  for (std::size_t at = 0; at < size; ++at) {
    const uint64_t argument = data[at] / 10;  // up to 25: in the head of a slot, or not
    switch (data[at] % 10) {
      case 0:
        run.send(argument * 4);
        break;
      case 1:
        run.receive();
        break;
      case 2:
        run.respond(argument * 4);
        break;
      case 3:
        run.give_back();
        break;
      case 4:
        run.receive_answer();
        break;
      case 5:
        run.forget();
        break;
      case 6:
        run.open_requester();
        break;
      case 7:
        run.open_responder();
        break;
      default: {
        Written* const written = data[at] % 10 == 8 ? run.requests() : run.answers();
        if (at + 3 >= size) break;
        const std::size_t offset = data[at + 1] | static_cast<std::size_t>(data[at + 2]) << 8U;
        const std::size_t n = std::min<std::size_t>(data[at + 3], size - at - 4);
        if (written != nullptr) written->write(offset, data + at + 4, n);
        at += 3 + n;
      }
    }
  }
  return 0;
}
