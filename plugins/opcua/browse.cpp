// SPDX-License-Identifier: Apache-2.0
#include "browse.hpp"

#include "error_map.hpp"
#include "reference.hpp"

namespace backplane::opcua {
namespace {
constexpr UA_UInt32 kPage = 500;
}

void Browse::ask(Session& session, const UA_ByteString& point, What what) {
  const auto self = std::static_pointer_cast<Browse>(shared_from_this());
  if (point.length != 0) {
    UA_BrowseNextRequest request;
    UA_BrowseNextRequest_init(&request);
    request.releaseContinuationPoints = what == What::kRelease;
    request.continuationPoints = const_cast<UA_ByteString*>(&point);
    request.continuationPointsSize = 1;
    return session.ask<UA_BrowseNextResponse, UA_TYPES_BROWSENEXTRESPONSE>(
        request, UA_TYPES_BROWSENEXTREQUEST, [self, what](const UA_BrowseNextResponse& response) {
          if (what == What::kPage) {
            self->answered(response);
          }
        });
  }
  UA_BrowseDescription node = forward_references(*target().node);
  UA_BrowseRequest request;
  UA_BrowseRequest_init(&request);
  request.nodesToBrowse = &node;
  request.nodesToBrowseSize = 1;
  request.requestedMaxReferencesPerNode = kPage;
  session.ask<UA_BrowseResponse, UA_TYPES_BROWSERESPONSE>(
      request, UA_TYPES_BROWSEREQUEST,
      [self](const UA_BrowseResponse& response) { self->answered(response); });
}

template <class Response>
void Browse::answered(const Response& response) {
  if (const UA_StatusCode status = service_status(response); is_bad(status)) {
    return take(status, UA_BYTESTRING_NULL);
  }
  page_ = Native<UA_BrowseResult, UA_TYPES_BROWSERESULT>::copy_of(response.results[0]);
  take(page_->statusCode, page_->continuationPoint);
}

bool Browse::fill(size_t i, MessageBuilder& message) {
  fill_entry(message, page_->references[i]);
  return true;
}

}  // namespace backplane::opcua
