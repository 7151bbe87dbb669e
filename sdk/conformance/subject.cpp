// SPDX-License-Identifier: Apache-2.0
#include "subject.hpp"

#include <toml++/toml.h>

#include <algorithm>
#include <cstdlib>
#include <netinet/in.h>
#include <sstream>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

namespace backplane::conformance {
namespace {

using namespace std::chrono_literals;

KernelOptions options(const PluginFiles& files,
                      std::shared_ptr<Guarded<std::vector<std::string>>> errors) {
  KernelOptions out;
  out.plugin_folders = files.plugin_folders;
  out.manifest_folders = files.manifest_folders;
  out.log_level = BP_LOG_WARNING;
  out.log = [errors = std::move(errors)](const LogRecord& record) {
    if (record.level == BP_LOG_ERROR) {
      errors->lock()->push_back(concat(record.instance, ": ", record.message));
    }
  };
  return out;
}

/// Sets PORT_1 to PORT_4 to ports of the loopback interface that nobody has, for TCP nor UDP. They
/// are below those that the system gives to clients, so that they stay free until they are used.
void offer_free_ports() {
  constexpr unsigned kFirst = 10'000;
  constexpr unsigned kPorts = 8'000;
  constexpr unsigned kAttempts = 100;
  std::vector<int> held;
  // Validators that run side by side have numbers near each other: none looks where another does.
  const unsigned place = static_cast<unsigned>(getpid()) * 16;
  for (unsigned attempt = 0, n = 1; n <= 4; ++attempt) {
    require(attempt < kAttempts, "no port is free for both TCP and UDP");
    const unsigned port = kFirst + (place + attempt) % kPorts;
    const int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    held.insert(held.end(), {tcp, udp});
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(port));
    const auto* const any = reinterpret_cast<const sockaddr*>(&address);
    if (bind(tcp, any, sizeof address) == 0 && bind(udp, any, sizeof address) == 0) {
      setenv(concat("PORT_", n++).c_str(), std::to_string(port).c_str(), 1);
    }
  }
  for (const int fd : held) {
    close(fd);
  }
}

}  // namespace

namespace {
std::chrono::nanoseconds current_patience = 10s;
}  // namespace

std::chrono::nanoseconds patience() noexcept { return current_patience; }
void set_time_limit(std::chrono::duration<double> limit) noexcept {
  current_patience = std::min<std::chrono::nanoseconds>(
      10s, std::chrono::duration_cast<std::chrono::nanoseconds>(limit / 4));
}

RunningSystem::RunningSystem(const PluginFiles& files, const std::string& manifest, bool made_up)
    : kernel_(Kernel::create(options(files, errors_)).value()) {
  Status status = kernel_.load_text("traits", manifest);
  if (made_up && status.code() == BP_INVALID_ARGUMENT) {
    throw Skipped(
        concat("it cannot be made with the defaults of its configuration, give its traits: ",
               status.message()));
  }
  if (status.is_ok()) {
    status = kernel_.start();
  }
  require(status.is_ok(), "its system does not start: ", status.to_string());
}

Result<Endpoint> RunningSystem::open(std::string_view address) const {
  return kernel_.open(address).within(patience()).get();
}

void RunningSystem::stop() {
  const size_t errors_before = errors_->lock()->size();
  const Status status = kernel_.stop();
  require_no_breach();
  const auto errors = errors_->copy();
  require(errors.size() == errors_before,
          "its stop logs an error: ", errors.empty() ? std::string() : errors.back());
  require(status.is_ok(), "its stop fails: ", status.to_string());
}

void RunningSystem::require_no_breach() {
  for (const MetricInfo& metric : kernel_.metrics()) {
    if (metric.name == "contract_breaches_total" && metric.value != 0) {
      const auto errors = errors_->lock();
      throw Failure(errors->empty() ? "breach of the ABI contract" : errors->front());
    }
  }
}

Subject::Subject(PluginFiles files, Traits traits, bool isolated)
    : files_(std::move(files)), traits_(std::move(traits)), isolated_(isolated) {
  offer_free_ports();
}

std::string Subject::manifest() const {
  toml::table all =
      toml::parse(std::string_view(traits_.system), std::string_view("system of the traits"));
  toml::table* instance = all["instances"][traits_.instance].as_table();
  if (toml::array* routes = all["routes"].as_array(); instance == nullptr && routes != nullptr) {
    for (toml::node& route : *routes) {
      if (route.is_table() && (*route.as_table())["name"] == traits_.instance) {
        instance = route.as_table();
      }
    }
  }
  if (instance == nullptr) {
    throw Error(BP_INVALID_ARGUMENT, "the system of the traits has no instance '", traits_.instance,
                "'");
  }
  if (isolated_) {
    instance->insert_or_assign("isolation", "process");
  }
  if (has_twin_) {
    toml::table twin = *instance;
    for (auto&& [key, value] : toml::parse(std::string_view(traits_.twin))) {
      twin.insert_or_assign(key.str(), value);
    }
    all["instances"].as_table()->insert("twin", twin);
  }
  std::ostringstream text;
  text << toml::toml_formatter{all, toml::format_flags::none};
  return text.str();
}

RunningSystem& Subject::system() {
  if (!system_) {
    system_.emplace(files_, manifest(), !traits_.given);
  }
  return *system_;
}

void Subject::stop() {
  if (system_) {
    system_->stop();
    system_.reset();
  }
}

Result<Endpoint> Subject::open(std::string_view path) {
  return system().open(concat(traits_.instance, ":", path));
}

Endpoint Subject::open(const EndpointTraits& endpoint, std::chrono::nanoseconds at_most) {
  Endpoint out = open(endpoint.path).value();
  const auto end = std::chrono::steady_clock::now() + at_most;
  while (endpoint.read && std::chrono::steady_clock::now() < end) {
    const Status status = out.read<OwnedMessage>().within(patience()).get().status();
    if (status.code() != BP_UNAVAILABLE) {
      break;
    }
    std::this_thread::sleep_for(1ms);
  }
  return out;
}

bool Subject::add_twin() {
  has_twin_ = !traits_.twin.empty();
  return has_twin_;
}

Result<Endpoint> Subject::open_of_twin(std::string_view path) {
  return system().open(concat("twin:", path));
}

const EndpointTraits& Subject::readable() const {
  return endpoint("that can be read", [](const auto& e) { return e.read; });
}
const EndpointTraits& Subject::writable() const {
  return endpoint("that takes a write", [](const auto& e) { return !e.writes.empty(); });
}
const EndpointTraits& Subject::watchable() const {
  return endpoint("that can be watched", [](const auto& e) { return e.watch != Source::kNone; });
}

void Subject::stir(const EndpointTraits& endpoint, Endpoint& open, size_t n, bool may_fail) {
  if (endpoint.watch == Source::kWrite) {
    const OwnedMessage& value = endpoint.writes[n % endpoint.writes.size()];
    const Status status =
        open.write(value.view()).within(may_fail ? patience() / 10 : patience()).get();
    require(may_fail || status.is_ok(),
            "a write that its traits promise fails: ", status.to_string());
  }
}

}  // namespace backplane::conformance
