// SPDX-License-Identifier: Apache-2.0
#include "browser.hpp"

#include "topic.hpp"

#include <set>

namespace backplane::mqtt {

class Browser::Look final : public Listener {
 public:
  Look(const Host& host, const Settings& settings)
      : hub_(host, options(settings)), most_(settings.max_topics) {}

  Hub& hub() noexcept { return hub_; }

  void show(const std::string& topic) {
    {
      auto seen = seen_.lock();
      if (seen->size() >= most_ || !seen->insert(topic).second) {
        return;
      }
    }
    constexpr uint32_t kVerbs = BP_VERB_BIT(BP_V_READ) | BP_VERB_BIT(BP_V_WRITE) |
                                BP_VERB_BIT(BP_V_CALL) | BP_VERB_BIT(BP_V_WATCH);
    MessageBuilder entry;
    entry.header(BP_H_PATH, std::string_view(topic)).header(BP_H_VERBS, kVerbs);
    hub_.publish(entry);
  }
  void on_message(const Inbound& message, Hub::Settled) override { show(message.topic); }
  void on_refused(const Status& status) override { hub_.stop(status); }

 private:
  static HubOptions options(const Settings& settings) {
    HubOptions out;
    out.queue_messages = settings.max_topics;
    return out;
  }

  Hub hub_;
  const size_t most_;
  Guarded<std::set<std::string>> seen_;
};

Browser::Browser(const Host& host, const Settings& settings, Client& client)
    : host_(host),
      settings_(settings),
      client_(client),
      timeouts_(host, settings.browse_time, [this](uint64_t number) { end(number); }) {}

Status Browser::browse(Op op, const std::string& filter) {
  const auto look = std::make_shared<Look>(host_, settings_);
  Status status = look->hub().watch(op);
  if (!status.is_pending()) {
    return status;
  }
  uint64_t number = 0;
  {
    auto looks = looks_.lock();
    number = looks->next++;
    looks->by_operation.insert_or_assign(op, look);
    looks->by_number.emplace(number, op);
  }
  for (const std::string& topic : client_.topics().all()) {
    if (matches(filter, topic)) {
      look->show(topic);
    }
  }
  if (const Status listening = client_.listen(filter, 0, look); listening.is_error()) {
    look->hub().end(listening);
  }
  timeouts_.add(number);
  return status;
}

std::shared_ptr<Browser::Look> Browser::find(Op op) noexcept {
  auto looks = looks_.lock();
  const auto at = looks->by_operation.find(op);
  return at == looks->by_operation.end() ? nullptr : at->second;
}

void Browser::cancel(Op op) noexcept {
  if (const auto look = find(op)) {
    look->hub().cancel(op);
  }
}

void Browser::credit(Op op, uint32_t n) noexcept {
  if (const auto look = find(op)) {
    look->hub().credit(op, n);
  }
}

void Browser::end(uint64_t number) {
  std::shared_ptr<Look> look;
  {
    auto looks = looks_.lock();
    const auto at = looks->by_number.find(number);
    const auto entry = looks->by_operation.find(at->second);
    look = entry->second;
    looks->by_operation.erase(entry);
    looks->by_number.erase(at);
  }
  client_.forget(look.get());
  look->hub().end(Status::ok());
}

}  // namespace backplane::mqtt
