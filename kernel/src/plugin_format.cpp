// SPDX-License-Identifier: Apache-2.0
#include "plugin_format.hpp"

#include <string_view>

namespace backplane::kernel {
namespace {

constexpr std::string_view kFormat = R"(
type = "object"
additionalProperties = false
required = ["manifest_version", "id", "version", "description", "license", "status", "security_posture", "config"]

[properties.manifest_version]
type = "integer"
description = "the version of this format"
const = 1
examples = [1]
[properties.id]
type = "string"
description = "the plugin's name"
pattern = "^[a-z][a-z0-9_]*$"
maxLength = 32
examples = ["mqtt"]
[properties.version]
type = "string"
description = "MAJOR.MINOR.PATCH"
pattern = '^[0-9]+\.[0-9]+\.[0-9]+$'
examples = ["1.0.0"]
[properties.description]
type = "string"
description = "what it does, in one line"
minLength = 1
[properties.license]
type = "string"
description = "an SPDX expression"
minLength = 1
examples = ["Apache-2.0"]
[properties.status]
enum = ["draft", "stable", "deprecated"]
examples = ["draft"]
[properties.security_posture]
enum = ["local", "trusted_peers", "untrusted_peers"]
description = "whose bytes it may be given"
examples = ["trusted_peers"]
[properties.abi_minor]
type = "integer"
minimum = 0
maximum = 65535
default = 0
[properties.library]
type = "string"
minLength = 1
[properties.sha256]
type = "string"
description = "64 hexadecimal digits"
pattern = "^[0-9A-Fa-f]{64}$"
[properties.multi_instance]
type = "boolean"
default = true
[properties.own_threads]
type = "boolean"
default = false
[properties.resident_threads]
type = "integer"
minimum = 0
maximum = 1000
default = 0

[properties.services]
type = "object"
additionalProperties = false
default = {}
[properties.services.properties]
needed = { "$ref" = "#/definitions/services" }
optional = { "$ref" = "#/definitions/services" }

[properties.schemes]
type = "array"
default = []
[properties.schemes.items]
type = "object"
additionalProperties = false
required = ["name", "config_key"]
[properties.schemes.items.properties.name]
type = "string"
description = "the URL scheme"
pattern = '^[a-z][a-z0-9+.-]*$'
examples = ["mqtt"]
[properties.schemes.items.properties.config_key]
type = "string"
description = "the key of [config] that receives scheme://authority"
examples = ["url"]
[properties.schemes.items.properties.path_prefix]
type = "string"
default = ""

[properties.permissions]
type = "object"
additionalProperties = false
default = {}
[properties.permissions.properties]
read = { "$ref" = "#/definitions/patterns" }
write = { "$ref" = "#/definitions/patterns" }
call = { "$ref" = "#/definitions/patterns" }
watch = { "$ref" = "#/definitions/patterns" }
serve = { "$ref" = "#/definitions/patterns" }
browse = { "$ref" = "#/definitions/patterns" }
processes = { type = "boolean", default = false }
descriptors = { type = "boolean", default = false }
[properties.permissions.properties.network]
type = "array"
uniqueItems = true
items = { enum = ["connect", "listen"] }
default = []
[properties.permissions.properties.files]
type = "array"
uniqueItems = true
items = { enum = ["read", "write"] }
default = []

[properties.config]
type = "object"
description = "the JSON Schema of an instance's configuration"

[definitions.services]
type = "array"
uniqueItems = true
default = []
[definitions.services.items]
type = "string"
description = "a service"
pattern = '^[a-z0-9_.]+/[0-9]+$'
examples = ["bp.endpoint/1"]
[definitions.patterns]
type = "array"
uniqueItems = true
default = []
[definitions.patterns.items]
type = "string"
description = "an address, or the beginning of addresses with * at its end"
minLength = 1
)";

}  // namespace

ConfigSchema plugin_manifest_format() {
  return ConfigSchema::built_in(kFormat, "the format of plugin manifests");
}

}  // namespace backplane::kernel
