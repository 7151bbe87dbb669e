// SPDX-License-Identifier: Apache-2.0
#include "reader.hpp"

namespace backplane::mqtt {

class Reader::Once final : public Listener {
 public:
  Once(Reader& reader, uint64_t number, std::string topic)
      : reader_(reader), number_(number), topic_(std::move(topic)) {}

  void on_message(const Inbound& message, Hub::Settled) override {
    if (const auto read = reader_.reads_.take(number_)) {
      reader_.client_.forget(this);
      reader_.host_.complete_with(read->op, message.message);
    }
  }
  void on_granted() override { is_granted_ = true; }
  void on_refused(const Status& status) override { reader_.end(number_, status); }

  Status nothing() const {
    if (is_granted_) {
      return Status(BP_NOT_FOUND, "'", topic_,
                    "' has no retained message, and none came within read_timeout_s");
    }
    return Status(BP_UNAVAILABLE, "read '", topic_, "': not connected within read_timeout_s");
  }

 private:
  Reader& reader_;
  const uint64_t number_;
  const std::string topic_;
  std::atomic<bool> is_granted_{false};
};

Reader::Reader(const Host& host, const Settings& settings, Client& client)
    : host_(host),
      settings_(settings),
      client_(client),
      reads_(host),
      timeouts_(host, settings.read_timeout,
                [this](uint64_t number) { end(number, Status::ok()); }) {}

Status Reader::read(Op op, const std::string& topic) {
  if (reads_.size() >= settings_.max_requests) {
    return Status(BP_RESOURCE_EXHAUSTED, "read '", topic, "': ", settings_.max_requests,
                  " reads wait already (max_requests)");
  }
  const uint64_t number = next_.fetch_add(1);
  const auto once = std::make_shared<Once>(*this, number, topic);
  if (Status status = reads_.add(number, op, once); !status.is_pending()) {
    return status;
  }
  // QoS 0: nothing needs to be acknowledged to us that we only look at.
  if (Status status = client_.listen(topic, 0, once); status.is_error()) {
    return reads_.take(number) ? status : Status::pending();
  }
  timeouts_.add(number);
  return Status::pending();
}

void Reader::cancel(Op op) noexcept {
  if (const auto read = reads_.take_operation(op)) {
    client_.forget(read->data.get());
    host_.complete(read->op, Status(BP_CANCELLED));
  }
}

void Reader::end(uint64_t number, const Status& status) {
  if (const auto read = reads_.take(number)) {
    client_.forget(read->data.get());
    host_.complete(read->op, status.is_error() ? status : read->data->nothing());
  }
}

}  // namespace backplane::mqtt
