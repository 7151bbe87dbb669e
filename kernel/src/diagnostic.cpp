// SPDX-License-Identifier: Apache-2.0
#include "diagnostic.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

namespace backplane::kernel {

std::string to_string(const SourcePosition& at) {
  return at.file + ':' + std::to_string(at.line) + ':' + std::to_string(at.column);
}

std::string to_string(const Diagnostic& diagnostic) {
  std::string line = diagnostic.file;
  if (diagnostic.line > 0) {
    line += ':' + std::to_string(diagnostic.line) + ':' + std::to_string(diagnostic.column);
  }
  line += diagnostic.severity == Severity::kError ? ": error: " : ": warning: ";
  return line + diagnostic.message;
}

void Diagnostics::error(const SourcePosition& at, std::string message) {
  add({at.file, at.line, at.column, Severity::kError, std::move(message)});
}

void Diagnostics::warning(const SourcePosition& at, std::string message) {
  add({at.file, at.line, at.column, Severity::kWarning, std::move(message)});
}

void Diagnostics::append(const Diagnostics& others) {
  for (const Diagnostic& each : others.entries_) add(each);
}

void Diagnostics::add(Diagnostic added) {
  if (added.severity == Severity::kError) ++error_count_;
  const auto before = [](const Diagnostic& a, const Diagnostic& b) {
    return std::tie(a.file, a.line, a.column) < std::tie(b.file, b.line, b.column);
  };
  const auto place = std::upper_bound(entries_.begin(), entries_.end(), added, before);
  entries_.insert(place, std::move(added));
}

std::string Diagnostics::first_error() const {
  for (const Diagnostic& diagnostic : entries_) {
    if (diagnostic.severity == Severity::kError) return to_string(diagnostic);
  }
  return "unknown error";
}

}  // namespace backplane::kernel
