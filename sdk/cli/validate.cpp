// SPDX-License-Identifier: Apache-2.0
// backplane validate: the conformance suite on one plugin, each test in a process of its own.
#include "commands.hpp"
#include "conformance/child.hpp"
#include "conformance/subject.hpp"
#include "exit_code.hpp"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <toml++/toml.h>

#include <array>
#include <iomanip>
#include <iostream>
#include <optional>
#include <regex>
#include <stdlib.h>

namespace backplane::cli {
namespace {

namespace fs = std::filesystem;
using conformance::Outcome;
using conformance::Test;

struct Options {
  fs::path library;
  fs::path manifest;
  fs::path traits;
  std::string filter;
  double timeout = 45;
  bool isolated = false;
  bool json = false;
  bool list = false;
};

/// Beside the library, or where a build tree and an installation have them.
fs::path manifest_of(const fs::path& library) {
  std::string id = library.stem().string();
  if (constexpr std::string_view kPrefix = "libbackplane_"; id.starts_with(kPrefix)) {
    id.erase(0, kPrefix.size());
  }
  const fs::path folder = library.parent_path();
  const std::array<fs::path, 3> places = {
      folder / (id + ".toml"),
      folder.parent_path() / "plugin_manifests" / (id + ".toml"),
      folder.parent_path().parent_path().parent_path() / "share" / "backplane" /
          "plugin_manifests" / (id + ".toml"),
  };
  for (const fs::path& place : places) {
    if (fs::exists(place)) {
      return place;
    }
  }
  throw Error(BP_NOT_FOUND, "no manifest of ", library.string(), ": there is none of ",
              places[0].string(), ", ", places[1].string(), ", ", places[2].string(),
              "; name it with --manifest");
}

std::string joined(std::initializer_list<std::string> folders) {
  std::string out;
  std::vector<std::string> seen;
  for (const std::string& folder : folders) {
    if (!folder.empty() && std::find(seen.begin(), seen.end(), folder) == seen.end()) {
      seen.push_back(folder);
      out += (out.empty() ? "" : ":") + folder;
    }
  }
  return out;
}

/// The folder of a path that some plugin of this installation has.
std::string installed_folder(const Commands& commands, bool of_manifests) {
  const std::string& given = of_manifests ? commands.manifest_folders : commands.plugin_folders;
  if (!given.empty()) {
    return given;
  }
  for (const PluginInfo& plugin : Kernel::create().value().plugins()) {
    return fs::path(of_manifests ? plugin.manifest : plugin.library).parent_path().string();
  }
  return {};
}

/// The manifests of a folder without the one that describes the plugin under test, too: it may be
/// installed already.
class OtherManifests {
 public:
  OtherManifests(const fs::path& from, const fs::path& without) {
    std::string name = fs::temp_directory_path() / "backplane-validate-XXXXXX";
    if (mkdtemp(name.data()) == nullptr) {
      throw Error(BP_RESOURCE_EXHAUSTED, "no folder can be made in ",
                  fs::temp_directory_path().string(), ": set TMPDIR to another");
    }
    folder_ = name;
    for (const auto& entry : fs::directory_iterator(from)) {
      if (entry.path().extension() == ".toml" && entry.path().filename() != without.filename()) {
        fs::copy_file(entry.path(), folder_ / entry.path().filename());
      }
    }
  }
  OtherManifests(const OtherManifests&) = delete;
  OtherManifests& operator=(const OtherManifests&) = delete;
  ~OtherManifests() {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }
  const fs::path& folder() const noexcept { return folder_; }

 private:
  fs::path folder_;
};

conformance::PluginFiles files_of(const Options& options, const Commands& commands,
                                  std::optional<OtherManifests>& others) {
  conformance::PluginFiles out;
  out.library = fs::canonical(options.library);
  out.manifest =
      fs::canonical(options.manifest.empty() ? manifest_of(out.library) : options.manifest);
  out.plugin_folders =
      joined({out.library.parent_path().string(), installed_folder(commands, false)});
  fs::path installed = installed_folder(commands, true);
  if (installed != out.manifest.parent_path() && fs::exists(installed / out.manifest.filename())) {
    installed = others.emplace(installed, out.manifest).folder();
  }
  out.manifest_folders = joined({out.manifest.parent_path().string(), installed.string()});
  try {
    const toml::table manifest = toml::parse_file(out.manifest.string());
    out.id = manifest["id"].value_or("");
    out.version = manifest["version"].value_or("");
  } catch (const toml::parse_error& error) {
    throw Error(BP_INVALID_ARGUMENT, out.manifest.string(), ":", error.source().begin.line, ":",
                error.source().begin.column, ": error: ", std::string_view(error.description()));
  }
  return out;
}

conformance::Traits traits_of(const Options& options, const conformance::PluginFiles& files) {
  fs::path file = options.traits;
  if (file.empty()) {
    const fs::path usual = files.manifest.parent_path().parent_path() / "tests" / "traits.toml";
    if (!fs::exists(usual)) {
      return conformance::Traits::of_defaults(files.id);
    }
    file = usual;
  }
  return conformance::Traits::load(file);
}

/// One line a test, as it ends.
class Report {
 public:
  Report(bool json, size_t widest) : json_(json), widest_(widest) {}

