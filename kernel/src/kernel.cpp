// SPDX-License-Identifier: Apache-2.0
#include "kernel.hpp"

#include "backplane/service/log.h"
#include "error.hpp"
#include "message_copy.hpp"
#include "services.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <dlfcn.h>
#include <filesystem>
#include <set>
#include <time.h>
#include <utility>

namespace backplane::kernel {
namespace {

std::int64_t realtime_now() noexcept {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

std::vector<std::filesystem::path> split(std::string_view folders) {
  std::vector<std::filesystem::path> paths;
  while (!folders.empty()) {
    const std::size_t colon = folders.find(':');
    if (colon != 0) paths.emplace_back(folders.substr(0, colon));
    folders = colon == std::string_view::npos ? std::string_view() : folders.substr(colon + 1);
  }
  return paths;
}

struct InstalledFolders {
  std::vector<std::filesystem::path> plugins;
  std::vector<std::filesystem::path> manifests;
};

// Relative to this library: lib/libbackplane.so beside lib/backplane/plugins and
// share/backplane/plugin_manifests when it is installed, beside ../plugins and ../plugin_manifests
// in a build folder.
InstalledFolders installed_folders() {
  Dl_info self{};
  if (dladdr(reinterpret_cast<const void*>(&bp_kernel_version), &self) == 0) return {};
  const std::filesystem::path library =
      std::filesystem::weakly_canonical(self.dli_fname).parent_path();
  if (std::filesystem::exists(library / "backplane" / "plugins")) {
    return {{library / "backplane" / "plugins"},
            {library.parent_path() / "share" / "backplane" / "plugin_manifests"}};
  }
  return {{library.parent_path() / "plugins"}, {library.parent_path() / "plugin_manifests"}};
}

std::uint32_t level_named(std::string_view name) {
  static constexpr std::array<std::string_view, 6> kNames = {"",     "error", "warning",
                                                             "info", "debug", "trace"};
  const auto* const found = std::find(kNames.begin(), kNames.end(), name);
  return found == kNames.end() ? 0 : static_cast<std::uint32_t>(found - kNames.begin());
}

// Without a manifest.
constexpr std::chrono::nanoseconds kStopTimeout = std::chrono::seconds(5);

// How long an orderly end may take once all instances have stopped.
constexpr auto kShutDown = std::chrono::seconds(5);

// What a kernel without a log callback prints.
void log_to_stderr(void*, const bp_log_record* record) {
  static constexpr const char* kLevels[] = {"", "error", "warning", "info", "debug", "trace"};
  const char* level = record->level < 6 ? kLevels[record->level] : "?";
  std::fprintf(stderr, "%s: %.*s%s%.*s\n", level, static_cast<int>(record->instance.len),
               record->instance.ptr, record->instance.len != 0 ? ": " : "",
               static_cast<int>(record->message.len), record->message.ptr);
}

}  // namespace

Kernel::Kernel(const bp_kernel_options& options)
    : flags_(options.flags),
      level_given_(options.log_level != 0),
      log_level_(level_given_ ? options.log_level : BP_LOG_INFO),
      log_(options.log != nullptr ? options.log : log_to_stderr),
      log_user_(options.user),
      deadlines_(executor_),
      table_(executor_),
      application_(*this, nullptr, "") {
  application_.permissions = Permissions::everything();
}

bool Kernel::shut_down() {
  if (executor_.on_loop()) {
    log(nullptr, BP_LOG_ERROR, "destroyed by its own loop: it goes on, and is never freed");
    return false;
  }
  bp_error ignored{};
  stop(&ignored);
  control_.reset();
  if (executor_.running()) {
    table_.close_all_of(&application_);
    table_.wait_until_closed(&application_, std::chrono::nanoseconds(kShutDown).count());
  }
  const bool has_returned = executor_.stop(kShutDown);
  if (has_returned && !has_quarantined()) return true;
  log(nullptr, BP_LOG_ERROR,
      has_returned ? "an instance is quarantined: what its code may still use is never freed"
                   : "a plugin does not return to the loop: what its code may still use is never "
                     "freed");
  return false;
}

bool Kernel::has_quarantined() {
  const std::shared_lock lock(instances_mutex_);
  const auto is_quarantined = [](const Instance& instance) {
    return instance.life() == BP_LIFE_QUARANTINED;
  };
  return std::any_of(instances_.begin(), instances_.end(),
                     [&](const auto& named) { return is_quarantined(*named.second); }) ||
         std::any_of(failed_instances_.begin(), failed_instances_.end(),
                     [&](const auto& instance) { return is_quarantined(*instance); });
}

Kernel::~Kernel() = default;

// ---------------------------------------------------------------- what there is

bp_status Kernel::discover(std::string_view plugin_folders, std::string_view manifest_folders,
                           bp_error* error) {
  const InstalledFolders installed = installed_folders();
  Diagnostics diagnostics;
  plugins_.scan(manifest_folders.empty() ? installed.manifests : split(manifest_folders),
                plugin_folders.empty() ? installed.plugins : split(plugin_folders), diagnostics);
  return diagnostics.has_errors() ? set_error(error, BP_INVALID_ARGUMENT, diagnostics.first_error())
                                  : BP_OK;
}

bp_status Kernel::refuse_after_start(bp_error* error) {
  const std::lock_guard lock(control_mutex_);
  return control_ ? set_error(error, BP_FAILED_PRECONDITION,
                              "this kernel has started: plugins and a manifest come before")
                  : BP_OK;
}

bp_status Kernel::add_plugin(bp_plugin_entry entry, std::string_view manifest, bp_error* error) {
  if (const bp_status status = refuse_after_start(error); status < 0) return status;
  Diagnostics diagnostics;
  const PluginManifest* const added = plugins_.add(manifest, "linked plugin", diagnostics);
  if (added == nullptr) return set_error(error, BP_INVALID_ARGUMENT, diagnostics.first_error());
  linked_[added->id] = entry;
  return BP_OK;
}

bp_status Kernel::load(const std::string& path, const Report& report, bp_error* error) {
  if (const bp_status status = refuse_after_start(error); status < 0) return status;
  Diagnostics diagnostics;
  std::optional<SystemManifest> manifest =
      SystemManifest::load(path, plugins_, process_environment(), diagnostics);
  return accept(std::move(manifest), diagnostics, report, error);
}

bp_status Kernel::load_text(const std::string& name, std::string_view text, const Report& report,
                            bp_error* error) {
  if (const bp_status status = refuse_after_start(error); status < 0) return status;
  Diagnostics diagnostics;
  std::optional<SystemManifest> manifest =
      SystemManifest::parse(text, name, plugins_, process_environment(), diagnostics);
  return accept(std::move(manifest), diagnostics, report, error);
}

bp_status Kernel::accept(std::optional<SystemManifest> manifest, const Diagnostics& diagnostics,
                         const Report& report, bp_error* error) {
  for (const Diagnostic& diagnostic : diagnostics.entries()) report(diagnostic);
  manifest_refused_ = !manifest;
  if (!manifest) return set_error(error, BP_INVALID_ARGUMENT, diagnostics.first_error());
  if (manifest_)
    return set_error(error, BP_FAILED_PRECONDITION,
                     "a manifest is loaded already: one kernel runs one system");
  manifest_ = std::move(manifest);
  application_.base.system = str(system());
  return BP_OK;
}

// ---------------------------------------------------------------- start and stop

// Those that wait for the loop.
bp_status Kernel::refuse_on_loop(bp_error* error) const {
  return executor_.on_loop()
             ? set_error(error, BP_FAILED_PRECONDITION,
                         "on the loop, which start, drain and stop wait for: another thread may")
             : BP_OK;
}

bp_status Kernel::start(bp_error* error) {
  if (const bp_status status = refuse_on_loop(error); status < 0) return status;
  if (manifest_refused_)
    return set_error(error, BP_FAILED_PRECONDITION,
                     "the manifest was refused: load one without mistakes first");
  bp_error detail{};
  {
    const std::lock_guard lock(control_mutex_);
    if (control_) return set_error(error, BP_FAILED_PRECONDITION, "this kernel was started before");
    control_.emplace();
  }
  executor_.start();
  bp_status status = BP_OK;
  control_->run([&] {
    status = start_all(detail);
    if (status < 0) ending_ = true;  // before the URLs that were opened meanwhile have their turn
  });
  if (status < 0) stop(nullptr);
  if (status < 0 && error != nullptr) *error = detail;
  return status;
}

bp_status Kernel::start_all(bp_error& error) {
  if (!manifest_) return BP_OK;
  if (const std::uint32_t level = level_named(manifest_->options.log_level);
      level != 0 && !level_given_)
    std::atomic_ref(log_level_).store(level, std::memory_order_relaxed);
  for (const auto& [name, fields] : manifest_->credentials) {
    for (const auto& [field, source] : fields) credentials_.add(name, field, source);
  }
  // All code is known to be good before any instance is made.
  if (const bp_status status = map_plugins(*manifest_, error); status < 0) return status;
  std::vector<Instance*> made;
  for (const std::size_t index : manifest_->start_order) {
    InstanceManifest& declared = manifest_->instances[index];
    bp_error problem{};
    std::unique_ptr<Instance> instance =
        declared.isolated
            ? make_isolated(declared, problem)
            : make_instance(declared.name, *declared.plugin, std::move(declared.config), problem);
    if (instance == nullptr) {
      error = problem;
      return problem.code;
    }
    for (const Grant& grant : declared.grants)
      instance->host.permissions.grant(grant.pattern, grant.verbs);
    instance->host.credentials = declared.credentials;
    instance->host.shared_memory = declared.shared_memory;
    instance->host.services.insert(instance->host.services.end(), declared.services.begin(),
                                   declared.services.end());
    made.push_back(&publish(std::move(instance)));
  }
  for (Instance* instance : made) {
    if (const bp_status status = begin(*instance, manifest_->options.start_timeout, error);
        status < 0)
      return status;
  }
  return BP_OK;
}

// Creates and starts. On the control thread.
bp_status Kernel::begin(Instance& instance, std::chrono::nanoseconds timeout, bp_error& error) {
  bp_error problem{};
  bp_status status = instance.create(problem);
  if (status == BP_OK) {
    started_.push_back(&instance);
    status = instance.start(timeout, problem);
  }
  if (status == BP_OK) return BP_OK;
  return set_error(&error, status,
                   "instance '" + instance.host.name + "': " + std::string(message_of(problem)),
                   domain_of(problem), problem.native);
}

bp_status Kernel::drain(bp_error* error) { return end_by(&Kernel::drain_all, error); }

bp_status Kernel::stop(bp_error* error) { return end_by(&Kernel::stop_all, error); }

bp_status Kernel::end_by(bp_status (Kernel::*job)(bp_error&), bp_error* error) {
  if (const bp_status status = refuse_on_loop(error); status < 0) return status;
  ControlThread* control = nullptr;
  {
    const std::lock_guard lock(control_mutex_);
    if (!control_) return BP_OK;
    control = &*control_;
    ending_ = true;
  }
  bp_status status = BP_OK;
  bp_error detail{};
  control->run([&] { status = (this->*job)(detail); });
  if (status < 0 && error != nullptr) *error = detail;
  return status;
}

bp_status Kernel::drain_all(bp_error& error) {
  // Instances that a URL made serve those of the manifest, which therefore end before them.
  std::stable_partition(started_.begin(), started_.end(),
                        [](const Instance* instance) { return instance->made_by_url; });
  return each_started(&Instance::drain, error);
}

// In two passes, so that nothing is cut off while somebody still finishes his work with it.
bp_status Kernel::stop_all(bp_error& error) {
  const bp_status drained = drain_all(error);
  bp_error second{};
  const bp_status stopped = each_started(&Instance::end, drained == BP_OK ? error : second);
  started_.clear();
  return drained == BP_OK ? stopped : drained;
}

// Dependents first. The first error; all are told regardless.
bp_status Kernel::each_started(Step step, bp_error& error) {
  const auto timeout =
      manifest_ ? std::chrono::nanoseconds(manifest_->options.stop_timeout) : kStopTimeout;
  bp_status first = BP_OK;
  for (auto instance = started_.rbegin(); instance != started_.rend(); ++instance) {
    bp_error problem{};
    const bp_status status = ((*instance)->*step)(timeout, problem);
    if (status < 0 && first == BP_OK) {
      first = set_error(
          &error, status,
          "instance '" + (*instance)->host.name + "': " + std::string(message_of(problem)),
          domain_of(problem), problem.native);
    }
  }
  return first;
}

bp_status Kernel::map_plugins(const SystemManifest& system, bp_error& error) {
  bp_status status = BP_OK;
  std::set<const PluginManifest*> seen;
  for (const std::size_t index : system.start_order) {
    const InstanceManifest& instance = system.instances[index];
    const PluginManifest& plugin =
        instance.isolated ? *plugins_.find(kIsolationPlugin) : *instance.plugin;
    if (!seen.insert(&plugin).second) continue;
    bp_error refusal{};
    if (map_plugin(plugin, refusal) == nullptr && status == BP_OK) {
      status = refusal.code;
      error = refusal;
    }
  }
  return status;
}

const bp_plugin* Kernel::map_plugin(const PluginManifest& manifest, bp_error& error) {
  if (const auto found = libraries_.find(manifest.id); found != libraries_.end())
    return &found->second->plugin();
  const std::uint32_t flags = checked() ? BP_OFFER_CHECKED : 0;
  const auto linked = linked_.find(manifest.id);
  std::string problem;
  std::unique_ptr<PluginLibrary> library =
      linked != linked_.end() ? PluginLibrary::link(manifest, linked->second, flags, problem)
                              : PluginLibrary::load(manifest, flags, problem);
  if (library == nullptr) {
    // Whole, with every path in it: a bp_error may be too short for that.
    log(nullptr, BP_LOG_ERROR, problem);
    set_error(&error, BP_FAILED_PRECONDITION, problem);
    return nullptr;
  }
  const std::unique_lock lock(instances_mutex_);
  return &libraries_.emplace(manifest.id, std::move(library)).first->second->plugin();
}

std::unique_ptr<Instance> Kernel::make_instance(const std::string& name,
                                                const PluginManifest& manifest,
                                                nlohmann::json config, bp_error& error) {
  const bp_plugin* const plugin = map_plugin(manifest, error);
  if (plugin == nullptr) return nullptr;
  return std::make_unique<Instance>(*this, name, manifest.id, *plugin, std::move(config));
}

// The plugin that stands in for it, under its name and with its rights: so what is opened for the
// isolated plugin is checked like what it opens in this process. plugin_manifests/isolation.toml
// describes the configuration.
std::unique_ptr<Instance> Kernel::make_isolated(const InstanceManifest& declared, bp_error& error) {
  const PluginManifest& stand_in = *plugins_.find(kIsolationPlugin);
  const bp_plugin* const plugin = map_plugin(stand_in, error);
  if (plugin == nullptr) return nullptr;
  nlohmann::json setup = *declared.isolated;
  setup["manifest"] = declared.plugin->position.file;
  setup["library_folder"] = declared.plugin->library.parent_path().string();
  setup["services"] = declared.services;
  setup["shares_memory"] =
      std::any_of(declared.shared_memory.begin(), declared.shared_memory.end(),
                  [](const std::string& key) { return key.starts_with("anonymous:"); });
  setup["config"] = declared.config;
  setup["checked"] = checked();
  auto instance = std::make_unique<Instance>(*this, declared.name, declared.plugin->id, *plugin,
                                             std::move(setup));
  instance->host.services = stand_in.services();
  return instance;
}

Instance& Kernel::publish(std::unique_ptr<Instance> instance) {
  const std::unique_lock lock(instances_mutex_);
  std::unique_ptr<Instance>& place = instances_[instance->host.name];
  if (place != nullptr) failed_instances_.push_back(std::move(place));
  place = std::move(instance);
  return *place;
}

// ---------------------------------------------------------------- looking

void Kernel::log(const Host* host, std::uint32_t level, std::string_view message,
                 const bp_pair* fields, std::uint32_t n_fields) noexcept {
  if (level > std::atomic_ref(log_level_).load(std::memory_order_relaxed)) return;
  bp_log_record record{};
  record.time_ns = realtime_now();
  record.level = level;
  record.n_fields = n_fields;
  if (host != nullptr) record.instance = str(host->name);
  record.message = str(message);
  record.fields = fields;
  log_(log_user_, &record);
}

void Kernel::visit_instances(const std::function<void(const bp_instance_info&)>& visit) {
  const std::shared_lock lock(instances_mutex_);
  for (const auto& [name, instance] : instances_) {
    bp_instance_info info{};
    std::string detail;
    instance->describe(info, detail);
    visit(info);
  }
}

bool Kernel::is_loaded(const std::string& plugin) {
  const std::shared_lock lock(instances_mutex_);
  return libraries_.contains(plugin);
}

void Kernel::visit_plugins(const std::function<void(const bp_plugin_info&)>& visit) {
  for (const auto& [id, manifest] : plugins_.plugins()) {
    std::string schemes;
    for (const Scheme& scheme : manifest.schemes)
      schemes += (schemes.empty() ? "" : " ") + scheme.name;
    const std::string library = manifest.library.string();
    bp_plugin_info info{};
    info.struct_size = BP_SIZE_TO(bp_plugin_info, manifest);
    info.flags = is_loaded(id) ? BP_PLUGIN_INFO_LOADED : 0;
    info.id = str(manifest.id);
    info.version = str(manifest.version);
    info.description = str(manifest.description);
    info.schemes = str(schemes);
    info.library = str(library);
    info.manifest = str(manifest.position.file);
    visit(info);
  }
}

}  // namespace backplane::kernel
