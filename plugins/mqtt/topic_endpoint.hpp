// SPDX-License-Identifier: Apache-2.0
// The endpoint of a topic name or a topic filter.
#pragma once

#include "browser.hpp"
#include "inbox.hpp"
#include "reader.hpp"
#include "responder.hpp"
#include "watching.hpp"
#include <backplane/sdk/plugin.hpp>

namespace backplane::mqtt {

/// What endpoints of one instance work with; outlives them.
struct Instance {
  Instance(const Host& its_host, const Settings& its_settings, Client::StateSink publishing,
           Inbox::StateSink watching)
      : host(its_host),
        settings(its_settings),
        tls(settings.url.tls ? std::make_unique<Tls>(host, settings) : nullptr),
        client(host, settings, tls.get(), std::move(publishing)),
        inbox(host, settings, tls.get(), client.topics(), std::move(watching)),
        reader(host, settings, client),
        browser(host, settings, client),
        responders(host, settings, client) {}

  const Host& host;
  const Settings& settings;
  const std::unique_ptr<Tls> tls;  // null: plain TCP
  Client client;
  Inbox inbox;
  Reader reader;
  Browser browser;
  Responders responders;
};

class TopicEndpoint final {
 public:
  TopicEndpoint(Instance& instance, std::string path);

  Status read(Op op) { return instance_.reader.read(op, path_); }
  Status write(Op op) { return instance_.client.write(op, path_.c_str()); }
  Status call(Op op) { return instance_.client.call(op, path_.c_str()); }
  Status watch(Op op) { return watching_.watch(op); }
  Status serve(Op op) { return instance_.responders.serve(op, path_); }
  Status browse(Op op);
  void cancel(Op op) noexcept;
  void credit(Op op, uint32_t n) noexcept;
  void ack(Op op, uint64_t seq, bp_status status) noexcept { watching_.ack(op, seq, status); }

  /// What can be done with a path; INVALID_ARGUMENT: nothing.
  static Result<uint32_t> verbs_of_path(std::string_view path);

 private:
  Instance& instance_;
  const std::string path_;
  Watching watching_;
};

}  // namespace backplane::mqtt
