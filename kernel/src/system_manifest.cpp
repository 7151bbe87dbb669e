// SPDX-License-Identifier: Apache-2.0
#include "system_manifest.hpp"

#include "credential_sources.hpp"
#include "did_you_mean.hpp"
#include "json_pointer.hpp"
#include "plugin_library.hpp"
#include "start_order.hpp"
#include "system_format.hpp"

#include <algorithm>
#include <cstdint>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace backplane::kernel {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::chrono::milliseconds milliseconds(const json& seconds) {
  return std::chrono::ceil<std::chrono::milliseconds>(
      std::chrono::duration<double>(seconds.get<double>()));
}

/// Turns a document into a manifest. Goes on after a mistake with whatever does not depend on it.
class SystemReader {
 public:
  SystemReader(const TomlDocument& document, fs::path folder, const PluginCatalogue& catalogue,
               const Environment& environment, Diagnostics& diagnostics)
      : document_(document),
        folder_(std::move(folder)),
        catalogue_(catalogue),
        environment_(environment),
        diagnostics_(diagnostics) {}

  std::optional<SystemManifest> read() {
    const std::size_t before = diagnostics_.error_count();
    const auto complete =
        format_.file.complete(document_.root(), {document_, ""}, {}, diagnostics_);
    if (complete) {
      options(complete->config.at("system"));
      manifest_.credentials =
          credential_sources(complete->config.at("credentials"), {document_, "/credentials"},
                             folder_, environment_, diagnostics_);
    }
    declare();
    for (std::size_t i = 0; i < drafts_.size(); ++i) configure(i);
    order();
    if (diagnostics_.error_count() != before) return std::nullopt;
    return std::move(manifest_);
  }

 private:
  /// An instance or route on its way into the manifest, at the same index.
  struct Draft {
    std::string pointer;
    bool is_route = false;
    const json* table = nullptr;
    std::uint64_t order = 0;
  };

  void options(const json& system) {
    manifest_.options = {system.value("name", ""), system.at("log_level"),
                         milliseconds(system.at("start_timeout_s")),
                         milliseconds(system.at("stop_timeout_s"))};
  }

  // --- names

  void declare() {
    const json& root = document_.root();
    if (const auto found = root.find("instances"); found != root.end() && found->is_object()) {
      for (const auto& [name, table] : found->items()) {
        if (table.is_object()) draft(member("/instances", name), false, table);
      }
    }
    if (const auto found = root.find("routes"); found != root.end() && found->is_array()) {
      for (std::size_t i = 0; i < found->size(); ++i) {
        if ((*found)[i].is_object()) draft(item("/routes", i), true, (*found)[i]);
      }
    }
    std::sort(drafts_.begin(), drafts_.end(),
              [](const Draft& a, const Draft& b) { return a.order < b.order; });
    for (const Draft& draft : drafts_) {
      InstanceManifest instance;
      instance.position = document_.key_at(draft.pointer);
      instance.is_route = draft.is_route;
      instance.name = name_of(draft);
      names_.push_back(instance.name);
      const auto [taken, is_new] = by_name_.emplace(instance.name, manifest_.instances.size());
      if (!is_new) {
        diagnostics_.error(document_.value_at(member(draft.pointer, "name")),
                           "name '" + instance.name + "' is taken, at " +
                               to_string(manifest_.instances[taken->second].position));
      }
      manifest_.instances.push_back(std::move(instance));
    }
  }

  void draft(std::string pointer, bool is_route, const json& table) {
    const std::uint64_t order = document_.order_of(pointer);
    drafts_.push_back({std::move(pointer), is_route, &table, order});
  }

  std::string name_of(const Draft& draft) const {
    std::string last = draft.pointer.substr(draft.pointer.rfind('/') + 1);
    if (!draft.is_route)
      return last;  // a name with a character that a pointer escapes is an error already
    const auto name = draft.table->find("name");
    if (name != draft.table->end() && name->is_string()) return name->get<std::string>();
    return "route-" + std::to_string(std::stoul(last) + 1);
  }

  // --- one instance

