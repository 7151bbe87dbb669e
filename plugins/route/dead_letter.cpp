// SPDX-License-Identifier: Apache-2.0
#include "dead_letter.hpp"

#include "refusal.hpp"
#include <backplane/sdk/json.hpp>

namespace backplane::route {

namespace {

std::string_view encoding_of(ValueView payload) {
  if (const auto bytes = payload.payload()) {
    const std::string_view text(reinterpret_cast<const char*>(bytes->data()), bytes->size());
    return is_utf8(text) ? "text" : "base64";
  }
  return "json";
}

/// As a value whose JSON is what the encoding says.
ValueView shown_payload(ValueView payload, std::string_view encoding) noexcept {
  if (encoding != "json") {
    payload.tag = encoding == "text" ? BP_T_STRING : BP_T_BYTES;
    payload.aux = 0;
  }
  return payload;
}

}  // namespace

std::string to_json(const DeadLetterRecord& record) {
  StackArena arena;
  const auto make = [&](ValueView payload, std::string_view encoding) {
    MapBuilder map(arena);
    map.add("route", record.route).add("reason", reason_name(record.reason));
    map.add("error", record.error).add("time", record.time).add("from", record.from);
    if (!record.path.empty()) {
      map.add("path", record.path);
    }
    map.add("to", record.to).add("encoding", encoding).add("payload", payload);
    return backplane::to_json(map.view());
  };
  const std::string_view encoding = encoding_of(record.payload);
  try {
    return make(shown_payload(record.payload, encoding), encoding);
  } catch (const Error&) {  // a value that JSON cannot say, such as a descriptor
    const std::string text = record.payload.to_text();
    return make(is_utf8(text) ? ValueView(text) : ValueView("?"), "text");
  }
}

DeadLetter::DeadLetter(Core& core, const RouteOptions& options,
                       std::function<void(Delivery&, const Status&)> finished)
    : core_(core),
      options_(options),
      finished_(std::move(finished)),
      link_(core, options.dead_letter, options.retry_max, [this] { flush(); }) {}

void DeadLetter::bury(Delivery& delivery, std::string_view to, Reason reason,
                      std::string_view error) {
  delivery.state = Delivery::State::kBurying;
  delivery.reason = reason;
  const auto now =
      std::chrono::time_point_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now());
  delivery.text = to_json({options_.name, reason, error, now, options_.from.address,
                           delivery.item->path(), to, delivery.item->message.body()});
  delivery.headers.clear();
  delivery.headers.push_back(Pair(uint32_t{BP_H_CONTENT_TYPE}, "application/json"));
  delivery.headers.push_back(Pair(uint32_t{BP_H_HOPS}, delivery.item->hops + 1));
  waiting_.push_back(&delivery);
  flush();
}

void DeadLetter::flush() {
  while (link_.is_ready() && !waiting_.empty() && !is_stopping_) {
    Delivery& delivery = *waiting_.front();
    waiting_.pop_front();
    send(delivery);
  }
}

void DeadLetter::send(Delivery& delivery) {
  const std::span text(reinterpret_cast<const std::byte*>(delivery.text.data()),
                       delivery.text.size());
  delivery.message = {ValueView::encoded(text, BP_FORMAT_JSON),
                      delivery.headers.data(),
                      static_cast<uint32_t>(delivery.headers.size()),
                      0,
                      nullptr,
                      BP_TIME_NONE,
                      0,
                      0};
  UniqueOp& op = delivery.op;
  op->verb = BP_V_WRITE;
  op->target = link_.ref();
  op->in = &delivery.message;
  op->deadline_ns = 0;
  sent_.push_back(&delivery);
  const bp_status status = op.submit();
  if (status != BP_PENDING) {
    completed(delivery, status);
  }
}

void DeadLetter::completed(Delivery& delivery, bp_status status) {
  static_cast<void>(delivery.op.take_owner());
  sent_.erase(std::find(sent_.begin(), sent_.end(), &delivery));
  const Status outcome = delivery.op.status(status);
  Verdict verdict = judge(status, delivery.op.error());
  if (verdict == Verdict::kStale && link_.is_unproven()) {
    verdict = Verdict::kRefused;
  }
  if (is_stopping_ || verdict == Verdict::kDone || verdict == Verdict::kRefused) {
    if (verdict == Verdict::kDone) {
      link_.succeeded();
    } else if (!is_stopping_) {
      core_.complain("the dead letter's address refused a message, which is dropped",
                     link_.address(), outcome);
    }
    finished_(delivery, outcome);
    return;
  }
  waiting_.push_front(&delivery);
  link_.failed(outcome, verdict == Verdict::kStale);
}

void DeadLetter::stop() {
  is_stopping_ = true;
  for (Delivery* const delivery : std::exchange(waiting_, {})) {
    finished_(*delivery, Status(BP_CANCELLED));
  }
  for (Delivery* const delivery : std::vector<Delivery*>(sent_)) {
    delivery->op.cancel();
  }
}

}  // namespace backplane::route
