// SPDX-License-Identifier: Apache-2.0
#include "credential_sources.hpp"

#include "credentials.hpp"
#include "json_pointer.hpp"

#include <nlohmann/json.hpp>

#include <cerrno>
#include <string_view>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace backplane::kernel {
namespace {

namespace fs = std::filesystem;

void check_file(const fs::path& path, bool secret, const SourcePosition& at,
                Diagnostics& diagnostics) {
  const std::string name = "'" + path.string() + "'";
  if (::access(path.c_str(), R_OK) != 0) {
    diagnostics.warning(at, name + " cannot be read now: " +
                                std::error_code(errno, std::generic_category()).message());
    return;
  }
  std::error_code error;
  const fs::perms mode = fs::status(path, error).permissions();
  if (!error && (mode & fs::perms::others_write) != fs::perms::none) {
    diagnostics.warning(at, "everybody can write " + name + ": chmod o-w " + name);
  }
  if (!error && secret && (mode & fs::perms::others_read) != fs::perms::none) {
    diagnostics.warning(at, name + " holds a secret and everybody can read it: chmod o-r " + name);
  }
}

}  // namespace

std::map<std::string, CredentialSources> credential_sources(const nlohmann::json& table,
                                                            const DocumentTable& where,
                                                            const fs::path& folder,
                                                            const Environment& environment,
                                                            Diagnostics& diagnostics) {
  std::map<std::string, CredentialSources> credentials;
  for (const auto& [name, fields] : table.items()) {
    for (const auto& [field, value] : fields.items()) {
      const std::string pointer = member(member("", name), field);
      const SourcePosition at = where.value_at(pointer);
      std::string source = value.get<std::string>();
      if (source.starts_with(kFromFile)) {
        const fs::path path = folder / source.substr(kFromFile.size());
        check_file(path, is_secret(field), at, diagnostics);
        source = std::string(kFromFile) + path.string();
      } else if (source.starts_with(kFromEnvironment)) {
        const std::string variable = source.substr(kFromEnvironment.size());
        if (!environment || !environment(variable)) {
          diagnostics.warning(at, "environment variable '" + variable + "' is not set now");
        }
      } else if (source.starts_with("@")) {
        diagnostics.error(at, "'" + field + "' begins with @: expected @file:PATH or @env:NAME");
      } else if (is_secret(field) && where.document.is_public_text(where.base + pointer)) {
        diagnostics.warning(
            at, "'" + field +
                    "' is plain text in a file that everybody can read: use @file:PATH or "
                    "@env:NAME, or chmod o-r '" +
                    at.file + "'");
      }
      credentials[name][field] = std::move(source);
    }
  }
  return credentials;
}

}  // namespace backplane::kernel
