// SPDX-License-Identifier: Apache-2.0
// The connection to one server, over any number of sessions, and the queue of what is to be done.
//
// Design notes.
// - Endpoints submit on any thread; everything else happens on the loop. What was submitted before
//   the loop's turn is done in one go, and what was while the server's answers were looked at
//   behind them: so many reads are one request.
// - A try: the server's name is looked up, then a session is made, both within connect_timeout. The
//   look-up cannot be ended; one that takes longer answers the next try.
// - What needs a session waits for the first try; when a try has failed, it fails with the reason,
//   at once, until a session is up. Watches and nothing else outlive a session.
#pragma once

#include "browse_path.hpp"
#include "inquiry.hpp"
#include "paged.hpp"
#include "read.hpp"
#include "watches.hpp"
#include "write.hpp"
#include <backplane/sdk/reconnect.hpp>
#include <backplane/sdk/resolver.hpp>

#include <atomic>

namespace backplane::opcua {

class Client {
 public:
  Client(const Host& host, const Settings& settings);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// [loop]
  void start() { reconnect_.start(); }
  void stop(std::function<void()> done);

  /// [any]
  void submit(std::shared_ptr<Job> job);
  void submit(Read read);
  Requests& requests() noexcept { return requests_; }
  Watches& watches() noexcept { return watches_; }
  Inquiries& inquiries() noexcept { return inquiries_; }
  PagedStreams& paged() noexcept { return paged_; }
  TypeReader& type_reader() noexcept { return type_reader_; }
  const Host& host() const noexcept { return host_; }
  const Settings& settings() const noexcept { return settings_; }

  /// Counts the sessions. [loop]
  uint64_t generation() const noexcept { return generation_; }
  /// Null: there is none that is up. [loop]
  Session* session() noexcept { return session_ && session_->is_up() ? session_.get() : nullptr; }
  /// Finds the node and runs the job, or fails it. [loop]
  void run(const std::shared_ptr<Job>& job);

 private:
  struct Submitted {
    std::vector<Read> reads;
    std::vector<std::shared_ptr<Job>> jobs;
  };
  void try_session();
  void on_addresses(const Resolver::Answer& found);
  void on_time_out();
  void on_up();
  void on_down(const Status& status);
  void on_received();
  void retire();
  void end_session(std::function<void()> done);
  void end_resolver(const std::function<void()>& done);
  void run_submitted();
  /// Its node is known in the session that is up.
  bool is_found(const Target& target) noexcept {
    return target.generation == generation_ && session() != nullptr;
  }
  void find(const std::shared_ptr<Job>& job);
  void run_found(const std::shared_ptr<Job>& job);
  void read_namespaces();
  void send_collected();
  void fail_waiting(const Status& status);
  Status unavailable() const;

  const Host& host_;
  const Settings& settings_;
  Requests requests_;
  TypeReader type_reader_;
  BrowsePaths paths_;
  Reads reads_;
  Writes writes_;
  std::optional<Security> security_;  // nothing: stopped
  Guarded<Submitted> submitted_;
  std::atomic<bool> has_submitted_{false};
  std::vector<Read> submitted_here_;              // on the loop
  std::vector<std::shared_ptr<Job>> held_;        // for the first session
  std::vector<std::shared_ptr<Job>> in_unknown_;  // namespaces, which the server is asked for
  std::optional<Status> unavailable_;             // why there is no session; nothing: not known yet
  uint64_t generation_ = 0;
  bool is_stopped_ = false;
  bool is_resolving_ = false;    // a try waits for the addresses
  bool has_been_up_ = false;     // the session that there is
  bool is_new_session_ = false;  // its namespaces were read just now
  bool is_reading_namespaces_ = false;
  size_t first_address_ = 0;       // to try: another one after each try that failed
  std::function<void()> stopped_;  // waits for the resolver
  Resolver resolver_;
  std::unique_ptr<Session> session_;
  std::vector<std::unique_ptr<Session>> retired_;
  Watches watches_;
  Inquiries inquiries_;
  PagedStreams paged_;
  Timer connect_timeout_;
  Wakeup run_submitted_;
  Wakeup retire_;
  Reconnect reconnect_;
};

}  // namespace backplane::opcua
