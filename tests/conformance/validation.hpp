// SPDX-License-Identifier: Apache-2.0
// `backplane validate` as a script uses it.
#pragma once

#include "support/child_process.hpp"

#include <nlohmann/json.hpp>

#include <map>
#include <sstream>

namespace backplane::test {

inline const std::string kBuild = BP_TEST_BUILD_DIR;
inline const std::string kSource = BP_TEST_SOURCE_DIR "/tests/conformance/";

struct Verdict {
  std::string word;
  std::string text;
};

/// What `backplane validate --json` says, by the name of the test.
struct Validation {
  int code = -1;
  std::map<std::string, Verdict> verdicts;
  std::string errors;
};

inline Validation validate(std::vector<std::string> args) {
  args.insert(args.begin(), {kBuild + "/bin/backplane", "validate", "--json"});
  ChildProcess child(std::move(args));
  Validation out;
  out.code = child.wait(std::chrono::minutes(10));
  out.errors = child.err();
  std::istringstream lines(child.out());
  for (std::string line; std::getline(lines, line);) {
    const nlohmann::json verdict = nlohmann::json::parse(line);
    out.verdicts[verdict["name"]] = {verdict["verdict"], verdict["text"]};
  }
  return out;
}

}  // namespace backplane::test
