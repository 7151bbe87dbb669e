// SPDX-License-Identifier: Apache-2.0
// backplane shm: the segments of shared memory that there are.
#include "commands.hpp"
#include "exit_code.hpp"
#include <backplane/sdk/channel.hpp>
#include <backplane/sdk/shared_memory.hpp>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <iostream>
#include <optional>
#include <pwd.h>

namespace backplane::cli {
namespace {

std::string user_of(uint32_t number) {
  const passwd* const entry = getpwuid(number);
  return entry != nullptr ? entry->pw_name : std::to_string(number);
}

std::string octal(uint32_t permissions) {
  std::string out = "0000";
  for (size_t i = 4; i-- > 0; permissions /= 8) {
    out[i] = static_cast<char>('0' + permissions % 8);
  }
  return out;
}

std::string_view state_of(const MemoryInfo& info) {
  if (info.is_open) {
    return "open";
  }
  return info.is_kept ? "kept" : "nobody's";
}

std::string_view key_of(const MemoryInfo& info) {
  return info.key.empty() ? std::string_view("(not known)") : std::string_view(info.key);
}

using Json = nlohmann::ordered_json;

Json json_of(const MemoryInfo& info) {
  return {{"key", info.key},
          {"size", info.size},
          {"open", info.is_open},
          {"kept", info.is_kept},
          {"maker", info.maker},
          {"maker_lives", info.maker_lives},
          {"user", user_of(info.owner)},
          {"mode", octal(info.permissions)}};
}

Json json_of(const bp_channel_info& info) {
  return {{"sample_size", info.sample_size},
          {"capacity", info.capacity},
          {"lossless", (info.flags & BP_CHANNEL_LOSSLESS) != 0},
          {"published", info.published},
          {"publishers", info.n_publishers},
          {"most_publishers", info.publishers},
          {"subscribers", info.n_subscribers},
          {"most_subscribers", info.subscribers},
          {"most_behind", info.most_behind}};
}

void print(const Json& line) {
  std::cout << line.dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
}

void print(const std::vector<MemoryInfo>& infos, bool json) {
  if (!json && !infos.empty()) {
    std::cout << "STATE     BYTES         MAKER           USER      MODE  KEY\n";
  }
  for (const MemoryInfo& info : infos) {
    if (json) {
      print(json_of(info));
      continue;
    }
    const auto column = [](std::string_view text, size_t width) {
      std::cout << text << std::string(width - std::min(width - 1, text.size()), ' ');
    };
    column(state_of(info), 10);
    column(std::to_string(info.size), 14);
    column(std::to_string(info.maker) + (info.maker_lives ? "" : " ended"), 16);
    column(user_of(info.owner), 10);
    column(octal(info.permissions), 6);
    std::cout << key_of(info) << '\n';
  }
}

std::optional<Channel> channel_of(const NativeKey& key, const MemoryInfo& info) {
  Result<Channel> channel = info.is_open ? Channel::attach(key) : Status(BP_NOT_FOUND);
  return channel ? std::optional(std::move(*channel)) : std::nullopt;
}

int inspect(const std::string& text, bool json) {
  NativeKey native = NativeKey::parse(text).value();
  if (native.type() == BP_KEY_POSIX) {  // slashes in front are nothing to the system
    native = NativeKey("/" + native.name().substr(std::min(native.name().find_first_not_of('/'),
                                                           native.name().size())));
  }
  const std::string key = native.to_string();
  std::vector<MemoryInfo> infos = SharedMemory::list().value();
  std::erase_if(infos, [&](const MemoryInfo& info) { return info.key != key; });
  if (infos.empty()) {
    throw Error(BP_NOT_FOUND, "no segment of Backplane has the key ", key);
  }
  // What is nobody's would be removed by who opens it.
  const std::optional<Channel> channel = channel_of(native, infos.front());
  if (json) {
    Json line = json_of(infos.front());
    if (channel) {
      line["channel"] = json_of(channel->info());
    }
    print(line);
    return kDone;
  }
  print(infos, false);
  if (channel) {
    const bp_channel_info info = channel->info();
    std::cout << "channel of samples of up to " << info.sample_size << " bytes, the last "
              << info.capacity << " of " << info.published
              << ((info.flags & BP_CHANNEL_LOSSLESS) != 0 ? ", lossless" : "")
              << "; publishers: " << info.n_publishers << " of " << info.publishers
              << ", subscribers: " << info.n_subscribers << " of " << info.subscribers
              << ", most behind: " << info.most_behind << '\n';
  }
  return kDone;
}

}  // namespace

void add_shm(CLI::App& app, Commands& commands) {
  CLI::App* sub = app.add_subcommand("shm", "Look at segments of shared memory, and clean up");
  sub->require_subcommand(1);
  auto json = std::make_shared<bool>(false);

  CLI::App* list = sub->add_subcommand("list", "All that this user may read");
  list->add_flag("--json", *json, "A line of JSON each");
  list->callback([json, &commands] {
    commands.chosen = [json] {
      print(SharedMemory::list().value(), *json);
      return static_cast<int>(kDone);
    };
  });

  auto key = std::make_shared<std::string>();
  CLI::App* one = sub->add_subcommand("inspect", "One of them");
  one->add_option("key", *key, "Its key, as `backplane key` says it")->required();
  one->add_flag("--json", *json, "As JSON");
  one->callback(
      [key, json, &commands] { commands.chosen = [key, json] { return inspect(*key, *json); }; });

  CLI::App* clean = sub->add_subcommand("clean", "Remove those that nobody has open");
  clean->callback([&commands] {
    commands.chosen = [] {
      std::cout << "removed: " << SharedMemory::clean().value() << '\n';
      return static_cast<int>(kDone);
    };
  });
  sub->footer(R"text(Examples:
  backplane shm list
  backplane shm inspect "$(backplane key 'line 1')"
  backplane shm clean          # what killed processes left; a kept one stays)text");
}

}  // namespace backplane::cli
