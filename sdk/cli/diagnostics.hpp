// SPDX-License-Identifier: Apache-2.0
// Mistakes in a manifest as compilers print theirs, so that editors find the place.
#pragma once

#include <backplane/sdk/kernel.hpp>

#include <iostream>

namespace backplane::cli {

/// FILE:LINE:COL: error: text
inline void print_diagnostic(const Diagnostic& found) {
  std::cerr << found.file << ':';
  if (found.line > 0) {
    std::cerr << found.line << ':' << found.column << ':';
  }
  std::cerr << (found.severity == BP_DIAGNOSTIC_ERROR ? " error: " : " warning: ") << found.message
            << '\n';
}

/// Loads the manifest and prints what is wrong with it. False: it has errors, and is not loaded.
inline bool load_and_print(Kernel& kernel, const std::string& file) {
  bool printed = false;
  const Status status = kernel.load(file, [&](const Diagnostic& found) {
    print_diagnostic(found);
    printed = printed || found.severity == BP_DIAGNOSTIC_ERROR;
  });
  if (status.is_error() && !printed) {
    std::cerr << file << ": error: " << status.message() << '\n';
  }
  return status.is_ok();
}

}  // namespace backplane::cli
