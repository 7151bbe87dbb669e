// SPDX-License-Identifier: Apache-2.0
#include "system_manifest.hpp"

#include "support/diagnostic_lines.hpp"
#include "support/manifest_plugins.hpp"
#include "support/scratch_folder.hpp"

#include <gmock/gmock.h>

#include <fstream>
#include <sstream>

namespace backplane::kernel {
namespace {

using nlohmann::json;
using test::ScratchFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const Environment kEnvironment = [](const std::string& name) -> std::optional<std::string> {
  if (name == "PASSWORD") return "from the environment";
  return std::nullopt;
};

class SystemManifestTest : public ::testing::Test {
 protected:
  SystemManifestTest() {
    Diagnostics diagnostics;
    for (const std::string_view text : test::kManifestPlugins)
      catalogue_.add(text, "test plugins", diagnostics);
    EXPECT_THAT(test::lines(diagnostics), IsEmpty());
  }

  std::vector<std::string> mistakes(std::string_view text) const {
    Diagnostics diagnostics;
    const auto sut = SystemManifest::parse(text, "p.toml", catalogue_, kEnvironment, diagnostics);
    EXPECT_EQ(sut.has_value(), !diagnostics.has_errors());
    return test::lines(diagnostics);
  }

  SystemManifest good(std::string_view text) const {
    Diagnostics diagnostics;
    auto sut = SystemManifest::parse(text, "p.toml", catalogue_, kEnvironment, diagnostics);
    EXPECT_THAT(test::lines(diagnostics), IsEmpty());
    return sut ? std::move(*sut) : SystemManifest{};
  }

