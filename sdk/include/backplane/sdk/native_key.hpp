// SPDX-License-Identifier: Apache-2.0
// NativeKey: how processes name what they share (backplane/native_key.h says what the types are).
#pragma once

#include "result.hpp"
#include <backplane/native_key.h>

#include <algorithm>
#include <compare>
#include <functional>
#include <string>

namespace backplane {

/// A type, and a name as the system takes it. Exchange its text, not the string it was made of:
///
///     const NativeKey key = NativeKey::safe(NativeKey::Use::kSharedMemory, "line 1").value();
///     spawn({"reader", key.to_string()});                        // "posix:/line%201"
///     const NativeKey same = NativeKey::parse(argv[1]).value();  // in the other process
class NativeKey {
 public:
  enum class Use : uint32_t {
    kSharedMemory = BP_KEY_SHARED_MEMORY,
    kSemaphore = BP_KEY_SEMAPHORE,
  };
  /// What this system uses unless told otherwise, and what Qt used before 6.6.
  static constexpr uint32_t kDefaultType = BP_KEY_POSIX;
  static constexpr uint32_t kLegacyType = BP_KEY_SYSTEM_V;

  /// No key, of the default type.
  NativeKey() = default;
  explicit NativeKey(std::string name, uint32_t type = kDefaultType)
      : type_(type), name_(std::move(name)) {}
  explicit NativeKey(const bp_key& key)
      : type_(key.type), name_(key.name, std::min(key.length, BP_KEY_NAME_MAX)) {}

  /// Errors: as of bp_key_parse.
  static Result<NativeKey> parse(std::string_view text) {
    return make(
        [&](bp_key& out, bp_error& error) { return bp_key_parse(to_str(text), &out, &error); });
  }
  /// Errors: as of bp_key_safe.
  static Result<NativeKey> safe(Use use, std::string_view string, uint32_t type = kDefaultType) {
    return make([&](bp_key& out, bp_error& error) {
      return bp_key_safe(static_cast<uint32_t>(use), type, to_str(string), &out, &error);
    });
  }
  /// Errors: as of bp_key_legacy.
  static Result<NativeKey> legacy(Use use, std::string_view string, uint32_t type = kLegacyType) {
    return make([&](bp_key& out, bp_error& error) {
      return bp_key_legacy(static_cast<uint32_t>(use), type, to_str(string), &out, &error);
    });
  }
  static bool is_supported(Use use, uint32_t type) noexcept {
    return bp_key_is_supported(static_cast<uint32_t>(use), type) != 0;
  }

  uint32_t type() const noexcept { return type_; }
  const std::string& name() const noexcept { return name_; }
  bool is_empty() const noexcept { return name_.empty(); }
  /// Its type is one that there is, and its name is not empty, not too long, and has no NUL.
  bool is_valid() const {
    bp_key key{};
    return raw(key).is_ok() && bp_key_text(&key, nullptr, 0) > 0;
  }

  /// `type:name`; empty: it is not valid.
  std::string to_string() const {
    bp_key key{};
    if (raw(key).is_error()) {
      return {};
    }
    std::string out(bp_key_text(&key, nullptr, 0), '\0');
    bp_key_text(&key, out.data(), out.size() + 1);
    return out;
  }
  /// For the functions of C. OUT_OF_RANGE: the name is too long; INVALID_ARGUMENT: it has a NUL.
  Status raw(bp_key& out) const {
    out = bp_key{};
    if (name_.size() > BP_KEY_NAME_MAX) {
      return Status(BP_OUT_OF_RANGE, "the key's name has ", name_.size(), " bytes, ",
                    BP_KEY_NAME_MAX, " at most");
    }
    if (name_.find('\0') != std::string::npos) {
      return Status(BP_INVALID_ARGUMENT, "the key's name has a NUL");
    }
    out.type = type_;
    out.length = static_cast<uint32_t>(name_.size());
    name_.copy(out.name, name_.size());
    return Status::ok();
  }

  friend bool operator==(const NativeKey&, const NativeKey&) = default;
  friend auto operator<=>(const NativeKey&, const NativeKey&) = default;

 private:
  template <class Make>
  static Result<NativeKey> make(Make make) {
    bp_key key{};
    bp_error error{};
    const bp_status status = make(key, error);
    if (status < 0) {
      return Status::from(status, error);
    }
    return NativeKey(key);
  }

  uint32_t type_ = kDefaultType;
  std::string name_;
};

}  // namespace backplane

template <>
struct std::hash<backplane::NativeKey> {
  size_t operator()(const backplane::NativeKey& key) const noexcept {
    return std::hash<std::string>()(key.name()) * 31 + key.type();
  }
};