  void add(const Test& test, const Outcome& outcome) {
    ++counts_[static_cast<size_t>(outcome.verdict)];
    if (json_) {
      const nlohmann::ordered_json line = {{"name", test.name},
                                           {"verdict", conformance::word_of(outcome.verdict)},
                                           {"text", outcome.text},
                                           {"seconds", outcome.taken.count()}};
      std::cout << line.dump() << std::endl;
      return;
    }
    std::cout << std::left << std::setw(static_cast<int>(widest_) + 2) << test.name;
    if (!outcome.text.empty()) {
      std::cout << std::setw(9);
    }
    std::cout << conformance::word_of(outcome.verdict) << outcome.text << std::endl;
  }
  int end(const conformance::PluginFiles& files) {
    const size_t failed = count(Outcome::Verdict::kFail) + count(Outcome::Verdict::kCrash) +
                          count(Outcome::Verdict::kTimeout);
    if (!json_) {
      std::cout << files.id << ' ' << files.version << ": " << count(Outcome::Verdict::kPass)
                << " passed, " << count(Outcome::Verdict::kWarn) << " warned, " << failed
                << " failed, " << count(Outcome::Verdict::kSkip) << " skipped\n";
    }
    return failed == 0 ? kDone : kRefused;
  }

 private:
  size_t count(Outcome::Verdict verdict) const { return counts_[static_cast<size_t>(verdict)]; }

  const bool json_;
  const size_t widest_;
  std::array<size_t, 6> counts_{};
};

std::string mistake_in_filter(const std::string& text) {
  try {
    const std::regex filter(text);
    return {};
  } catch (const std::regex_error& error) {
    return concat("'", text, "' is no regular expression: ", error.what());
  }
}

int list(std::span<const Test> tests) {
  for (const Test& test : tests) {
    std::cout << test.name << ": " << test.asks << '\n';
  }
  return kDone;
}

int validate(const Options& options, const Commands& commands) {
  std::vector<Test> tests;
  size_t widest = 0;
  const std::regex filter(options.filter);
  for (const Test& test : conformance::all_tests()) {
    if (std::regex_search(test.name.begin(), test.name.end(), filter)) {
      tests.push_back(test);
      widest = std::max(widest, test.name.size());
    }
  }
  if (options.list) {
    return list(tests);
  }
  if (options.library.empty()) {
    std::cerr << "backplane: error: which plugin? Name its library, or --list\n";
    return kUsage;
  }
  std::optional<OtherManifests> others;
  const auto files = files_of(options, commands, others);
  const auto traits = traits_of(options, files);
  conformance::set_time_limit(std::chrono::duration<double>(options.timeout));
  Report report(options.json, widest);
  for (const Test& test : tests) {
    report.add(test, conformance::run_in_child(
                         [&] {
                           conformance::Subject subject(files, traits, options.isolated);
                           test.run(subject);
                           subject.stop();
                         },
                         std::chrono::duration<double>(options.timeout)));
  }
  return report.end(files);
}

}  // namespace

void add_validate(CLI::App& app, Commands& commands) {
  auto options = std::make_shared<Options>();
  CLI::App* sub = app.add_subcommand("validate", "Hold a plugin to the contract of the ABI");
  sub->add_option("plugin", options->library, "Its library")
      ->type_name("FILE")
      ->check(CLI::ExistingFile);
  sub->add_option("--manifest", options->manifest, "Its plugin manifest, if it is elsewhere")
      ->type_name("FILE")
      ->check(CLI::ExistingFile);
  sub->add_option("--traits", options->traits, "What its endpoints can do")
      ->type_name("FILE")
      ->check(CLI::ExistingFile);
  sub->add_option("--filter", options->filter, "Only tests whose names match")
      ->type_name("RE")
      ->check(CLI::Validator(mistake_in_filter, "", "a regular expression"));
  sub->add_option("--timeout", options->timeout, "Of each test")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.1, 3600.0))
      ->capture_default_str();
  sub->add_flag("--isolated", options->isolated, "With the plugin in a process of its own");
  sub->add_flag("--json", options->json, "A line of JSON a test");
  sub->add_flag("--list", options->list, "Say what each test asks; run none");
  sub->footer(R"(Examples:
  backplane validate build/plugins/libbackplane_modbus.so
  backplane validate --traits tests/traits.toml --filter '^streams' libbackplane_modbus.so
  backplane validate --list

Exit code 0: nothing failed, 1: something did.)");
  sub->callback([options, &commands] {
    commands.chosen = [options, &commands] { return validate(*options, commands); };
  });
}

}  // namespace backplane::cli
