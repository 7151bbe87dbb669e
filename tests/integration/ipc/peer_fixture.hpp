// SPDX-License-Identifier: Apache-2.0
// A key of each type, and the program `peer` that uses it and is killed.
#pragma once

#include "backplane/sdk/native_key.hpp"
#include "support/scratch_folder.hpp"

#include <gtest/gtest.h>

#include <string>
#include <unistd.h>
#include <vector>

namespace backplane::test {

class WithPeers : public testing::TestWithParam<uint32_t> {
 protected:
  std::vector<std::string> peer(const std::string& action) const {
    return {BP_TEST_PEER, key_.to_string(), action};
  }

  const ScratchFolder folder_;
  const NativeKey key_{GetParam() == BP_KEY_POSIX ? "/bp-test-" + std::to_string(getpid())
                                                  : (folder_.path() / "key").string(),
                       GetParam()};
};

inline std::string type_name(const testing::TestParamInfo<uint32_t>& key) {
  return key.param == BP_KEY_POSIX ? "Posix" : "SystemV";
}

}  // namespace backplane::test
