// SPDX-License-Identifier: Apache-2.0
#include "plugins/isolation/host/isolated.hpp"

#include "plugins/isolation/host/sandbox.hpp"
#include "plugins/isolation/host_socket.hpp"
#include "plugins/isolation/link/ring_channel.hpp"
#include <backplane/sdk/boundary.hpp>
#include <backplane/version.h>

#include <capnp/serialize.h>
#include <cstdio>
#include <fcntl.h>
#include <unistd.h>

namespace backplane::isolation {
namespace {

constexpr const char* kOutside = "(outside)";
constexpr auto kStepOfOutside = std::chrono::seconds(5);

Isolated* the_host = nullptr;

/// The instance that has the link.
class Outside final : public Plugin {
 public:
  Outside(const bp_host* host, const Config&) : Plugin(host) {}
  Status start(Op) override {
    peer_ = the_host->connect(host());
    return Status::ok();
  }
  Status open(std::string_view address, MessageView options, OpenOp op) override {
    return peer_->open(address, &options.raw(), op, op.place());
  }
  void cancel(Op op) noexcept override {
    boundary([&] { peer_->cancel(op->impl[0]); }, [](const Status&) noexcept {});
  }

 private:
  std::shared_ptr<Peer> peer_;
};

constexpr const char* kNoNeeds[] = {nullptr};
constexpr bp_plugin kOutsidePlugin =
    detail::PluginTable<Outside>::describe("outside", BP_VERSION_STRING, 0, kNoNeeds);

nlohmann::json to_json(wire::Value::Reader in) {
  switch (in.getTag()) {
    case BP_T_NULL:
      return nullptr;
    case BP_T_BOOL:
      return in.getBits() != 0;
    case BP_T_INT:
      return static_cast<int64_t>(in.getBits());
    case BP_T_FLOAT: {
      const uint64_t bits = in.getBits();
      return detail::load<double>(&bits, 0);
    }
    case BP_T_STRING:
      return std::string(to_view(in.getBytes()));
    case BP_T_LIST: {
      auto list = nlohmann::json::array();
      for (const auto item : in.getList()) {
        list.push_back(to_json(item));
      }
      return list;
    }
    case BP_T_MAP: {
      auto map = nlohmann::json::object();
      for (const auto pair : in.getMap()) {
        map[std::string(to_view(pair.getKey().getBytes()))] = to_json(pair.getValue());
      }
      return map;
    }
    default:
      throw Error(BP_INTERNAL, "a configuration has no values of tag ", unsigned{in.getTag()});
  }
}

Status from(bp_status code, const bp_error& error) { return Status::from(code, error); }

}  // namespace

Beginning read_beginning(std::span<const Word> frame) {
  capnp::FlatArrayMessageReader reader(to_capnp(frame), reader_options(frame.size()));
  const auto root = reader.getRoot<wire::Frame>();
  if (root.which() != wire::Frame::BEGIN) {
    throw Error(BP_DATA_LOSS, "the first frame does not begin a host");
  }
  const auto begin = root.getBegin();
  if (to_view(begin.getVersion()) != BP_VERSION_STRING) {
    throw Error(BP_FAILED_PRECONDITION,
                "backplane-host is of release " BP_VERSION_STRING ", and who starts it of ",
                to_view(begin.getVersion()), ": install the two that belong together");
  }
  measure(begin.getSetup());
  return {begin.getOp(), std::string(to_view(begin.getInstance())),
          std::string(to_view(begin.getSystem())), begin.getLogLevel(), to_json(begin.getSetup())};
}

Isolated::Isolated(Beginning beginning, LinkEnds link)
    : beginning_(std::move(beginning)), link_(std::move(link)) {
  the_host = this;
  const int socket = link_->socket();
  fcntl(socket, F_SETFL, fcntl(socket, F_GETFL) | O_NONBLOCK);
  confine_this_process();
  bp_kernel_options options{};
  options.struct_size = BP_SIZE_TO(bp_kernel_options, user);
  options.flags = beginning_.setup.at("checked").get<bool>() ? BP_KERNEL_CHECKED : 0;
  options.log_level = beginning_.log_level;
  options.log = &log;
  options.user = this;
  kernel_ = std::make_unique<kernel::Kernel>(options);
}

Isolated::~Isolated() { the_host = nullptr; }

void Isolated::confine_this_process() {
  const nlohmann::json& setup = beginning_.setup;
  kernel::Diagnostics diagnostics;
  manifest_ = kernel::PluginManifestReader().load(setup.at("manifest").get<std::string>(),
                                                  {setup.at("library_folder").get<std::string>()},
                                                  diagnostics);
  if (!manifest_) {
    no_manifest_ = kernel::to_string(diagnostics.entries().front());
    return;
  }
  missing_ = confine(manifest_->permissions, manifest_->library.parent_path(),
                     setup.at("shares_memory").get<bool>());
}

int Isolated::run() {
  control_.emplace();
  bp_error error{};
  if (kernel_->start(&error) < 0) {
    std::fprintf(stderr, "%.*s\n", static_cast<int>(error.message_len), error.message);
    return 1;
  }
  control_->run([this] { start_outside(); });
  control_->post([this] {
    const Status status = create();
    peer_->answer(beginning_.op, status);
  });
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return ended_; });
  }
  // The proxy has closed the link. In order only after a stop: else it is gone, or gives this up,
  // and nothing here is worth to wait for.
  bool stopped = false;
  control_->run([&] { stopped = stopped_; });
  if (!stopped) {
    _exit(1);
  }
  control_->run([this] {
    far_.disconnect();  // the plugin's instance is destroyed
    bp_error ignored{};
    outside_->end(kStepOfOutside, ignored);
  });
  peer_.reset();
  if (!kernel_->shut_down()) {
    _exit(1);
  }
  kernel_.reset();
  return 0;
}

