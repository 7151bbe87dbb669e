// SPDX-License-Identifier: Apache-2.0
// A kernel with an opcua server, `main`, and a client of it, `plant`.
#pragma once

#include "fixture.hpp"

namespace backplane::test {

/// What most tests need of a server; in TOML, after `listen`.
inline constexpr std::string_view kServerNodes = R"(
namespaces = ["urn:test:more"]
nodes = [
  { id = "ns=1;s=Line1.Temperature", type = "Double", access = "read_write", initial = 20.5, unit = "Cel", range = [0, 100], title = "Temperature of line 1", description = "at its end" },
  { id = "ns=1;s=Line1.Count", type = "Int32", access = "read_write", initial = 7 },
  { id = "ns=1;s=Line1.Fixed", type = "String", initial = "mixer" },
  { id = "ns=1;s=Line1.Empty", type = "Float", access = "read_write" },
  { id = "ns=1;s=Line1.Profile", type = "Double", array = [4], access = "read_write", initial = [1.0, 2.0, 3.0, 4.0] },
  { id = "ns=1;s=Line1.Order", type = "String", access = "write" },
  { id = "ns=2;i=7", type = "Boolean", path = "/Tank1/Open", access = "read_write", initial = false },
]
methods = [
  { id = "ns=1;s=Tank1.SetValve", inputs = [{ name = "open", type = "Double", description = "in percent" }] },
  { id = "ns=1;s=Tank1.Mix", inputs = [{ name = "a", type = "Double" }, { name = "b", type = "Int32" }], outputs = [{ name = "product", type = "Double" }, { name = "text", type = "String" }] },
]
)";

class OpcuaPair {
 public:
  /// `main`, `plant`: more keys of each, in TOML.
  explicit OpcuaPair(std::string_view main = kServerNodes, std::string_view plant = {})
      : kernel_(opcua_kernel()) {
    kernel_
        .load_text(
            "test.toml",
            concat("[instances.main]\nplugin = \"opcua\"\nlisten = \"", url(),
                   "\"\nsecurity_mode = \"none\"\n", main,
                   "\n[instances.plant]\nplugin = \"opcua\"\n", "url = \"", url(),
                   "\"\npublishing_s = 0.01\n", plant, "\n"),
            [](const Diagnostic& found) { ADD_FAILURE() << found.line << ": " << found.message; })
        .or_throw();
    kernel_.start().or_throw();
    EXPECT_TRUE(eventually([&] { return info("plant").state == BP_STATE_UP; }, kPatience))
        << info("plant").detail;
  }
  Kernel& kernel() { return kernel_; }
  uint16_t port() const { return port_; }
  std::string url() const { return concat("opc.tcp://127.0.0.1:", port_); }
  Endpoint open(const std::string& address) { return kernel_.open(address).value(); }
  InstanceInfo info(std::string_view name) const { return info_of(kernel_, name); }
  int64_t metric(std::string_view name) const { return metric_of(kernel_, "main", name); }

 private:
  const uint16_t port_ = free_port_base();
  Kernel kernel_;
};

}  // namespace backplane::test
