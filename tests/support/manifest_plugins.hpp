// SPDX-License-Identifier: Apache-2.0
// Plugin manifests for tests of system manifests: a link with two schemes, a source, the routes,
// and one that allows one instance and asks for little.
#pragma once

#include <array>
#include <string_view>

namespace backplane::test {

#define BP_TEST_MANIFEST_START(id)                                                   \
  "manifest_version = 1\nid = \"" id                                                 \
  "\"\nversion = \"1.0.0\"\ndescription = \"of a test\"\nlicense = \"Apache-2.0\"\n" \
  "status = \"draft\"\nsecurity_posture = \"local\"\n"

inline constexpr std::array<std::string_view, 4> kManifestPlugins{
    BP_TEST_MANIFEST_START("link") R"(
[[schemes]]
name = "mqtt"
config_key = "url"
[[schemes]]
name = "mqtts"
config_key = "url"
[permissions]
network = ["connect"]
[config]
type = "object"
additionalProperties = false
required = ["url"]
[config.properties.url]
type = "string"
description = "the broker's URL"
pattern = "^mqtts?://[a-z]"
examples = ["mqtt://localhost:1883"]
[config.properties.qos]
type = "integer"
minimum = 0
maximum = 2
default = 1
[config.properties.credentials]
type = "string"
x-backplane-credential = true
)",
    BP_TEST_MANIFEST_START("source") R"(
[[schemes]]
name = "format"
config_key = "listen"
[permissions]
watch = ["*"]
call = ["format://*", "mqtt://*"]
[config]
type = "object"
additionalProperties = false
[config.properties.listen]
type = "string"
[config.properties.mirror]
type = "string"
x-backplane-verbs = ["watch"]
)",
    BP_TEST_MANIFEST_START("route") R"(
[permissions]
watch = ["*"]
write = ["*"]
[config]
type = "object"
additionalProperties = false
required = ["from", "to"]
[config.properties.from]
type = "string"
description = "what is watched"
examples = ["sensors:/line1"]
x-backplane-verbs = ["watch"]
[config.properties.to]
description = "where it is written"
examples = ["cloud:plant/line1"]
oneOf = [{ type = "string", x-backplane-verbs = ["write"], x-backplane-placeholder = "{path}" },
         { type = "array", minItems = 1, items = { type = "string", x-backplane-verbs = ["write"] } }]
[config.properties.policy]
enum = ["block", "drop_oldest", "latest"]
default = "block"
)",
    BP_TEST_MANIFEST_START("single") R"(
multi_instance = false
[services]
needed = ["bp.endpoint/1"]
optional = ["bp.log/1"]
[permissions]
write = ["cloud:plant/*"]
[config]
type = "object"
additionalProperties = false
[config.properties.output]
type = "string"
x-backplane-verbs = ["write"]
x-backplane-placeholder = "{path}"
)"};

#undef BP_TEST_MANIFEST_START

}  // namespace backplane::test
