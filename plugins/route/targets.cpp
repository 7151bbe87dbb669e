// SPDX-License-Identifier: Apache-2.0
#include "targets.hpp"

namespace backplane::route {

Targets::Targets(const Host& host, std::string_view address, std::string strip)
    : host_(host), address_(address), strip_(std::move(strip)) {}

/// What stands in the place of the placeholder.
Result<std::string_view> Targets::filling(std::string_view path) const {
  if (path.size() > kLongestPath) {
    return Status(BP_INVALID_ARGUMENT, "the path '", path.substr(0, 64), "...' is longer than ",
                  kLongestPath, " bytes");
  }
  if (path.empty()) {
    return Status(BP_INVALID_ARGUMENT, "the message says no path to put for ", kPlaceholder);
  }
  if (!path.starts_with(strip_)) {
    return Status(BP_INVALID_ARGUMENT, "the path '", path, "' does not begin with '", strip_,
                  "', which is to be left out");
  }
  std::string_view rest = path.substr(strip_.size());
  if (rest.starts_with('/')) {
    rest.remove_prefix(1);
  }
  if (rest.empty()) {
    return Status(BP_INVALID_ARGUMENT, "nothing of the path '", path, "' is left to put for ",
                  kPlaceholder);
  }
  return rest;
}

Result<Target*> Targets::at(std::string_view path) {
  if (const auto found = by_path_.find(path); found != by_path_.end()) {
    return &found->second;
  }
  const auto rest = filling(path);
  if (!rest) {
    return rest.status();
  }
  if (by_path_.size() >= kMost) {
    forget_unused();
  }
  Target& made = by_path_[std::string(path)];
  made.address = address_;
  for (size_t at = 0; (at = made.address.find(kPlaceholder, at)) != std::string::npos;
       at += rest->size()) {
    made.address.replace(at, kPlaceholder.size(), *rest);
  }
  return &made;
}

void Targets::close(Target& target) noexcept {
  if (target.ref != 0) {
    host_.services().endpoint.close(host_.raw(), std::exchange(target.ref, 0));
  }
}

void Targets::close() noexcept {
  for (auto& [path, target] : by_path_) {
    close(target);
  }
}

void Targets::forget_unused() noexcept {
  for (auto at = by_path_.begin(); at != by_path_.end();) {
    if (at->second.deliveries != 0) {
      ++at;
      continue;
    }
    close(at->second);
    at = by_path_.erase(at);
  }
}

}  // namespace backplane::route