  void configure(std::size_t index) {
    const Draft& draft = drafts_[index];
    const DocumentTable source{document_, draft.pointer};
    const ConfigSchema& format = draft.is_route ? format_.route : format_.instance;
    const auto common = format.complete(*draft.table, source, {}, diagnostics_);
    const PluginManifest* plugin = plugin_of(index);
    manifest_.instances[index].plugin = plugin;
    if (common) this->common(index, common->config);
    if (plugin == nullptr) return;
    services(index, common ? common->config.at("allow") : json::object());

    json own = *draft.table;
    for (const std::string& key : reserved_keys()) {
      if (key != "plugin" || !draft.is_route) own.erase(key);
    }
    if (draft.is_route) own.erase("name");
    auto complete = plugin->config.complete(own, source, free_keys(draft), diagnostics_);
    if (!complete) return;
    for (const AddressUse& use : complete->addresses) open(index, use);
    needs_of_plugin(index, *plugin);
    for (const CredentialUse& use : complete->credentials) credential(index, use);
    for (SharedMemoryUse& use : complete->shared_memory)
      manifest_.instances[index].shared_memory.push_back(std::move(use.key));
    manifest_.instances[index].config = std::move(complete->config);
    if (common) allow(index, common->config.at("allow"));
  }

  /// Those of the common keys that could be meant by a misspelt one.
  static std::vector<std::string> free_keys(const Draft& draft) {
    std::vector<std::string> keys;
    for (const std::string& key : reserved_keys()) {
      if (!draft.table->contains(key) && !(draft.is_route && key == "plugin")) keys.push_back(key);
    }
    if (draft.is_route && !draft.table->contains("name")) keys.emplace_back("name");
    return keys;
  }

  void common(std::size_t index, const json& table) {
    const std::string& pointer = drafts_[index].pointer;
    if (table.at("isolation") == "process") {
      manifest_.instances[index].isolated = table.at("isolated");
      isolated(index);
    } else if (drafts_[index].table->contains("isolated")) {
      diagnostics_.error(document_.key_at(member(pointer, "isolated")),
                         "'isolated' has limits of an isolated instance: add isolation = "
                         "\"process\", or remove it");
    }
    const json& after = table.at("after");
    for (std::size_t i = 0; i < after.size(); ++i) {
      const auto& name = after[i].get_ref<const std::string&>();
      const SourcePosition at = document_.value_at(item(member(pointer, "after"), i));
      if (const auto other = instance_named(name, at))
        manifest_.instances[index].after.push_back(*other);
    }
  }

  void isolated(std::size_t index) {
    const SourcePosition at = document_.value_at(member(drafts_[index].pointer, "isolation"));
    if (catalogue_.find(kIsolationPlugin) == nullptr) {
      diagnostics_.error(at, "isolation = \"process\" needs the plugin '" +
                                 std::string(kIsolationPlugin) +
                                 "', which is not installed; install it, or write \"none\"");
      return;
    }
    const PluginManifest* const plugin = manifest_.instances[index].plugin;
    if (plugin != nullptr && plugin->library.empty()) {
      diagnostics_.error(at, "plugin '" + plugin->id +
                                 "' is linked into this program and cannot run in another process; "
                                 "write \"none\"");
    }
  }

  const PluginManifest* plugin_of(std::size_t index) {
    const Draft& draft = drafts_[index];
    std::string id = "route";
    SourcePosition at = document_.key_at(draft.pointer);
    if (!draft.is_route) {
      const auto found = draft.table->find("plugin");
      if (found == draft.table->end() || !found->is_string()) return nullptr;
      id = found->get<std::string>();
      at = document_.value_at(member(draft.pointer, "plugin"));
    }
    const PluginManifest* plugin = catalogue_.find(id);
    if (plugin == nullptr) {
      // Without the route plugin every route is wrong in the same way: once is enough.
      if (!draft.is_route || !std::exchange(no_route_plugin_, true)) {
        diagnostics_.error(at, unknown_word("plugin", id, catalogue_.ids()));
      }
      return nullptr;
    }
    const auto [first, is_new] = first_of_.emplace(plugin, index);
    if (const std::string lack = PluginLibrary::lack_for(*plugin); is_new && !lack.empty())
      diagnostics_.error(at, "plugin '" + id + "': " + lack);
    if (!is_new && !plugin->multi_instance) {
      diagnostics_.error(at, "plugin '" + id + "' allows one instance, which is '" +
                                 manifest_.instances[first->second].name + "', at " +
                                 to_string(manifest_.instances[first->second].position));
    }
    return plugin;
  }

