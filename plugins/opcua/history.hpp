// SPDX-License-Identifier: Apache-2.0
// WATCH with `start` or `end`: what a variable was, by HistoryRead (part 11, 6.5.3); the stream
// ends with the last value of the time.
#pragma once

#include "history_options.hpp"
#include "paged.hpp"

namespace backplane::opcua {

class HistoryRead final : public PagedStream {
 public:
  HistoryRead(Client& client, std::shared_ptr<Target> target, Op op, HistoryOptions options)
      : PagedStream(client, std::move(target), op), options_(std::move(options)) {}

 private:
  void ask(Session& session, const UA_ByteString& point, What what) override;
  size_t size() const override;
  bool wants_more() const override {
    return options_.most == 0 || before_ + page_->dataValuesSize < options_.most;
  }
  bool fill(size_t i, MessageBuilder& message) override;
  std::string context() const override {
    return concat("reading the history of '", target().text, "'");
  }
  void answered(const UA_HistoryReadResponse& response);

  const HistoryOptions options_;
  size_t before_ = 0;  // values of the pages before this one
  UA_TimestampsToReturn timestamps_ = UA_TIMESTAMPSTORETURN_BOTH;
  Native<UA_HistoryData, UA_TYPES_HISTORYDATA> page_;
};

}  // namespace backplane::opcua
