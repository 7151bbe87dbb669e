// SPDX-License-Identifier: Apache-2.0
#include "system_format.hpp"

#include <string>
#include <string_view>

namespace backplane::kernel {
namespace {

constexpr std::string_view kFile = R"(
type = "object"
additionalProperties = false

[properties.system]
type = "object"
additionalProperties = false
default = {}
[properties.system.properties.name]
type = "string"
description = "the system's name"
minLength = 1
maxLength = 64
examples = ["plant"]
[properties.system.properties.log_level]
enum = ["error", "warning", "info", "debug", "trace"]
default = "info"
[properties.system.properties.start_timeout_s]
type = "number"
description = "seconds that an instance may take to start"
exclusiveMinimum = 0
maximum = 3600
default = 30
[properties.system.properties.stop_timeout_s]
type = "number"
description = "seconds that an instance may take to stop"
exclusiveMinimum = 0
maximum = 3600
default = 10

[properties.credentials]
type = "object"
default = {}
propertyNames = { "$ref" = "#/definitions/name" }
[properties.credentials.additionalProperties]
type = "object"
minProperties = 1
additionalProperties = false
[properties.credentials.additionalProperties.properties]
certificate = { type = "string", minLength = 1 }
key = { type = "string", minLength = 1 }
ca = { type = "string", minLength = 1 }
psk_identity = { type = "string", minLength = 1 }
psk = { type = "string", minLength = 1 }
user = { type = "string", minLength = 1 }
password = { type = "string", minLength = 1 }

[properties.instances]
type = "object"
default = {}
propertyNames = { "$ref" = "#/definitions/name" }
additionalProperties = { type = "object" }

[properties.routes]
type = "array"
default = []
items = { type = "object" }

[definitions.name]
type = "string"
description = "letters, digits, _, - and ."
pattern = "^[A-Za-z0-9_][A-Za-z0-9_.-]*$"
maxLength = 64
)";

// Keys that are not listed here belong to the plugin.
constexpr std::string_view kCommon = R"(
[properties.after]
type = "array"
description = "instances that must have started before"
uniqueItems = true
items = { type = "string" }
examples = [["broker"]]
default = []
[properties.isolation]
enum = ["none", "process"]
default = "none"
[properties.isolated]
type = "object"
description = "limits of an isolated instance"
additionalProperties = false
default = {}
[properties.isolated.properties.memory_mib]
type = "integer"
description = "memory that the plugin may take, in MiB"
minimum = 1
maximum = 1048576
examples = [256]
[properties.isolated.properties.cpu_percent]
type = "integer"
description = "of one processor, on average over ten seconds"
minimum = 1
maximum = 100000
examples = [50]
[properties.isolated.properties.spin_us]
type = "integer"
description = "microseconds that it looks for the next message without sleeping"
minimum = 0
maximum = 10000
default = 100
[properties.isolated.properties.crash_limit]
type = "object"
description = "how often it may crash before it stays down"
additionalProperties = false
default = {}
[properties.isolated.properties.crash_limit.properties.crashes]
type = "integer"
description = "crashes within the time; one more, and it stays down"
minimum = 0
maximum = 1000
default = 10
[properties.isolated.properties.crash_limit.properties.seconds]
type = "number"
description = "the time"
exclusiveMinimum = 0
maximum = 86400
default = 10
[properties.allow]
type = "object"
description = "what the operator allows it"
additionalProperties = false
default = {}
[properties.allow.properties]
read = { "$ref" = "#/definitions/patterns" }
write = { "$ref" = "#/definitions/patterns" }
call = { "$ref" = "#/definitions/patterns" }
watch = { "$ref" = "#/definitions/patterns" }
serve = { "$ref" = "#/definitions/patterns" }
browse = { "$ref" = "#/definitions/patterns" }
[properties.allow.properties.services]
type = "array"
description = "of the services that its plugin asks for, those that it gets"
uniqueItems = true
items = { type = "string" }
examples = [["bp.endpoint/1"]]
[definitions.patterns]
type = "array"
items = { type = "string", minLength = 1 }
examples = [["sensors:*"]]
)";

constexpr std::string_view kInstance = R"(
type = "object"
additionalProperties = true
required = ["plugin"]
[properties.plugin]
type = "string"
description = "the id of a plugin"
examples = ["mqtt"]
)";

constexpr std::string_view kRoute = R"(
type = "object"
additionalProperties = true
[properties.name]
type = "string"
description = "letters, digits, _, - and ."
pattern = "^[A-Za-z0-9_][A-Za-z0-9_.-]*$"
maxLength = 64
examples = ["line1-temperature"]
)";

}  // namespace

SystemFormat::SystemFormat()
    : file(ConfigSchema::built_in(kFile, "the format of system manifests")),
      instance(ConfigSchema::built_in(std::string(kInstance) + std::string(kCommon),
                                      "the format of instances")),
      route(ConfigSchema::built_in(std::string(kRoute) + std::string(kCommon),
                                   "the format of routes")) {}

}  // namespace backplane::kernel
