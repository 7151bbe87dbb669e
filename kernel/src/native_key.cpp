// SPDX-License-Identifier: Apache-2.0
#include "native_key.hpp"

#include "error.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <climits>
#include <cstdlib>
#include <pwd.h>
#include <stdexcept>
#include <unistd.h>
#include <vector>

namespace backplane::kernel {
namespace {

constexpr std::string_view kSystemV = "systemv";
constexpr std::string_view kPosix = "posix";
constexpr std::string_view kWindows = "windows";
constexpr std::string_view kAnonymous = "anonymous";
constexpr std::uint32_t kProjectIds = 0xff;
constexpr std::size_t kDigits = 32;  // of a hash, in the name of what the system would not take

constexpr bool is_letter(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

int digit_of(char c) noexcept {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::uint32_t> type_of(std::string_view text) {
  if (text == kPosix) return BP_KEY_POSIX;
  if (text == kSystemV) return BP_KEY_SYSTEM_V;
  if (text == kWindows) return BP_KEY_WINDOWS;
  if (text == kAnonymous) return BP_KEY_ANONYMOUS;
  if (text.substr(0, kSystemV.size()) != kSystemV) return std::nullopt;
  text.remove_prefix(kSystemV.size());
  if (text.size() < 2 || text[0] != '-' || text[1] == '0') return std::nullopt;
  std::uint32_t id = 0;
  const auto [end, problem] = std::from_chars(text.data() + 1, text.data() + text.size(), id);
  const bool is_id =
      problem == std::errc() && end == text.data() + text.size() && id <= kProjectIds;
  return is_id ? std::optional(id) : std::nullopt;
}

std::string text_of_type(std::uint32_t type) {
  switch (type) {
    case BP_KEY_POSIX:
      return std::string(kPosix);
    case BP_KEY_SYSTEM_V:
      return std::string(kSystemV);
    case BP_KEY_WINDOWS:
      return std::string(kWindows);
    case BP_KEY_ANONYMOUS:
      return std::string(kAnonymous);
    default:
      return is_system_v(type) ? std::string(kSystemV) + "-" + std::to_string(type) : std::string();
  }
}

std::string hash_of(const EVP_MD* algorithm, std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  if (EVP_Digest(text.data(), text.size(), digest.data(), &size, algorithm, nullptr) != 1) {
    throw std::runtime_error("OpenSSL has no such hash: is its default provider there?");
  }
  std::string out;
  for (unsigned i = 0; i < size; ++i) {
    constexpr std::string_view kHex = "0123456789abcdef";
    out += kHex[digest[i] >> 4];
    out += kHex[digest[i] & 0xf];
  }
  return out;
}

// A file name that the system takes: the string itself, if it does.
std::string file_name(std::string_view string, std::size_t most) {
  const bool is_taken = string.size() <= most && string != "." && string != ".." &&
                        string.find_first_of(std::string_view("/\0", 2)) == std::string_view::npos;
  if (is_taken) return std::string(string);
  std::string out;
  for (const char c : string) {
    if (out.size() == most - kDigits - 1) break;
    if (is_letter(c) || is_digit(c) || c == '-' || c == '_') out += c;
  }
  return out + "-" + hash_of(EVP_sha256(), string).substr(0, kDigits);
}

std::string environment(const char* name) {
  const char* const value = std::getenv(name);
  return value != nullptr ? value : "";
}

std::string without_slashes_behind(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

std::string temporary_folder() {
  const std::string folder = environment("TMPDIR");
  return folder.empty() ? "/tmp" : without_slashes_behind(folder);
}

std::string user_name() {
  std::vector<char> memory(16384);
  passwd entry{};
  passwd* found = nullptr;
  getpwuid_r(geteuid(), &entry, memory.data(), memory.size(), &found);
  return found != nullptr ? found->pw_name : std::to_string(geteuid());
}

// The percent-encoded path of a URI; false: `problem` says why.
bool decode(std::string_view path, std::string& out, std::string& problem) {
  for (std::size_t i = 0; i < path.size(); ++i) {
    char c = path[i];
    if (c == '%') {
      const int high = i + 2 < path.size() ? digit_of(path[i + 1]) : -1;
      const int low = high >= 0 ? digit_of(path[i + 2]) : -1;
      if (low < 0) {
        problem = "'%' needs two hexadecimal digits behind it; a percent sign itself is %25";
        return false;
      }
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    if (c == '\0') {
      problem = "a name has no NUL";
      return false;
    }
    out += c;
  }
  return true;
}

}  // namespace

std::string runtime_folder() {
  const std::string folder = environment("XDG_RUNTIME_DIR");
  return folder.empty() ? temporary_folder() + "/runtime-" + user_name()
                        : without_slashes_behind(folder);
}

bool is_system_v(std::uint32_t type) noexcept { return type >= 1 && type <= kProjectIds; }

bool is_supported(KeyUse /*use*/, std::uint32_t type) noexcept {
  return type == BP_KEY_POSIX || is_system_v(type) || type == BP_KEY_ANONYMOUS;
}

std::optional<NativeKey> parse_key(std::string_view text, std::string& problem) {
  const std::size_t colon = text.find(':');
  const auto type = colon == std::string_view::npos ? std::nullopt : type_of(text.substr(0, colon));
  if (!type) {
    problem =
        "a key begins with posix:, systemv:, systemv-N: (N from 1 to 255), anonymous: or "
        "windows:";
    return std::nullopt;
  }
  std::string_view path = text.substr(colon + 1);
  if (path.substr(0, 2) == "//") {
    problem = "a name does not begin with two slashes; the second is %2F";
    return std::nullopt;
  }
  if (const std::size_t end = path.find_first_of("?#"); end != std::string_view::npos) {
    constexpr std::string_view kLegacy = "?legacyKey=";
    if (path.substr(end, kLegacy.size()) != kLegacy ||
        path.find_first_of("#&", end + 1) != std::string_view::npos) {
      problem = "'?' and '#' are reserved; as part of a name they are %3F and %23";
      return std::nullopt;
    }
    path = path.substr(0, end);
  }
  NativeKey out{*type, {}};
  if (!decode(path, out.name, problem)) return std::nullopt;
  if (out.name.empty()) {
    problem = "there is no name behind ':'";
    return std::nullopt;
  }
  return out;
}

std::string text_of(const NativeKey& key) {
  std::string out = text_of_type(key.type);
  if (out.empty() || key.name.empty()) return {};
  out += ':';
  for (std::size_t i = 0; i < key.name.size(); ++i) {
    constexpr std::string_view kPlain = "-._~/@:!$&'()*+,;=";
    constexpr std::string_view kHex = "0123456789ABCDEF";
    const char c = key.name[i];
    // Two slashes in front would begin a URI's authority.
    const bool is_authority = i == 1 && c == '/' && key.name[0] == '/';
    if ((is_letter(c) || is_digit(c) || kPlain.find(c) != std::string_view::npos) &&
        !is_authority) {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 0xf];
    }
  }
  return out;
}

NativeKey safe_key(KeyUse use, std::uint32_t type, std::string_view string) {
  // sem_open(3) puts "sem." in front; memfd_create(2) "memfd:".
  constexpr std::size_t kSemaphorePrefix = 4;
  constexpr std::size_t kMemfdPrefix = 6;
  if (type == BP_KEY_POSIX) {
    return {type,
            "/" + file_name(string, NAME_MAX - (use == KeyUse::kSemaphore ? kSemaphorePrefix : 0))};
  }
  if (type == BP_KEY_ANONYMOUS) return {type, file_name(string, NAME_MAX - kMemfdPrefix)};
  const bool is_path = string.front() == '/' && string.size() < PATH_MAX &&
                       string.find('\0') == std::string_view::npos;
  return {type,
          is_path ? std::string(string) : runtime_folder() + "/" + file_name(string, NAME_MAX)};
}

NativeKey legacy_key(KeyUse use, std::uint32_t type, std::string_view string) {
  std::string name = use == KeyUse::kSharedMemory ? "qipc_sharedmemory_" : "qipc_systemsem_";
  std::copy_if(string.begin(), string.end(), std::back_inserter(name), &is_letter);
  name += hash_of(EVP_sha1(), string);
  return {type, (is_system_v(type) ? temporary_folder() : std::string()) + "/" + name};
}

}  // namespace backplane::kernel
