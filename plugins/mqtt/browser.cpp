// SPDX-License-Identifier: Apache-2.0
#include "browser.hpp"

#include "topic.hpp"

#include <set>

namespace backplane::mqtt {

class Browser::Look final : public Listener {
 public:
  Look(Browser& browser, Op its_op, uint64_t its_number)
      : op(its_op),
        number(its_number),
        browser_(browser),
        hub_(browser.host_, options(browser.settings_)) {}

  const Op op;
  const uint64_t number;

  Hub& hub() noexcept { return hub_; }

  void show(const std::string& topic) {
    {
      auto seen = seen_.lock();
      if (seen->size() >= browser_.settings_.max_topics || !seen->insert(topic).second) {
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
  void on_refused(const Status& status) override {
    const auto self = browser_.take(number);
    hub_.stop(status);
  }

 private:
  static HubOptions options(const Settings& settings) {
    HubOptions out;
    out.queue_messages = settings.max_topics;
    return out;
  }

  Browser& browser_;
  Hub hub_;
  Guarded<std::set<std::string>> seen_;
};

Browser::Browser(const Host& host, const Settings& settings, Client& client)
    : host_(host),
      settings_(settings),
      client_(client),
      timeouts_(host, settings.browse_time, [this](uint64_t number) { end(number); }) {}

Status Browser::browse(Op op, const std::string& filter) {
  const auto look = std::make_shared<Look>(*this, op, looks_.lock()->next++);
  Status status = look->hub().watch(op);
  if (!status.is_pending()) {
    return status;
  }
  {
    auto looks = looks_.lock();
    looks->by_number.emplace(look->number, look);
    looks->by_operation.insert_or_assign(op, look->number);
  }
  for (const std::string& topic : client_.topics().all()) {
    if (matches(filter, topic)) {
      look->show(topic);
    }
  }
  if (const Status listening = client_.listen(filter, 0, look); listening.is_error()) {
    take(look->number);
    look->hub().end(listening);
  } else {
    timeouts_.add(look->number);
  }
  return status;
}

std::shared_ptr<Browser::Look> Browser::find(Op op) noexcept {
  auto looks = looks_.lock();
  const auto at = looks->by_operation.find(op);
  return at == looks->by_operation.end() ? nullptr : looks->by_number.at(at->second);
}

std::shared_ptr<Browser::Look> Browser::take(uint64_t number) noexcept {
  auto looks = looks_.lock();
  const auto at = looks->by_number.find(number);
  if (at == looks->by_number.end()) {
    return nullptr;
  }
  auto look = std::move(at->second);
  looks->by_number.erase(at);
  const auto its = looks->by_operation.find(look->op);
  if (its != looks->by_operation.end() && its->second == number) {
    looks->by_operation.erase(its);
  }
  return look;
}

void Browser::cancel(Op op) noexcept {
  if (const auto look = find(op)) {
    take(look->number);
    client_.forget(look.get());
    look->hub().cancel(op);
  }
}

void Browser::credit(Op op, uint32_t n) noexcept {
  if (const auto look = find(op)) {
    look->hub().credit(op, n);
  }
}

void Browser::end(uint64_t number) {
  if (const auto look = take(number)) {
    client_.forget(look.get());
    look->hub().end(Status::ok());
  }
}

}  // namespace backplane::mqtt