  std::optional<std::size_t> instance_named(std::string_view name, const SourcePosition& at) {
    const auto found = by_name_.find(name);
    if (found != by_name_.end()) return found->second;
    diagnostics_.error(at, unknown_word("instance", name, names_));
    return std::nullopt;
  }

  /// An address in the configuration: it must lead somewhere, and the plugin must have asked for
  /// the verb.
  void open(std::size_t index, const AddressUse& use) {
    InstanceManifest& instance = manifest_.instances[index];
    const SourcePosition at = document_.value_at(drafts_[index].pointer + use.pointer);
    const auto address = parse_address(use.address);
    if (!address) {
      diagnostics_.error(
          at,
          "'" + use.address + "' is no address, expected instance:path or scheme://authority/path");
      return;
    }
    AddressPattern pattern = AddressPattern::exactly(use.address);
    if (use.placeholder != std::string::npos) {
      if (use.placeholder < use.address.size() - address->rest.size()) {
        diagnostics_.error(at, "'" + use.address +
                                   "' leaves open where it leads to: only what stands behind an "
                                   "instance's colon, or behind a URL's authority and its slash, "
                                   "can be filled in");
        return;
      }
      pattern = {use.address.substr(0, use.placeholder), true};
    }
    if (address->is_url()) {
      catalogue_.resolve(*address, at, diagnostics_);
    } else if (const auto other = instance_named(address->target, at); other && *other != index) {
      // Routes depend on instances, never the other way round, nor on each other.
      auto& dependencies = instance.dependencies;
      if (!manifest_.instances[*other].is_route &&
          std::find(dependencies.begin(), dependencies.end(), *other) == dependencies.end()) {
        dependencies.push_back(*other);
      }
    }
    for (const Verb verb : kVerbs) {
      if ((use.verbs & bit(verb)) != 0 && !instance.plugin->permissions.cover(verb, pattern)) {
        not_requested(*instance.plugin, verb, to_string(pattern), at);
      }
    }
    instance.grants.push_back({use.verbs, std::move(pattern)});
  }

  /// What a plugin's manifest asks for by the scheme of a plugin that reaches nothing outside the
  /// process (`format://*`) its own work needs, whatever the configuration names. Anything that
  /// reaches further takes the operator's word: an address in the configuration, or `allow`.
  void needs_of_plugin(std::size_t index, const PluginManifest& plugin) {
    for (const Grant& asked : plugin.permissions.addresses) {
      const auto address = parse_address(asked.pattern.text);
      if (!address || !address->is_url()) continue;
      const PluginManifest* const server = catalogue_.find_by_scheme(address->scheme);
      if (server != nullptr && !server->permissions.reach_outside()) {
        manifest_.instances[index].grants.push_back(asked);
      }
    }
  }

  /// `allow` adds patterns, as far as the plugin's manifest asks for them.
  void allow(std::size_t index, const json& table) {
    InstanceManifest& instance = manifest_.instances[index];
    for (const Verb verb : kVerbs) {
      const std::string name(to_string(verb));
      const json patterns = table.value(name, json::array());
      for (std::size_t i = 0; i < patterns.size(); ++i) {
        const auto& text = patterns[i].get_ref<const std::string&>();
        const SourcePosition at =
            document_.value_at(item(member(member(drafts_[index].pointer, "allow"), name), i));
        const AddressPattern pattern = AddressPattern::parse(text);
        if (const auto address = parse_address(pattern.text); address && !address->is_url()) {
          instance_named(address->target, at);
        }
        bool requested = false;
        for (const Grant& asked : instance.plugin->permissions.addresses) {
          if ((asked.verbs & bit(verb)) == 0) continue;
          if (auto both = intersection(pattern, asked.pattern)) {
            instance.grants.push_back({bit(verb), std::move(*both)});
            requested = true;
          }
        }
        if (!requested) not_requested(*instance.plugin, verb, text, at);
      }
    }
  }

