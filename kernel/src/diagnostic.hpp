// SPDX-License-Identifier: Apache-2.0
// What is wrong with a manifest, and where. Every reader of manifests returns std::optional and
// reports here; an empty result means that at least one error was added.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace backplane::kernel {

enum class Severity : std::uint8_t { kError, kWarning };

/// A place in a file. Lines and columns count from 1; line 0 means the file as a whole.
struct SourcePosition {
  std::string file;
  int line = 0;
  int column = 0;
};

/// `FILE:LINE:COL`.
std::string to_string(const SourcePosition& at);

struct Diagnostic {
  std::string file;
  int line = 0;
  int column = 0;
  Severity severity = Severity::kError;
  /// What is wrong, what was expected, the nearest valid word. Never holds a secret.
  std::string message;
};

/// `FILE:LINE:COL: error: MESSAGE`, or `FILE: error: MESSAGE` for the file as a whole.
std::string to_string(const Diagnostic& diagnostic);

/// Collects what is found in one pass, in the order of the text: by file name, line and column, and
/// in the order of arrival where these are equal. One thread at a time.
class Diagnostics {
 public:
  void error(const SourcePosition& at, std::string message);
  void warning(const SourcePosition& at, std::string message);
  void append(const Diagnostics& others);

  bool has_errors() const { return error_count_ > 0; }
  std::size_t error_count() const { return error_count_; }
  const std::vector<Diagnostic>& entries() const { return entries_; }
  /// The first error as text; "unknown error" when there is none.
  std::string first_error() const;

 private:
  void add(Diagnostic added);

  std::vector<Diagnostic> entries_;
  std::size_t error_count_ = 0;
};

}  // namespace backplane::kernel