std::shared_ptr<Peer> Isolated::connect(const Host& host) {
  peer_ = std::make_shared<Peer>(host, *this, beginning_.instance + ":");
  far_.connect(host, *peer_);
  // Where its time is limited, it is for the plugin.
  const nlohmann::json& setup = beginning_.setup;
  const int64_t spin_us = setup.contains("cpu_percent") ? 0 : setup.at(kSpin).get<int64_t>();
  peer_->start(std::make_unique<RingChannel>(host, *std::exchange(link_, {}), spin_us * 1000));
  return peer_;
}

void Isolated::start_outside() {
  auto instance = std::make_unique<kernel::Instance>(*kernel_, kOutside, "outside", kOutsidePlugin,
                                                     nlohmann::json::object());
  instance->host.permissions = kernel::Permissions::everything();
  instance->host.services = {BP_S_ENDPOINT, BP_S_EXECUTOR, BP_S_LOG};
  outside_ = &kernel_->publish(std::move(instance));
  bp_error error{};
  bp_status status = outside_->create(error);
  if (status == BP_OK) {
    status = outside_->start(kStepOfOutside, error);
  }
  from(status, error).or_throw();
  kernel_->open_outside_with(*outside_);
}

Status Isolated::create() {
  const nlohmann::json& setup = beginning_.setup;
  if (!manifest_) {
    return Status(BP_FAILED_PRECONDITION, no_manifest_);
  }
  if (const auto mib = setup.find("memory_mib"); mib != setup.end()) {
    const Missing unlimited = limit_memory(mib->get<int64_t>());
    missing_.insert(missing_.end(), unlimited.begin(), unlimited.end());
  }
  for (const std::string& each : missing_) {
    peer_->tell_log(BP_LOG_WARNING, "isolation is incomplete: " + each, {});
  }
  const uint32_t flags = BP_OFFER_ISOLATED | (kernel_->checked() ? BP_OFFER_CHECKED : 0u);
  std::string problem;
  library_ = kernel::PluginLibrary::load(*manifest_, flags, problem);
  if (library_ == nullptr) {
    return Status(BP_FAILED_PRECONDITION, problem);
  }
  auto instance = std::make_unique<kernel::Instance>(*kernel_, beginning_.instance, manifest_->id,
                                                     library_->plugin(), setup.at("config"));
  instance->host.services = setup.at("services").get<std::vector<std::string>>();
  instance->host.base.get_service = &FarServices::get_service;
  instance->host.base.system = to_str(beginning_.system);
  plugin_ = &kernel_->publish(std::move(instance));
  bp_error error{};
  const bp_status status = plugin_->create(error);
  return from(status, error);
}

void Isolated::received(wire::Frame::Reader frame) {
  if (frame.which() != wire::Frame::STEP) {
    throw Error(BP_DATA_LOSS, "a frame of an unknown kind");
  }
  const auto in = frame.getStep();
  control_->post(
      [this, op = in.getOp(), which = unsigned{in.getStep()},
       timeout = std::chrono::nanoseconds(in.getTimeout())] { step(op, which, timeout); });
}

void Isolated::step(uint64_t op, unsigned which, std::chrono::nanoseconds timeout) {
  bp_error error{};
  bp_status status = BP_INVALID_ARGUMENT;
  if (which == kStepStart) {
    status = plugin_->start(timeout, error);
  } else if (which == kStepDrain) {
    status = plugin_->drain(timeout, error);
  } else if (which == kStepStop) {
    status = plugin_->end(timeout, error);
    stopped_ = status == BP_OK;
  }
  far_.flush();
  peer_->answer(op, from(status, error));
}

void Isolated::ended(const Status& why) noexcept {
  peer_->close(why);
  const std::lock_guard lock(mutex_);
  ended_ = true;
  changed_.notify_all();
}

void Isolated::log(void* self, const bp_log_record* record) noexcept {
  const auto& host = *static_cast<Isolated*>(self);
  if (host.peer_ == nullptr) {
    std::fprintf(stderr, "%.*s\n", static_cast<int>(record->message.len), record->message.ptr);
    return;
  }
  boundary(
      [&] {
        host.peer_->tell_log(record->level, backplane::to_view(record->message),
                             {record->fields, record->n_fields});
      },
      [](const Status&) noexcept {});
}

}  // namespace backplane::isolation
