// SPDX-License-Identifier: Apache-2.0
// BROWSE: the references of a node (part 4, 5.8.2 and 5.8.3).
#pragma once

#include "paged.hpp"

namespace backplane::opcua {

class Browse final : public PagedStream {
 public:
  using PagedStream::PagedStream;

 private:
  void ask(Session& session, const UA_ByteString& point, What what) override;
  size_t size() const override { return page_->referencesSize; }
  bool fill(size_t i, MessageBuilder& message) override;
  std::string context() const override { return concat("browsing '", target().text, "'"); }
  template <class Response>
  void answered(const Response& response);

  Native<UA_BrowseResult, UA_TYPES_BROWSERESULT> page_;
};

}  // namespace backplane::opcua
