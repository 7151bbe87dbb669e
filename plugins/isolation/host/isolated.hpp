// SPDX-License-Identifier: Apache-2.0
// Isolated: a kernel for one instance of one plugin, which its proxy runs from the other process.
#pragma once

#include "control_thread.hpp"
#include "kernel.hpp"
#include "plugins/isolation/host/far_services.hpp"
#include "plugins/isolation/link/peer.hpp"
#include "plugins/isolation/link/ring_channel.hpp"
#include <backplane/sdk/plugin.hpp>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

namespace backplane::isolation {

/// What begins a host, without the frame that it came in.
struct Beginning {
  uint64_t op = 0;
  std::string instance;
  std::string system;
  uint32_t log_level = 0;
  nlohmann::json setup;
};

/// Throws Error when the frame is none, or comes from another release.
Beginning read_beginning(std::span<const Word> frame);

/// Design notes. Two instances live in this kernel: that of the plugin, and `outside`, which has
/// the link. What the plugin opens goes to outside, what the proxy asks for comes from it. Life
/// cycle calls run on the control thread, as in every kernel. It is one for a process.
class Isolated final : public PeerUser {
 public:
  /// Takes the link over, reads the plugin's manifest, and gives up every right that the plugin
  /// has not asked for. Nothing runs yet.
  Isolated(Beginning beginning, LinkEnds link);
  ~Isolated() override;

  /// Runs until the proxy closes the link. The exit code.
  int run();

  // ---- for outside ----
  std::shared_ptr<Peer> connect(const Host& host);
  // ---- PeerUser ----
  void received(wire::Frame::Reader frame) override;
  void ended(const Status& why) noexcept override;

 private:
  void confine_this_process();
  void start_outside();
  Status create();
  void step(uint64_t op, unsigned step, std::chrono::nanoseconds timeout);
  static void log(void* self, const bp_log_record* record) noexcept;

  const Beginning beginning_;
  std::optional<LinkEnds> link_;  // until it is connected
  std::shared_ptr<Peer> peer_;
  FarServices far_;
  std::unique_ptr<kernel::Kernel> kernel_;
  std::optional<kernel::PluginManifest> manifest_;
  std::string no_manifest_;           // why there is none
  std::vector<std::string> missing_;  // of what confines
  std::unique_ptr<kernel::PluginLibrary> library_;
  kernel::Instance* outside_ = nullptr;
  kernel::Instance* plugin_ = nullptr;
  bool stopped_ = false;  // on the control thread
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ended_ = false;                            // guarded by mutex_
  std::optional<kernel::ControlThread> control_;  // from run on
};

}  // namespace backplane::isolation
