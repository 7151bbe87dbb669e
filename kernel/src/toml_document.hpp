// SPDX-License-Identifier: Apache-2.0
// A TOML file, or a file with its drop-in folder, as JSON that remembers where each key and value
// was written.
#pragma once

#include "diagnostic.hpp"

#include <nlohmann/json.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace backplane::kernel {

/// The value of an environment variable, if it is set.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;

/// Of this process.
Environment process_environment();

/// Tables become objects, dates and times strings in RFC 3339. nan, inf, keys of more than 256
/// bytes and nesting of more than 32 levels are errors.
///
/// With an environment, strings are substituted after parsing, so that no value can change the
/// structure:
/// `${NAME}` must be set, `${NAME:-default}` is the default when NAME is unset or empty, `$${`
/// stands for `${`.
///
/// Merging a drop-in: tables merge key by key, `[[routes]]` are appended, any other value of the
/// later file replaces the earlier one.
///
/// A syntax error is the only diagnostic of its document. Immutable once made; any thread.
class TomlDocument {
 public:
  static constexpr std::size_t kMostBytes = 8U << 20U;  // of one file
  static constexpr std::size_t kMostDropIns = 1000;

  /// An empty one, whose positions are all `file` as a whole.
  explicit TomlDocument(std::string file);

  /// `environment` empty: strings are taken as they are.
  static std::optional<TomlDocument> parse(std::string_view text, std::string file,
                                           const Environment& environment,
                                           Diagnostics& diagnostics);
  /// One file that passes TrustedFile::open. Blocks on the disk.
  static std::optional<TomlDocument> load(const std::filesystem::path& file,
                                          const Environment& environment, Diagnostics& diagnostics);
  /// The file, then `FILE.d/*.toml` in the order of their names; each passes TrustedFile::open.
  /// Blocks on the disk.
  static std::optional<TomlDocument> load_with_drop_ins(const std::filesystem::path& file,
                                                        const Environment& environment,
                                                        Diagnostics& diagnostics);

  const nlohmann::json& root() const { return root_; }

  /// Where the value, or the key, at a JSON pointer stands; where there is none, that of the
  /// nearest table around it.
  SourcePosition value_at(std::string_view pointer) const;
  SourcePosition key_at(std::string_view pointer) const;
  /// Compares as the positions of the keys do.
  std::uint64_t order_of(std::string_view pointer) const;
  /// The string is plain text of a file that everybody can read: nothing in it came from the
  /// environment.
  bool is_public_text(std::string_view pointer) const;

 private:
  struct File {
    std::string name;
    bool everybody_can_read = false;
  };
  struct Mark {
    std::uint32_t file = 0;
    bool substituted = false;
    std::uint32_t key_line = 0, key_column = 0;
    std::uint32_t line = 0, column = 0;
  };
  class Reader;  // toml++ stays in the source file

  bool add(std::string_view text, File file, const Environment& environment,
           Diagnostics& diagnostics);
  bool add_file(const std::filesystem::path& file, const Environment& environment,
                Diagnostics& diagnostics);
  const Mark& mark_of(std::string_view pointer) const;

  nlohmann::json root_ = nlohmann::json::object();
  std::vector<File> files_;
  std::unordered_map<std::string, Mark> marks_;
};

/// A table inside a document, with pointers relative to it.
struct DocumentTable {
  const TomlDocument& document;
  std::string base;

  SourcePosition value_at(std::string_view pointer) const {
    return document.value_at(base + std::string(pointer));
  }
  SourcePosition key_at(std::string_view pointer) const {
    return document.key_at(base + std::string(pointer));
  }
};

}  // namespace backplane::kernel