  PluginCatalogue catalogue_;
};

constexpr std::string_view kPlant = R"(
[system]
name = "plant"
stop_timeout_s = 2.5

[instances.cloud]
plugin = "link"
url = "mqtt://localhost:1883"
after = ["sensors"]

[instances.sensors]
plugin = "source"
listen = "coap://127.0.0.1"

[[routes]]
name = "line1"
from = "sensors:/line1"
to = ["cloud:plant/line1", "mqtt://other/plant"]

[[routes]]
from = "sensors:/line2"
to = "cloud:plant/line2"
)";

using SystemManifestIs = SystemManifestTest;

TEST_F(SystemManifestIs, InstancesInTheOrderOfDeclaration) {
  const SystemManifest sut = good(kPlant);
  std::vector<std::string> names;
  for (const InstanceManifest& each : sut.instances)
    names.push_back(each.name + " " + each.plugin->id);
  EXPECT_THAT(names, ElementsAre("cloud link", "sensors source", "line1 route", "route-2 route"));
  EXPECT_EQ(sut.instances[1].position.line, 11);
  EXPECT_TRUE(sut.instances[2].is_route);
  EXPECT_EQ(sut.options.name, "plant");
  EXPECT_EQ(sut.options.log_level, "info");
  EXPECT_EQ(sut.options.start_timeout, std::chrono::seconds(30));
  EXPECT_EQ(sut.options.stop_timeout, std::chrono::milliseconds(2500));
}

TEST_F(SystemManifestIs, ConfigurationsWithDefaultsAndWithoutReservedKeys) {
  const SystemManifest sut = good(kPlant);
  EXPECT_EQ(sut.instances[0].config, json::parse(R"({"url":"mqtt://localhost:1883","qos":1})"));
  EXPECT_EQ(
      sut.instances[2].config,
      json::parse(
          R"({"from":"sensors:/line1","to":["cloud:plant/line1","mqtt://other/plant"],"policy":"block"})"));
}

TEST_F(SystemManifestIs, InAnOrderThatPutsRoutesLast) {
  const SystemManifest sut = good(kPlant);
  EXPECT_THAT(sut.instances[0].after, ElementsAre(1));
  EXPECT_THAT(sut.instances[2].dependencies, ElementsAre(1, 0));
  EXPECT_THAT(sut.start_order, ElementsAre(1, 0, 2, 3));
}

TEST_F(SystemManifestIs, GrantsFromTheConfiguration) {
  const SystemManifest sut = good(kPlant);
  EXPECT_THAT(sut.instances[0].grants, IsEmpty());
  std::vector<std::string> grants;
  for (const Grant& each : sut.instances[2].grants)
    grants.push_back(std::to_string(each.verbs) + " " + to_string(each.pattern));
  const std::string watch = std::to_string(bit(Verb::kWatch));
  const std::string write = std::to_string(bit(Verb::kWrite));
  EXPECT_THAT(grants, ::testing::UnorderedElementsAre(watch + " sensors:/line1",
                                                      write + " cloud:plant/line1",
                                                      write + " mqtt://other/plant"));
}

TEST_F(SystemManifestIs, GrantsWhatStandsBeforeAPlaceholder) {
  const auto granted = [&](const std::string& to) {
    const SystemManifest sut = good(
        std::string(kPlant) + "[[routes]]\nname = 'r'\nfrom = 'sensors:/a'\nto = '" + to + "'\n");
    return to_string(sut.instances.back().grants.back().pattern);
  };
  EXPECT_EQ(granted("cloud:plant/{path}/value"), "cloud:plant/*");
  EXPECT_EQ(granted("cloud:{path}"), "cloud:*");
  EXPECT_EQ(granted("mqtt://other/{path}"), "mqtt://other/*");
  EXPECT_EQ(granted("cloud:plant/{paths}"), "cloud:plant/{paths}");
}

TEST_F(SystemManifestIs, GrantsFromAllowAsFarAsThePluginAsks) {
  const SystemManifest sut = good(
      "[instances.cloud]\nplugin = 'link'\nurl = 'mqtt://h'\n[instances.one]\nplugin = "
      "'single'\nallow.write = ['cloud:*', 'cloud:plant/a']\n");
  ASSERT_EQ(sut.instances[1].grants.size(), 2U);
  EXPECT_EQ(to_string(sut.instances[1].grants[0].pattern), "cloud:plant/*");
  EXPECT_EQ(to_string(sut.instances[1].grants[1].pattern), "cloud:plant/a");
}

TEST_F(SystemManifestIs, GrantsUnaskedOnlyOfSchemesWhosePluginReachesNothingOutside) {
  const SystemManifest sut = good("[instances.a]\nplugin = 'source'\n");
  ASSERT_EQ(sut.instances[0].grants.size(), 1U);
  EXPECT_EQ(sut.instances[0].grants[0].verbs, bit(Verb::kCall));
  EXPECT_EQ(to_string(sut.instances[0].grants[0].pattern), "format://*");
}

TEST_F(SystemManifestIs, EmptyWithoutInstances) {
  const SystemManifest sut = good("");
  EXPECT_THAT(sut.instances, IsEmpty());
  EXPECT_EQ(sut.options.name, "");
}

TEST_F(SystemManifestIs, LoadedWithItsDropIns) {
  const ScratchFolder folder;
  const auto file = folder.write("plant.toml", kPlant);
  folder.write("plant.toml.d/site.toml",
               "[instances.cloud]\nqos = 2\n[[routes]]\nfrom = 'sensors:/line3'\nto = 'cloud:x'\n");
  Diagnostics diagnostics;
  const auto sut = SystemManifest::load(file, catalogue_, kEnvironment, diagnostics);
  ASSERT_TRUE(sut) << test::lines(diagnostics).front();
  EXPECT_EQ(sut->instances[0].config["qos"], 2);
  EXPECT_EQ(sut->instances.back().name, "route-3");
}

using SystemManifestReports = SystemManifestTest;

TEST_F(SystemManifestReports, ASyntaxErrorAlone) {
  EXPECT_THAT(mistakes("[instances.a]\nplugin = 'nobody'\nx = \n"),
              ElementsAre(HasSubstr("p.toml:3:5: error: syntax: ")));
}

TEST_F(SystemManifestReports, UnknownSections) {
  EXPECT_THAT(mistakes("[instance.a]\nplugin = 'link'\n[systm]\n"),
              ElementsAre("p.toml:1:2: error: unknown key 'instance', did you mean 'instances'?",
                          "p.toml:3:2: error: unknown key 'systm', did you mean 'system'?"));
}

TEST_F(SystemManifestReports, MistakesOfTheSystemSection) {
  EXPECT_THAT(
      mistakes(
          "[system]\nstart_timeout_s = 0\nlog_level = 'inof'\nnmae = 'x'\nstop_timeout_s = 0\n"),
      ElementsAre("p.toml:2:19: error: 'start_timeout_s' must be greater than 0, found 0",
                  "p.toml:3:13: error: 'log_level' must be one of \"error\", \"warning\", "
                  "\"info\", \"debug\", "
                  "\"trace\", found \"inof\", did you mean \"info\"?",
                  "p.toml:4:1: error: unknown key 'nmae', did you mean 'name'?",
                  "p.toml:5:18: error: 'stop_timeout_s' must be greater than 0, found 0"));
}

TEST_F(SystemManifestReports, AnUnknownPlugin) {
  EXPECT_THAT(mistakes("[instances.a]\nplugin = 'lnik'\n[instances.b]\nplugin = 'opcua'\n"),
              ElementsAre("p.toml:2:10: error: unknown plugin 'lnik', did you mean 'link'?",
                          "p.toml:4:10: error: unknown plugin 'opcua', expected one of 'link', "
                          "'route', 'single', 'source'"));
}

TEST_F(SystemManifestReports, AMissingOrMisspeltPluginKey) {
  EXPECT_THAT(mistakes("[instances.a]\nurl = 'x'\n[instances.b]\npluign = 'link'\n"),
              ElementsAre("p.toml:1:12: error: missing key 'plugin' (string: the id of a plugin), "
                          "for example plugin = \"mqtt\"",
                          "p.toml:4:1: error: unknown key 'pluign', did you mean 'plugin'?"));
}

TEST_F(SystemManifestReports, MistakesOfAConfigurationAtTheirPlaces) {
  EXPECT_THAT(
      mistakes("[instances.a]\nplugin = 'link'\nurll = 'mqtt://h'\nqos = 3\nafer = []\n"
               "[instances.b]\nplugin = 'link'\n"),
      ElementsAre("p.toml:3:1: error: unknown key 'urll', did you mean 'url'?",
                  "p.toml:4:7: error: 'qos' must be between 0 and 2, found 3",
                  "p.toml:5:1: error: unknown key 'afer', did you mean 'after'?",
                  "p.toml:6:12: error: missing key 'url' (string: the broker's URL), for example "
                  "url = \"mqtt://localhost:1883\""));
}

TEST_F(SystemManifestReports, AnAddressThatLeadsNowhere) {
  EXPECT_THAT(
      mistakes("[instances.sensors]\nplugin = 'source'\n[[routes]]\nfrom = 'sensros:/a'\nto = "
               "['mqt://h/x', 'plain', 'mqtt://9/x']\n"),
      ElementsAre(
          "p.toml:4:8: error: unknown instance 'sensros', did you mean 'sensors'?",
          "p.toml:5:7: error: unknown scheme 'mqt', did you mean 'mqtt'?",
          "p.toml:5:20: error: 'plain' is no address, expected instance:path or "
          "scheme://authority/path",
          "p.toml:5:29: error: the URL does not configure plugin 'link': 'url' must match the "
          "pattern "
          "'^mqtts?://[a-z]' (the broker's URL), for example url = \"mqtt://localhost:1883\""));
}

TEST_F(SystemManifestReports, AnAddressWhosePlaceholderDecidesWhereItLeads) {
  const std::string start = "[instances.s]\nplugin = 'source'\n[[routes]]\nfrom = 's:x'\nto = ";
  const auto told = [](const std::string& address) {
    return "p.toml:5:6: error: '" + address +
           "' leaves open where it leads to: only what stands behind an instance's colon, or "
           "behind a URL's authority and its slash, can be filled in";
  };
  EXPECT_THAT(mistakes(start + "'mqtt://{path}/x'\n"), ElementsAre(told("mqtt://{path}/x")));
  EXPECT_THAT(mistakes(start + "'mqtt://h{path}'\n"), ElementsAre(told("mqtt://h{path}")));
  EXPECT_THAT(mistakes(start + "'{path}:x'\n"),
              ElementsAre("p.toml:5:6: error: '{path}:x' is no address, expected instance:path or "
                          "scheme://authority/path"));
}

TEST_F(SystemManifestReports, APlaceholderThatCanBecomeMoreThanThePluginAsksFor) {
  EXPECT_THAT(
      mistakes("[instances.cloud]\nplugin = 'link'\nurl = 'mqtt://h'\n[instances.one]\nplugin "
               "= 'single'\noutput = 'cloud:{path}'\n"),
      ElementsAre("p.toml:6:10: error: plugin 'single' may not write 'cloud:*': its manifest "
                  "asks to write only 'cloud:plant/*'"));
}

TEST_F(SystemManifestReports, ARouteWithoutItsKeys) {
  EXPECT_THAT(mistakes("[instances.s]\nplugin = 'source'\n[[routes]]\nform = 's:x'\nto = "
                       "'s:y'\n[[routes]]\nplugin = 'route'\nfrom = 's:x'\nto = 's:y'\n"),
              ElementsAre("p.toml:4:1: error: unknown key 'form', did you mean 'from'?",
                          "p.toml:7:1: error: unknown key 'plugin', expected one of 'policy', "
                          "'after', 'isolation', 'isolated', 'allow', "
                          "'name'"));
}

TEST_F(SystemManifestReports, ANameThatIsTaken) {
  EXPECT_THAT(
      mistakes(
          "[instances.a]\nplugin = 'source'\n[[routes]]\nname = 'a'\nfrom = 'a:x'\nto = 'a:y'\n"
          "[[routes]]\nname = 'r'\nfrom = 'a:x'\nto = 'a:y'\n[[routes]]\nname = 'r'\nfrom = "
          "'a:x'\nto = 'a:y'\n"),
      ElementsAre("p.toml:4:8: error: name 'a' is taken, at p.toml:1:12",
                  "p.toml:12:8: error: name 'r' is taken, at p.toml:7:1"));
}

TEST_F(SystemManifestReports, ANameThatCannotStandInAnAddress) {
  EXPECT_THAT(mistakes("[instances.'a:b']\nplugin = 'source'\n"),
              ElementsAre("p.toml:1:12: error: the name 'a:b' must match the pattern "
                          "'^[A-Za-z0-9_][A-Za-z0-9_.-]*$' "
                          "(letters, digits, _, - and .)"));
}

TEST_F(SystemManifestReports, AnUnknownCredential) {
  const std::string link =
      "[instances.a]\nplugin = 'link'\nurl = 'mqtts://h'\ncredentials = 'stie'\n";
  EXPECT_THAT(mistakes("[credentials.site]\nuser = 'u'\n" + link),
              ElementsAre("p.toml:6:15: error: unknown credential 'stie', did you mean 'site'?"));
  EXPECT_THAT(
      mistakes(link),
      ElementsAre("p.toml:4:15: error: unknown credential 'stie', there is none to choose from"));
}

TEST_F(SystemManifestReports, AnUnknownAfter) {
  EXPECT_THAT(
      mistakes("[instances.a]\nplugin = 'source'\nafter = ['bb', 5]\n[instances.b]\nplugin = "
               "'source'\nafter = ['aa']\n"),
      ElementsAre("p.toml:3:16: error: item 2 of 'after' must be a string, found an integer",
                  "p.toml:6:10: error: unknown instance 'aa', did you mean 'a'?"));
}

TEST_F(SystemManifestReports, ACycleOfAfter) {
  EXPECT_THAT(mistakes("[instances.a]\nplugin = 'source'\nafter = ['b']\n[instances.b]\nplugin = "
                       "'source'\nafter = ['c']\n"
                       "[instances.c]\nplugin = 'source'\nafter = ['a']\n"),
              ElementsAre("p.toml:3:1: error: the start order has a cycle: 'a' after 'b' after 'c' "
                          "after 'a'; remove one of them"));
}

TEST_F(SystemManifestReports, NoCycleWhereInstancesUseEachOther) {
  EXPECT_THAT(
      mistakes("[instances.a]\nplugin = 'source'\nmirror = 'b:x'\n[instances.b]\nplugin = "
               "'source'\nmirror = 'a:x'\n"
               "[[routes]]\nfrom = 'a:x'\nto = 'b:y'\n[[routes]]\nfrom = 'b:x'\nto = 'a:y'\n"),
      IsEmpty());
}

TEST_F(SystemManifestReports, APermissionThatThePluginDoesNotAskFor) {
  EXPECT_THAT(
      mistakes("[instances.cloud]\nplugin = 'link'\nurl = 'mqtt://h'\nallow.call = ['cloud:*']\n"
               "[instances.one]\nplugin = 'single'\noutput = 'cloud:other'\n"),
      ElementsAre("p.toml:4:15: error: plugin 'link' may not call 'cloud:*': its manifest asks to "
                  "call nothing",
                  "p.toml:7:10: error: plugin 'single' may not write 'cloud:other': its manifest "
                  "asks to write only "
                  "'cloud:plant/*'"));
}

TEST_F(SystemManifestReports, MistakesInAllow) {
  EXPECT_THAT(mistakes("[instances.a]\nplugin = 'source'\nallow.wacth = "
                       "['a:*']\n[instances.b]\nplugin = 'source'\nallow.watch = ['aa:*']\n"),
              ElementsAre("p.toml:3:7: error: unknown key 'wacth', did you mean 'watch'?",
                          "p.toml:6:16: error: unknown instance 'aa', did you mean 'a'?"));
}

TEST_F(SystemManifestReports, AServiceThatThePluginDoesNotAskFor) {
  EXPECT_THAT(
      mistakes("[instances.a]\nplugin = 'single'\nallow.services = ['bp.endpoint/1', "
               "'bp.queue/1']\n[instances.b]\nplugin = 'source'\nallow.services = ['bp.log/1']\n"),
      ElementsAre("p.toml:3:36: error: plugin 'single' does not ask for the service 'bp.queue/1': "
                  "its manifest asks for only 'bp.endpoint/1', 'bp.log/1'",
                  "p.toml:6:19: error: plugin 'source' does not ask for the service 'bp.log/1': "
                  "its manifest asks for none"));
}

TEST_F(SystemManifestReports, ANeededServiceThatIsNotAllowed) {
  EXPECT_THAT(mistakes("[instances.a]\nplugin = 'single'\nallow.services = ['bp.log/1']\n"),
              ElementsAre("p.toml:3:7: error: plugin 'single' cannot do without the service "
                          "'bp.endpoint/1', which is not allowed here: add it"));
}

TEST_F(SystemManifestReports, ASecondInstanceOfAPluginThatAllowsOne) {
  EXPECT_THAT(
      mistakes("[instances.a]\nplugin = 'single'\n[instances.b]\nplugin = 'single'\n"),
      ElementsAre(
          "p.toml:4:10: error: plugin 'single' allows one instance, which is 'a', at p.toml:1:12"));
}

TEST_F(SystemManifestReports, AnIsolationThatIsNotInstalled) {
  EXPECT_THAT(mistakes("[instances.a]\nplugin = 'source'\nisolation = 'process'\n"),
              ElementsAre("p.toml:3:13: error: isolation = \"process\" needs the plugin "
                          "'isolation', which is not installed; install it, or write \"none\""));
}

constexpr std::string_view kIsolation =
    "manifest_version = 1\nid = 'isolation'\nversion = '1.0.0'\ndescription = 'of a test'\n"
    "license = 'Apache-2.0'\nstatus = 'draft'\nsecurity_posture = 'local'\n"
    "[config]\ntype = 'object'\nadditionalProperties = false\n";

TEST_F(SystemManifestReports, AnIsolatedPluginThatIsLinkedIn) {
  Diagnostics diagnostics;
  catalogue_.add(kIsolation, "isolation.toml", diagnostics);
  EXPECT_THAT(mistakes("[instances.a]\nplugin = 'source'\nisolation = 'process'\n"),
              ElementsAre("p.toml:3:13: error: plugin 'source' is linked into this program and "
                          "cannot run in another process; write \"none\""));
}

TEST_F(SystemManifestReports, LimitsOfAnInstanceThatIsNotIsolated) {
  EXPECT_THAT(mistakes("[instances.a]\nplugin = 'source'\nisolated.memory_mib = 64\n"),
              ElementsAre("p.toml:3:1: error: 'isolated' has limits of an isolated instance: add "
                          "isolation = \"process\", or remove it"));
}

TEST_F(SystemManifestReports, AMisspeltLimit) {
  EXPECT_THAT(mistakes("[instances.a]\nplugin = 'source'\n[instances.a.isolated]\n"
                       "memory_mb = 64\ncrash_limit = { crashs = 1 }\n"),
              ElementsAre(HasSubstr("unknown key 'memory_mb', did you mean 'memory_mib'?"),
                          HasSubstr("unknown key 'crashs', did you mean 'crashes'?")));
}

TEST_F(SystemManifestReports, TheMissingRoutePluginOnce) {
  const PluginCatalogue empty;
  Diagnostics diagnostics;
  EXPECT_FALSE(SystemManifest::parse("[[routes]]\n[[routes]]\n", "p.toml", empty, {}, diagnostics));
  EXPECT_THAT(
      test::lines(diagnostics),
      ElementsAre("p.toml:1:1: error: unknown plugin 'route', there is none to choose from"));
}

TEST_F(SystemManifestReports, WhatIsNoTable) {
  EXPECT_THAT(mistakes("instances = 5\nroutes = {}\ncredentials = []\nsystem = ''\n"),
              ElementsAre("p.toml:1:13: error: 'instances' must be a table, found an integer",
                          "p.toml:2:10: error: 'routes' must be an array, found a table",
                          "p.toml:3:15: error: 'credentials' must be a table, found an array",
                          "p.toml:4:10: error: 'system' must be a table, found a string"));
  EXPECT_THAT(
      mistakes("routes = [1]\n[instances]\na = 1\n"),
      ElementsAre("p.toml:1:11: error: item 1 of 'routes' must be a table, found an integer",
                  "p.toml:3:5: error: 'a' must be a table, found an integer"));
}

/// The plant with one of its lines changed; the line's number counts from 1.
class SystemManifestMutation : public SystemManifestTest {
 protected:
  struct Line {
    int number;
    std::string key;
    std::string value;
  };

  static std::vector<Line> lines_with_keys() {
    std::vector<Line> found;
    std::istringstream text{std::string(kPlant)};
    std::string line;
    for (int number = 1; std::getline(text, line); ++number) {
      if (const auto at = line.find(" = "); at != std::string::npos) {
        found.push_back({number, line.substr(0, at), line.substr(at + 3)});
      }
    }
    return found;
  }

  static std::string with(int number, const std::string& replacement) {
    std::istringstream text{std::string(kPlant)};
    std::string result;
    std::string line;
    for (int each = 1; std::getline(text, line); ++each) {
      result += (each == number ? replacement : line) + "\n";
    }
    return result;
  }
};

TEST_F(SystemManifestMutation, EveryMisspeltKeyIsOneMistakeAtItsPlace) {
  for (const Line& line : lines_with_keys()) {
    EXPECT_THAT(mistakes(with(line.number, line.key + "x = " + line.value)),
                ElementsAre("p.toml:" + std::to_string(line.number) + ":1: error: unknown key '" +
                            line.key + "x', did you mean '" + line.key + "'?"));
  }
}

TEST_F(SystemManifestMutation, EveryValueOfAWrongTypeIsOneMistakeAtItsPlace) {
  for (const Line& line : lines_with_keys()) {
    EXPECT_THAT(mistakes(with(line.number, line.key + " = [[]]")),
                ElementsAre(::testing::StartsWith("p.toml:" + std::to_string(line.number) + ":")));
  }
}

TEST_F(SystemManifestMutation, EveryRequiredKeyThatIsRemovedIsOneMistake) {
  int required = 0;
  for (const Line& line : lines_with_keys()) {
    if (line.key != "plugin" && line.key != "url" && line.key != "from" && line.key != "to")
      continue;
    ++required;
    EXPECT_THAT(mistakes(with(line.number, "")),
                ElementsAre(HasSubstr("error: missing key '" + line.key + "'")));
  }
  EXPECT_EQ(required, 7);
}

using SystemManifestCredentials = SystemManifestTest;

TEST_F(SystemManifestCredentials, KeepTheirSources) {
  const ScratchFolder folder;
  folder.write("key.pem", "secret");
  const auto file = folder.write(
      "p.toml",
      "[credentials.site]\nuser = 'u'\nkey = '@file:key.pem'\npassword = '@env:PASSWORD'\n");
  Diagnostics diagnostics;
  const auto sut = SystemManifest::load(file, catalogue_, kEnvironment, diagnostics);
  ASSERT_TRUE(sut);
  EXPECT_THAT(test::lines(diagnostics), IsEmpty());
  EXPECT_EQ(sut->credentials.at("site"),
            (CredentialSources{{"user", "u"},
                               {"key", "@file:" + (folder.path() / "key.pem").string()},
                               {"password", "@env:PASSWORD"}}));
}

TEST_F(SystemManifestCredentials, WarnOfWhatIsMissingNow) {
  EXPECT_THAT(
      mistakes("[credentials.site]\nca = '@file:/nonexistent.pem'\npassword = '@env:UNSET'\n"),
      ElementsAre(
          "p.toml:2:6: warning: '/nonexistent.pem' cannot be read now: No such file or directory",
          "p.toml:3:12: warning: environment variable 'UNSET' is not set now"));
}

TEST_F(SystemManifestCredentials, WarnOfASecretThatEverybodyCanRead) {
  const ScratchFolder folder;
  const auto key = folder.write("key.pem", "x", 0644);
  const auto file = folder.write("p.toml",
                                 "[credentials.site]\nuser = 'u'\npassword = 'hunter2'\npsk = "
                                 "'${PASSWORD}'\nkey = '@file:key.pem'\n",
                                 0644);
  Diagnostics diagnostics;
  EXPECT_TRUE(SystemManifest::load(file, catalogue_, kEnvironment, diagnostics));
  EXPECT_THAT(
      test::lines(diagnostics),
      ElementsAre(
          file.string() +
              ":3:12: warning: 'password' is plain text in a file that everybody can read: use "
              "@file:PATH or @env:NAME, or chmod o-r '" +
              file.string() + "'",
          file.string() + ":5:7: warning: '" + key.string() +
              "' holds a secret and everybody can read it: chmod o-r '" + key.string() + "'"));
}

TEST_F(SystemManifestCredentials, WarnOfAFileThatEverybodyCanWrite) {
  const ScratchFolder folder;
  const auto trusted = folder.write("ca.pem", "x", 0666);
  const auto file = folder.write("p.toml", "[credentials.site]\nca = '@file:ca.pem'\n", 0600);
  Diagnostics diagnostics;
  EXPECT_TRUE(SystemManifest::load(file, catalogue_, kEnvironment, diagnostics));
  EXPECT_THAT(test::lines(diagnostics),
              ElementsAre(file.string() + ":2:6: warning: everybody can write '" +
                          trusted.string() + "': chmod o-w '" + trusted.string() + "'"));
}

TEST_F(SystemManifestCredentials, NeverAppearInAMessage) {
  for (const char* text :
       {"[credentials.site]\npassword = 'hunter2'\npsk = '@hunter2'\nkey = ['hunter2']\nuserr = "
        "'hunter2'\n",
        "[credentials.site]\npassword = 1234567\n", "[credentials.site]\npassword = hunter2\n",
        "[credentials]\nsite = 'hunter2'\n"}) {
    for (const std::string& line : mistakes(text)) {
      EXPECT_EQ(line.find("hunter2"), std::string::npos) << line;
      EXPECT_EQ(line.find("1234567"), std::string::npos) << line;
    }
  }
  EXPECT_THAT(
      mistakes("[credentials.site]\npsk = '@secret'\n"),
      ElementsAre("p.toml:2:7: error: 'psk' begins with @: expected @file:PATH or @env:NAME"));
}

TEST_F(SystemManifestCredentials, AreNamedByTheInstancesThatUseThem) {
  const SystemManifest sut = good(
      "[credentials.site]\nuser = 'u'\n[instances.a]\nplugin = 'link'\nurl = "
      "'mqtts://h'\ncredentials = 'site'\n");
  EXPECT_THAT(sut.instances[0].credentials, ElementsAre("site"));
}

std::string content(const std::filesystem::path& file) {
  std::ifstream stream(file);
  EXPECT_TRUE(stream) << file;
  std::stringstream text;
  text << stream.rdbuf();
  return text.str();
}

TEST(SystemManifestPage, HasAnExampleForTheBundledPlugins) {
  PluginCatalogue catalogue;
  Diagnostics diagnostics;
  for (const char* id : {"mqtt", "route"}) {
    const auto file =
        std::filesystem::path(BP_TEST_SOURCE_DIR "/plugin_manifests") / (std::string(id) + ".toml");
    catalogue.add(content(file), file.string(), diagnostics);
  }
  const std::string page = content(BP_TEST_SOURCE_DIR "/docs/manifests.md");
  const std::size_t start = page.find("```toml\n") + 8;
  const auto sut = SystemManifest::parse(page.substr(start, page.find("```", start) - start),
                                         "docs/manifests.md", catalogue, kEnvironment, diagnostics);
  ASSERT_TRUE(sut) << test::lines(diagnostics).front();
  EXPECT_EQ(sut->instances.size(), 4U);
  EXPECT_EQ(sut->instances[3].name, "route-2");
}

}  // namespace
}  // namespace backplane::kernel
