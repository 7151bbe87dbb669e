// SPDX-License-Identifier: Apache-2.0
// Client and server of another implementation, node-opcua, each in a process and a home of its own.
// Define BP_TEST_NODE and BP_TEST_NODE_PATH.
#pragma once

#include "fixture.hpp"
#include "support/scratch_folder.hpp"

namespace backplane::test {

class NodeOpcua {
 public:
  bool says(std::string_view line) { return child_.wait_for_output(line, 60s); }
  std::string so_far() const { return child_.out() + child_.err(); }

 protected:
  NodeOpcua(const std::string& script, const std::vector<std::string>& arguments)
      : child_(command(script, arguments), {{"NODE_PATH", BP_TEST_NODE_PATH},
                                            {"HOME", home_.path().string()},
                                            {"XDG_CONFIG_HOME", home_.path().string()}}) {}
  ChildProcess& child() noexcept { return child_; }

 private:
  static std::vector<std::string> command(const std::string& script,
                                          const std::vector<std::string>& arguments) {
    std::vector<std::string> out = {BP_TEST_NODE,
                                    BP_TEST_SOURCE_DIR "/tests/support/node_opcua/" + script};
    out.insert(out.end(), arguments.begin(), arguments.end());
    return out;
  }
  const ScratchFolder home_;
  ChildProcess child_;
};

/// See client.js for what it can do.
class ForeignClient : public NodeOpcua {
 public:
  ForeignClient(const std::string& url, std::vector<std::string> arguments)
      : NodeOpcua("client.js", with(url, std::move(arguments))) {}
  /// All that it said, when it is done.
  std::string all() {
    EXPECT_EQ(child().wait(60s), 0) << so_far();
    return child().out();
  }

 private:
  static std::vector<std::string> with(const std::string& url, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), url);
    return arguments;
  }
};

/// See server.js for what it has.
class ForeignServer : public NodeOpcua {
 public:
  explicit ForeignServer(const std::vector<std::string>& options = {})
      : ForeignServer(free_port_base(), options) {}
  uint16_t port() const noexcept { return port_; }

 private:
  ForeignServer(uint16_t port, const std::vector<std::string>& options)
      : NodeOpcua("server.js", with(port, options)), port_(port) {
    EXPECT_TRUE(says("ready")) << so_far();
  }
  static std::vector<std::string> with(uint16_t port, std::vector<std::string> options) {
    options.insert(options.begin(), std::to_string(port));
    return options;
  }
  const uint16_t port_;
};

}  // namespace backplane::test
