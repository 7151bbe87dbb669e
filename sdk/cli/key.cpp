// SPDX-License-Identifier: Apache-2.0
// backplane key: the native key of a string, as other processes are told it.
#include "commands.hpp"
#include "exit_code.hpp"
#include <backplane/sdk/native_key.hpp>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <iostream>

namespace backplane::cli {
namespace {

using Use = NativeKey::Use;

struct Wanted {
  std::string string;
  std::string type;
  std::string use = "shared_memory";
  bool is_legacy = false;
  bool is_text = false;
  bool json = false;
};

/// "posix", "systemv", "systemv-7", as a key's text begins.
uint32_t type_of(const Wanted& wanted) {
  if (wanted.type.empty()) {
    return wanted.is_legacy ? NativeKey::kLegacyType : NativeKey::kDefaultType;
  }
  return NativeKey::parse(wanted.type + ":/").value().type();
}

int run(const Wanted& wanted) {
  const Use use = wanted.use == "semaphore" ? Use::kSemaphore : Use::kSharedMemory;
  const NativeKey key = (wanted.is_text     ? NativeKey::parse(wanted.string)
                         : wanted.is_legacy ? NativeKey::legacy(use, wanted.string, type_of(wanted))
                                            : NativeKey::safe(use, wanted.string, type_of(wanted)))
                            .value();
  if (wanted.json) {
    const nlohmann::ordered_json line = {
        {"key", key.to_string()},
        {"type", key.type()},
        {"name", key.name()},
        {"shared_memory", NativeKey::is_supported(Use::kSharedMemory, key.type())},
        {"semaphore", NativeKey::is_supported(Use::kSemaphore, key.type())}};
    std::cout << line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
  } else {
    std::cout << key.to_string() << '\n';
  }
  return kDone;
}

}  // namespace

void add_key(CLI::App& app, Commands& commands) {
  auto wanted = std::make_shared<Wanted>();
  CLI::App* sub = app.add_subcommand(
      "key", "Say the native key of a string: what processes name shared memory and semaphores by");
  sub->add_option("string", wanted->string, "What it is made of")->required();
  sub->add_option("--type", wanted->type, "posix, systemv, systemv-N or anonymous; else posix")
      ->type_name("TYPE");
  sub->add_option("--for", wanted->use, "What it names")
      ->check(CLI::IsMember({"shared_memory", "semaphore"}))
      ->capture_default_str();
  auto* const legacy = sub->add_flag("--legacy", wanted->is_legacy,
                                     "The one that Qt's setKey() makes; type systemv unless said");
  sub->add_flag("--text", wanted->is_text, "The string is the text of a key: check it")
      ->excludes(legacy);
  sub->add_flag("--json", wanted->json, "Also its type, its name and what supports it");
  sub->footer(R"(Examples:
  backplane key 'line 1'                        # posix:/line%201
  backplane key --for semaphore --legacy Sema   # of a Qt program
  backplane key --json --text 'systemv-7:/run/app/line1'

Give the printed key to the other process, not the string.)");
  sub->callback([wanted, &commands] { commands.chosen = [wanted] { return run(*wanted); }; });
}

}  // namespace backplane::cli
