// SPDX-License-Identifier: Apache-2.0
#include "credentials.hpp"

#include "error.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <new>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace backplane::kernel {
namespace {

constexpr std::size_t kMostBytes = 1u << 20;  // a bundle of certificate authorities is about 200 kB

// A buffer whose content is wiped by its last release, and the descriptor behind a path that it may
// hold.
struct SecretBuffer {
  bp_buffer buffer{};
  std::atomic<std::uint32_t> owners{1};
  int descriptor = -1;
};

void retain(bp_buffer* buffer) {
  reinterpret_cast<SecretBuffer*>(buffer)->owners.fetch_add(1, std::memory_order_relaxed);
}
void release(bp_buffer* buffer) {
  auto* secret = reinterpret_cast<SecretBuffer*>(buffer);
  if (secret->owners.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  explicit_bzero(buffer->data, buffer->len);
  if (secret->descriptor >= 0) close(secret->descriptor);
  secret->~SecretBuffer();
  std::free(secret);
}
constexpr bp_buffer_ops kSecretOps = {BP_SIZE_TO(bp_buffer_ops, release), BP_BUFFER_HEAP, retain,
                                      release};

bp_buffer* new_secret(std::string_view content) {
  void* const memory = std::malloc(sizeof(SecretBuffer) + content.size() + 1);
  if (memory == nullptr) throw std::bad_alloc();
  auto* secret = new (memory) SecretBuffer;
  auto* data = static_cast<char*>(memory) + sizeof(SecretBuffer);
  std::memcpy(data, content.data(), content.size());
  data[content.size()] = '\0';
  secret->buffer.ops = &kSecretOps;
  secret->buffer.data = data;
  secret->buffer.len = content.size();
  secret->buffer.cap = content.size();
  return &secret->buffer;
}

// A string that forgets its content.
struct Wiped {
  std::string text;
  ~Wiped() { explicit_bzero(text.data(), text.size()); }
};

// Up to `most` bytes, from where the descriptor is. errno, or 0.
int read_up_to(int descriptor, std::size_t most, std::string& out) {
  explicit_bzero(out.data(), out.size());
  out.clear();
  out.reserve(most);  // never moved, so that no copy stays behind
  out.resize(most);
  std::size_t size = 0;
  int error = 0;
  while (error == 0 && size < most) {
    const ssize_t n = ::read(descriptor, out.data() + size, most - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) error = errno;
    if (n <= 0) break;
    size += static_cast<std::size_t>(n);
  }
  out.resize(size);
  return error;
}

// errno, or 0.
int read_file(const std::string& path, std::string& out, struct stat& status) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return errno;
  const bool is_sized = fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
  std::size_t most = kMostBytes + 1;
  if (is_sized) most = std::min(most, static_cast<std::size_t>(status.st_size) + 1);
  int error = read_up_to(descriptor, most, out);
  if (error == 0 && out.size() == most && most <= kMostBytes) {  // it has grown
    error =
        ::lseek(descriptor, 0, SEEK_SET) < 0 ? errno : read_up_to(descriptor, kMostBytes + 1, out);
  }
  ::close(descriptor);
  return error == 0 && out.size() > kMostBytes ? EFBIG : error;
}

bool is_text_line(std::string_view field) {
  return field != "certificate" && field != "key" && field != "ca";
}

bp_buffer* as_file_of(std::string_view content) {
  const int descriptor = memfd_create("bp-credential", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (descriptor < 0) throw std::bad_alloc();
  std::size_t written = 0;
  while (written < content.size()) {
    const ssize_t n = ::write(descriptor, content.data() + written, content.size() - written);
    if (n <= 0) {
      ::close(descriptor);
      throw std::bad_alloc();
    }
    written += static_cast<std::size_t>(n);
  }
  fcntl(descriptor, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
  bp_buffer* const path = new_secret("/proc/self/fd/" + std::to_string(descriptor));
  reinterpret_cast<SecretBuffer*>(path)->descriptor = descriptor;
  return path;
}

}  // namespace

bool is_secret(std::string_view field) noexcept {
  return field == "key" || field == "psk" || field == "password";
}

bool Credentials::is_newly_exposed(const std::string& path, const struct stat& status) const {
  const std::int64_t changed =
      std::int64_t{status.st_ctim.tv_sec} * 1'000'000'000 + status.st_ctim.tv_nsec;
  const std::lock_guard lock(mutex_);
  const auto [known, is_first] = changed_ns_.emplace(path, changed);
  const bool is_renewed = !is_first && std::exchange(known->second, changed) != changed;
  return is_renewed && (status.st_mode & S_IROTH) != 0;
}

void Credentials::add(const std::string& name, const std::string& field, std::string source) {
  sources_[name][field] = std::move(source);
}

bp_status Credentials::get(std::string_view name, std::string_view field, bool as_file,
                           bp_buffer** out, bp_error* error, std::string* exposed) const {
  const auto credential = sources_.find(name);
  const std::string where = "[credentials." + std::string(name) + "] ";
  if (credential == sources_.end()) return set_error(error, BP_NOT_FOUND, where + "does not exist");
  const auto found = credential->second.find(field);
  if (found == credential->second.end())
    return set_error(error, BP_NOT_FOUND, where + "has no " + std::string(field));

  const std::string_view source = found->second;
  Wiped content;
  if (source.starts_with(kFromFile)) {
    const std::string path(source.substr(kFromFile.size()));
    struct stat status {};
    const int failure = read_file(path, content.text, status);
    if (failure != 0) {
      return set_error(
          error, BP_PERMISSION_DENIED,
          where + std::string(field) + ": cannot read " + path + ": " + std::strerror(failure),
          "errno", failure);
    }
    if (is_secret(field) && is_newly_exposed(path, status)) *exposed = path;
    if (as_file) {
      *out = new_secret(path);
      return BP_OK;
    }
    if (is_text_line(field) && content.text.ends_with('\n')) content.text.pop_back();
  } else if (source.starts_with(kFromEnvironment)) {
    const std::string variable(source.substr(kFromEnvironment.size()));
    const char* const value = std::getenv(variable.c_str());
    if (value == nullptr) {
      return set_error(
          error, BP_PERMISSION_DENIED,
          where + std::string(field) + ": the environment variable " + variable + " is not set");
    }
    content.text = value;
  } else {
    content.text = source;
  }
  *out = as_file ? as_file_of(content.text) : new_secret(content.text);
  return BP_OK;
}

}  // namespace backplane::kernel
