// SPDX-License-Identifier: Apache-2.0
// Config: an instance's configuration as create() gets it. The kernel has checked it against the
// schema of the plugin's manifest and filled in the defaults, so that there is no second default
// here, and a missing key is a mistake of the schema.
#pragma once

#include "value.hpp"

#include <cstdint>

namespace backplane {

/// Reads a MAP; borrowed, like it. Every getter but find() and has() throws Error
/// (INVALID_ARGUMENT, with the path of the key) when the key is absent or of another type.
class Config {
 public:
  Config() noexcept = default;
  explicit Config(ValueView map, std::string path = {}) : map_(map), path_(std::move(path)) {}

  bool has(std::string_view key) const noexcept { return map_.find(key).has_value(); }
  ValueView value(std::string_view key) const {
    const auto found = map_.find(key);
    if (!found) {
      throw Error(BP_INVALID_ARGUMENT, "configuration: '", path_, key, "' is missing");
    }
    return *found;
  }
  template <class T>
  T get(std::string_view key) const {
    return convert<T>(key, value(key));
  }
  /// Nothing when the key is absent; still throws when it is of another type.
  template <class T>
  std::optional<T> find(std::string_view key) const {
    const auto found = map_.find(key);
    return found ? std::optional<T>(convert<T>(key, *found)) : std::nullopt;
  }

  std::string string(std::string_view key) const { return get<std::string>(key); }
  template <std::integral T = int64_t>
  T integer(std::string_view key) const {
    return get<T>(key);
  }
  double number(std::string_view key) const { return get<double>(key); }
  bool boolean(std::string_view key) const { return get<bool>(key); }
  /// A number of seconds (or milliseconds), fractions allowed, for keys such as `keep_alive_s`
  /// (`timeout_ms`).
  std::chrono::nanoseconds seconds(std::string_view key) const { return duration(key, 1e9); }
  std::chrono::nanoseconds milliseconds(std::string_view key) const { return duration(key, 1e6); }
  std::vector<std::string> strings(std::string_view key) const {
    return get<std::vector<std::string>>(key);
  }

  /// A sub-table; an empty one when the key is absent.
  Config table(std::string_view key) const {
    const auto found = map_.find(key);
    return Config(found ? require_map(key, *found) : ValueView(), concat(path_, key, "."));
  }
  /// A list of tables, `[[instances.x.resources]]`; empty when the key is absent.
  std::vector<Config> tables(std::string_view key) const {
    std::vector<Config> out;
    if (const auto found = map_.find(key)) {
      for (const ValueView item : found->items()) {
        out.emplace_back(require_map(key, item), concat(path_, key, "[", out.size(), "]."));
      }
    }
    return out;
  }
  ValueView map() const noexcept { return map_; }

 private:
  template <class T>
  T convert(std::string_view key, ValueView found) const {
    auto converted = found.as_result<T>();
    if (!converted) {
      throw Error(Status(converted.status()).with_context("configuration: '", path_, key, "'"));
    }
    return *std::move(converted);
  }
  std::chrono::nanoseconds duration(std::string_view key, double unit) const {
    const double count = number(key) * unit;
    if (!(std::abs(count) < 9.2e18)) {
      throw Error(BP_INVALID_ARGUMENT, "configuration: '", path_, key, "' is too long");
    }
    return std::chrono::nanoseconds(std::llround(count));
  }
  ValueView require_map(std::string_view key, ValueView found) const {
    if (found.tag != BP_T_MAP) {
      throw Error(BP_INVALID_ARGUMENT, "configuration: '", path_, key, "': expected a table, got ",
                  found.type_name());
    }
    return found;
  }

  ValueView map_;
  std::string path_;
};

}  // namespace backplane
