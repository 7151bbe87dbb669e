// SPDX-License-Identifier: Apache-2.0
#include "client.hpp"

#include "error_map.hpp"

namespace backplane::opcua {
namespace {
constexpr auto kCloseWithin = std::chrono::seconds(1);
}

Client::Client(const Host& host, const Settings& settings)
    : host_(host),
      settings_(settings),
      requests_(host, settings.max_requests),
      paths_([this] { send_collected(); }),
      reads_(requests_, type_reader_),
      writes_(type_reader_),
      security_(std::in_place, host, settings.security),
      resolver_(host),
      watches_(*this),
      inquiries_(host, settings, requests_),
      paged_(*this),
      connect_timeout_(host, [this] { on_time_out(); }),
      run_submitted_(host, [this] { run_submitted(); }),
      retire_(host, [this] { retire(); }),
      reconnect_(
          host, [this] { try_session(); },
          Reconnect::Options{.lost = host.counter("connections_lost_total")}) {}

// What was asked is answered, and what was not fails: to members that are still there.
Client::~Client() {
  session_.reset();
  retire();
  fail_waiting(unavailable());
}

void Client::submit(std::shared_ptr<Job> job) {
  {
    auto submitted = submitted_.lock();
    submitted->jobs.push_back(std::move(job));
    has_submitted_ = true;
  }
  static_cast<void>(run_submitted_.post());
}

/// Who reads again in a completion is on the loop. Reads have no order, so these need no lock, and
/// no turn of the loop: they are sent at the latest when all that came together is answered.
void Client::submit(Read read) {
  if (on_loop(host_)) {
    if (is_found(*read.target) && session_->is_receiving()) {
      return reads_.add(std::move(read));
    }
    submitted_here_.push_back(std::move(read));
  } else {
    auto submitted = submitted_.lock();
    submitted->reads.push_back(std::move(read));
    has_submitted_ = true;
  }
  static_cast<void>(run_submitted_.post());
}

void Client::try_session() {
  is_resolving_ = true;
  static_cast<void>(connect_timeout_.after(settings_.connect_timeout));
  if (resolver_.is_busy()) {
    return;
  }
  try {
    resolver_.resolve(settings_.address,
                      [this](const Resolver::Answer& found) { on_addresses(found); });
  } catch (...) {
    on_down(current_exception_status());
  }
}

void Client::on_addresses(const Resolver::Answer& found) {
  if (stopped_) {
    return std::exchange(stopped_, {})();
  }
  inquiries_.addresses_are(found);
  if (!std::exchange(is_resolving_, false)) {
    return;
  }
  try {
    std::vector<std::string> addresses = found.value();
    const auto first = static_cast<ptrdiff_t>(first_address_ % addresses.size());
    std::rotate(addresses.begin(), addresses.begin() + first, addresses.end());
    session_ = std::make_unique<Session>(
        host_, settings_, std::move(addresses), *security_,
        Session::Events{[this] { on_up(); }, [this](const Status& status) { on_down(status); },
                        [this](std::span<const Change> changes) { watches_.changed(changes); },
                        [this] { on_received(); }});
    session_->connect();
  } catch (...) {
    on_down(current_exception_status());
  }
}

void Client::on_time_out() {
  if (session_ && !session_->is_up()) {
    session_->end(Status(BP_UNAVAILABLE, "no answer within connect_timeout_s"));
  } else if (is_resolving_) {
    on_down(Status(BP_UNAVAILABLE, "no address for '", settings_.address,
                   "' within connect_timeout_s"));
  }
}

void Client::on_up() {
  connect_timeout_.cancel();
  has_been_up_ = true;
  ++generation_;
  type_reader_.start_session();
  unavailable_.reset();
  reconnect_.up(concat("connected to ", settings_.url, ", ", session_->security_text()));
  is_new_session_ = true;
  const auto held = std::exchange(held_, {});
  for (const auto& job : held) {
    run(job);
  }
  send_collected();
  watches_.start_all();
  is_new_session_ = false;
}

void Client::on_down(const Status& status) {
  connect_timeout_.cancel();
  is_resolving_ = false;
  first_address_ += std::exchange(has_been_up_, false) ? 0 : 1;
  if (session_) {
    // It may be in the middle of a call: it goes later. Nobody finds it any more.
    retired_.push_back(std::move(session_));
    static_cast<void>(retire_.post());
  }
  is_reading_namespaces_ = false;
  watches_.forget_session();
  unavailable_ = Status(status).with_context("no session with ", settings_.url);
  reconnect_.failed(status.message());
  fail_waiting(*unavailable_);
}

/// Nothing has posted for what was submitted meanwhile.
void Client::on_received() {
  boundary([&] { run_submitted(); },
           [&](const Status&) noexcept { static_cast<void>(run_submitted_.post()); });
}

/// Those that nobody was asked for yet.
void Client::fail_waiting(const Status& status) {
  paths_.fail_all(status);
  for (auto* const waiting : {&held_, &in_unknown_}) {
    for (const auto& job : std::exchange(*waiting, {})) {
      job->fail(status);
    }
  }
}

void Client::retire() { std::exchange(retired_, {}).clear(); }

void Client::run_submitted() {
  if (submitted_here_.empty() && !has_submitted_) {
    return send_collected();
  }
  Submitted taken;
  if (has_submitted_) {  // at the latest when it was posted
    auto submitted = submitted_.lock();
    taken.reads.reserve(submitted->reads.size());  // the next turn is most often like this one
    std::swap(taken, *submitted);
    has_submitted_ = false;
  }
  if (taken.reads.empty()) {
    taken.reads.swap(submitted_here_);
  } else {
    std::move(submitted_here_.begin(), submitted_here_.end(), std::back_inserter(taken.reads));
    submitted_here_.clear();
  }
  reads_.reserve(taken.reads.size());
  for (Read& read : taken.reads) {
    if (is_found(*read.target)) {
      reads_.add(std::move(read));
    } else {
      boundary([&] { run(std::make_shared<ReadJob>(reads_, requests_, read)); },
               [&](const Status& status) { requests_.fail(read.key, status); });
    }
  }
  for (const auto& job : taken.jobs) {
    run(job);
  }
  send_collected();
}

// The session may have ended since they were collected.
void Client::send_collected() {
  if (session() != nullptr && !in_unknown_.empty() && !is_reading_namespaces_) {
    read_namespaces();
  }
  if (session() != nullptr) {
    paths_.send(*session_);
  }
  if (session() != nullptr) {
    writes_.send(*session_);
  }
  if (session() != nullptr) {  // sending may have ended it
    return reads_.send(*session_);
  }
  reads_.fail_all(unavailable());
  writes_.fail_all(unavailable());
}

Status Client::unavailable() const {
  return unavailable_.value_or(Status(BP_UNAVAILABLE, "the instance is stopping"));
}

void Client::run(const std::shared_ptr<Job>& job) {
  try {
    if (session() != nullptr) {
      return find(job);
    }
    if (is_stopped_ || unavailable_) {
      return job->fail(unavailable());
    }
    held_.push_back(job);
  } catch (...) {
    job->fail(current_exception_status());
  }
}

void Client::find(const std::shared_ptr<Job>& job) {
  Target& target = job->target();
  if (target.generation == generation_) {
    return run_found(job);
  }
  if (!is_new_session_ && !has_known_namespaces(target.address, session_->namespaces()) &&
      job->may_read_namespaces()) {
    in_unknown_.push_back(job);
    static_cast<void>(run_submitted_.post());
    return;
  }
  if (!target.address.is_path()) {
    auto id = node_id_of(target.address, session_->namespaces());
    id.or_throw();
    target.node = *std::move(id);
    target.parent = NodeId();
    target.forget_types();
    target.generation = generation_;
    return run_found(job);
  }
  const auto found = [this, job, generation = generation_](const Status& status) {
    if (!status.is_ok()) {
      return job->fail(status);
    }
    if (session() == nullptr || generation != generation_) {
      return job->fail(unavailable());
    }
    if (std::exchange(job->target().generation, generation) != generation) {
      job->target().forget_types();
    }
    try {
      run_found(job);
    } catch (...) {
      job->fail(current_exception_status());
    }
  };
  paths_.follow(*session_, job->shared_target(), found);
  static_cast<void>(run_submitted_.post());
}

/// One at a time: what came meanwhile keeps its place before what comes from now on.
void Client::read_namespaces() {
  is_reading_namespaces_ = true;
  session_->read_namespaces([this, jobs = std::exchange(in_unknown_, {})] {
    is_reading_namespaces_ = false;
    for (const auto& job : jobs) {
      run(job);
    }
    for (const auto& job : std::exchange(in_unknown_, {})) {
      const bool is_known = session() == nullptr ||
                            has_known_namespaces(job->target().address, session()->namespaces());
      is_known ? run(job) : in_unknown_.push_back(job);
    }
    send_collected();
  });
}

void Client::run_found(const std::shared_ptr<Job>& job) {
  if (auto write = std::dynamic_pointer_cast<WriteJob>(job)) {
    writes_.add(std::move(write));
  } else {
    job->run(*session_);
  }
}

void Client::stop(std::function<void()> done) {
  is_stopped_ = true;
  is_resolving_ = false;
  reconnect_.stop();
  connect_timeout_.cancel();
  const Status stopping(BP_UNAVAILABLE, "the instance is stopping");
  watches_.stop(stopping);
  fail_waiting(stopping);
  requests_.close(stopping);
  inquiries_.stop();
  paged_.stop(stopping);
  end_session([this, done = std::move(done)] {
    security_.reset();  // its timers
    end_resolver(done);
  });
}

void Client::end_session(std::function<void()> done) {
  if (!session_) {
    retire();
    return done();
  }
  const auto finish = [this, done = std::move(done), is_done = std::make_shared<bool>(false)] {
    if (!std::exchange(*is_done, true)) {
      // Not inside a call of the session.
      static_cast<void>(post(host_, [this, done] {
        session_.reset();
        retire();
        done();
      }));
    }
  };
  // A server that does not answer is not waited for.
  const auto timer = std::make_shared<std::optional<Timer>>();
  timer->emplace(host_, finish);
  static_cast<void>((*timer)->after(kCloseWithin));
  session_->close([finish, timer] { finish(); });
}

void Client::end_resolver(const std::function<void()>& done) {
  if (resolver_.is_busy()) {
    stopped_ = done;
  } else {
    done();
  }
}

}  // namespace backplane::opcua
