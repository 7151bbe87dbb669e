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
            self->answered(response.responseHeader.serviceResult, response.resultsSize,
                           response.results);
          }
        });
  }
  UA_BrowseDescription node;
  UA_BrowseDescription_init(&node);
  node.nodeId = *target().node;
  node.browseDirection = UA_BROWSEDIRECTION_FORWARD;
  node.referenceTypeId = UA_NODEID_NUMERIC(0, UA_NS0ID_HIERARCHICALREFERENCES);
  node.includeSubtypes = true;
  node.resultMask = UA_BROWSERESULTMASK_ALL;
  UA_BrowseRequest request;
  UA_BrowseRequest_init(&request);
  request.nodesToBrowse = &node;
  request.nodesToBrowseSize = 1;
  request.requestedMaxReferencesPerNode = kPage;
  session.ask<UA_BrowseResponse, UA_TYPES_BROWSERESPONSE>(
      request, UA_TYPES_BROWSEREQUEST, [self](const UA_BrowseResponse& response) {
        self->answered(response.responseHeader.serviceResult, response.resultsSize,
                       response.results);
      });
}

void Browse::answered(UA_StatusCode service, size_t n, UA_BrowseResult* results) {
  if (!is_bad(service) && n != 1) {
    service = UA_STATUSCODE_BADUNKNOWNRESPONSE;
  }
  if (is_bad(service)) {
    return take(service, UA_BYTESTRING_NULL);
  }
  page_ = Native<UA_BrowseResult, UA_TYPES_BROWSERESULT>::copy_of(results[0]);
  take(page_->statusCode, page_->continuationPoint);
}

bool Browse::fill(size_t i, MessageBuilder& message) {
  fill_entry(message, page_->references[i]);
  return true;
}

}  // namespace backplane::opcua