  /// `allow.services` leaves those that it lists of what the plugin's manifest asks for.
  void services(std::size_t index, const json& allow) {
    InstanceManifest& instance = manifest_.instances[index];
    const PluginManifest& plugin = *instance.plugin;
    const std::vector<std::string> asked = plugin.services();
    instance.services = asked;
    const auto listed = allow.find("services");
    if (listed == allow.end()) return;
    const std::string pointer = member(member(drafts_[index].pointer, "allow"), "services");
    instance.services = listed->get<std::vector<std::string>>();
    const auto among = [](const std::vector<std::string>& ids, const std::string& id) {
      return std::find(ids.begin(), ids.end(), id) != ids.end();
    };
    for (std::size_t i = 0; i < instance.services.size(); ++i) {
      const std::string& id = instance.services[i];
      if (among(asked, id)) continue;
      diagnostics_.error(document_.value_at(item(pointer, i)),
                         "plugin '" + plugin.id + "' does not ask for the service '" + id +
                             "': its manifest asks for " +
                             (asked.empty() ? "none" : "only " + quoted_list(asked)));
    }
    for (const std::string& id : plugin.services_needed) {
      if (among(instance.services, id)) continue;
      diagnostics_.error(document_.key_at(pointer), "plugin '" + plugin.id +
                                                        "' cannot do without the service '" + id +
                                                        "', which is not allowed here: add it");
    }
  }

  void not_requested(const PluginManifest& plugin, Verb verb, const std::string& address,
                     const SourcePosition& at) {
    const std::string name(to_string(verb));
    const std::vector<std::string> patterns = plugin.permissions.patterns_for(verb);
    diagnostics_.error(at, "plugin '" + plugin.id + "' may not " + name + " '" + address +
                               "': its manifest asks to " + name + ' ' +
                               (patterns.empty() ? "nothing" : "only " + quoted_list(patterns)));
  }

  void credential(std::size_t index, const CredentialUse& use) {
    auto& names = manifest_.instances[index].credentials;
    if (std::find(names.begin(), names.end(), use.name) == names.end()) names.push_back(use.name);
    const json& root = document_.root();
    const auto table = root.find("credentials");
    std::vector<std::string> known;
    if (table != root.end() && table->is_object()) {
      if (table->contains(use.name)) return;
      for (const auto& each : table->items()) known.push_back(each.key());
    }
    diagnostics_.error(document_.value_at(drafts_[index].pointer + use.pointer),
                       unknown_word("credential", use.name, known));
  }

  // --- order

  void order() {
    std::vector<StartNode> nodes;
    for (const InstanceManifest& each : manifest_.instances)
      nodes.push_back({each.after, each.dependencies});
    StartOrder order = start_order(nodes);
    manifest_.start_order = std::move(order.order);
    if (order.cycle.empty()) return;
    std::string text;
    for (const std::size_t i : order.cycle) text += "'" + manifest_.instances[i].name + "' after ";
    const std::size_t first = order.cycle.front();
    diagnostics_.error(document_.key_at(member(drafts_[first].pointer, "after")),
                       "the start order has a cycle: " + text + "'" +
                           manifest_.instances[first].name + "'; remove one of them");
  }

  const TomlDocument& document_;
  fs::path folder_;  // of the manifest: relative paths start there
  const PluginCatalogue& catalogue_;
  const Environment& environment_;
  Diagnostics& diagnostics_;
  SystemFormat format_;
  SystemManifest manifest_;
  std::vector<Draft> drafts_;
  std::vector<std::string> names_;
  std::map<std::string, std::size_t, std::less<>> by_name_;
  std::map<const PluginManifest*, std::size_t> first_of_;
  bool no_route_plugin_ = false;
};

}  // namespace

std::optional<SystemManifest> SystemManifest::load(const fs::path& file,
                                                   const PluginCatalogue& catalogue,
                                                   const Environment& environment,
                                                   Diagnostics& diagnostics) {
  const auto document = TomlDocument::load_with_drop_ins(file, environment, diagnostics);
  if (!document) return std::nullopt;
  std::error_code error;
  const fs::path folder = fs::absolute(file, error).parent_path();
  return SystemReader(*document, folder, catalogue, environment, diagnostics).read();
}

std::optional<SystemManifest> SystemManifest::parse(std::string_view text, const std::string& name,
                                                    const PluginCatalogue& catalogue,
                                                    const Environment& environment,
                                                    Diagnostics& diagnostics) {
  const auto document = TomlDocument::parse(text, name, environment, diagnostics);
  if (!document) return std::nullopt;
  std::error_code error;
  return SystemReader(*document, fs::current_path(error), catalogue, environment, diagnostics)
      .read();
}

}  // namespace backplane::kernel
