// SPDX-License-Identifier: Apache-2.0
// What a server's configuration may not say, and what is answered.
#include "server_fixture.hpp"

namespace backplane::test {
namespace {

using testing::HasSubstr;

struct Bad {
  std::string name;
  std::string toml;
  std::string says;
};
void PrintTo(const Bad& bad, std::ostream* out) { *out << bad.name; }

class ABadOpcuaServer : public testing::TestWithParam<Bad> {};

TEST_P(ABadOpcuaServer, IsRefusedBeforeItStartsAndSaysWhy) {
  Kernel kernel = opcua_kernel();
  const bool has_address = GetParam().toml.starts_with("listen");
  Status status = kernel.load_text(
      "test.toml",
      concat("[instances.main]\nplugin = \"opcua\"\nsecurity_mode = \"none\"\n",
             has_address ? "" : "listen = \"opc.tcp://127.0.0.1:0\"\n", GetParam().toml, "\n"));
  if (status.is_ok()) {
    status = kernel.start();
  }
  EXPECT_EQ(status.code(), BP_INVALID_ARGUMENT) << status.to_string();
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().says));
}

INSTANTIATE_TEST_SUITE_P(
    Each, ABadOpcuaServer,
    testing::Values(
        Bad{"BothKinds", "url = \"opc.tcp://127.0.0.1:4840\"", "url"},
        Bad{"Role", "nodes = [{ id = \"ns=1;s=A\", type = \"Double\", writers = [\"Opertor\"] }]",
            "the role 'Opertor', which no user has"},
        Bad{"Name", "listen = \"opc.tcp://localhost:4840\"", "expected an IP address"},
        Bad{"Namespace", "nodes = [{ id = \"ns=3;s=A\", type = \"Double\" }]",
            "there is no namespace 3"},
        Bad{"Twice",
            "nodes = [{ id = \"ns=1;s=A\", type = \"Double\" }, { id = \"ns=1;s=A\", type = "
            "\"Int32\" }]",
            "'ns=1;s=A' is there twice"},
        Bad{"SamePath",
            "nodes = [{ id = \"ns=1;s=A\", type = \"Double\" }, { id = \"ns=1;s=B\", path = "
            "\"/A\", type = \"Int32\" }]",
            "there is another one already, 'ns=1;s=A'"},
        Bad{"BelowAVariable",
            "nodes = [{ id = \"ns=1;s=A\", type = \"Double\" }, { id = \"ns=1;s=A.B\", type = "
            "\"Int32\" }]",
            "'ns=1;s=A' is no object"},
        Bad{"NoPath", "nodes = [{ id = \"ns=1;i=7\", type = \"Double\" }]", "needs a 'path'"},
        Bad{"Type", "nodes = [{ id = \"ns=1;s=A\", type = \"Doubel\" }]", "Double"},
        Bad{"Initial", "nodes = [{ id = \"ns=1;s=A\", type = \"Double\", initial = \"warm\" }]",
            "variable 'ns=1;s=A' is a Double"},
        Bad{"InitialShape",
            "nodes = [{ id = \"ns=1;s=A\", type = \"Double\", array = [2], initial = 1.0 }]",
            "variable 'ns=1;s=A' is a Double[2]"},
        Bad{"Range", "nodes = [{ id = \"ns=1;s=A\", type = \"Double\", range = [9, 1] }]",
            "the least and the greatest"},
        Bad{"Uri", "namespaces = [\"http://opcfoundation.org/UA/\"]", "is there already"}),
    [](const auto& each) { return each.param.name; });

}  // namespace
}  // namespace backplane::test
