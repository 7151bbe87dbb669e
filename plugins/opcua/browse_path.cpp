// SPDX-License-Identifier: Apache-2.0
#include "browse_path.hpp"

#include "error_map.hpp"

namespace backplane::opcua {
namespace {

const UA_NodeId kObjects = UA_NODEID_NUMERIC(0, UA_NS0ID_OBJECTSFOLDER);

/// The first target that is on this server.
Result<NodeId> end_of(const UA_BrowsePathResult& result, const std::string& text) {
  if (result.statusCode != UA_STATUSCODE_GOOD) {
    return bad_status(result.statusCode, concat("browse path '", text, "'"));
  }
  for (size_t i = 0; i < result.targetsSize; ++i) {
    const UA_BrowsePathTarget& target = result.targets[i];
    if (target.remainingPathIndex == UA_UINT32_MAX && target.targetId.serverIndex == 0) {
      return NodeId::copy_of(target.targetId.nodeId);
    }
  }
  return Status(BP_NOT_FOUND, "browse path '", text, "' leads to another server");
}

}  // namespace

void follow(Session& session, Target& target, std::function<void(const Status&)> done) {
  const auto& path = target.address.path;
  if (path.empty()) {
    target.node = NodeId::copy_of(kObjects);
    return done(Status::ok());
  }
  std::vector<UA_RelativePathElement> elements(path.size());
  for (size_t i = 0; i < path.size(); ++i) {
    elements[i].referenceTypeId = UA_NODEID_NUMERIC(0, UA_NS0ID_HIERARCHICALREFERENCES);
    elements[i].includeSubtypes = true;
    const auto number = namespace_of(path[i], session.namespaces());
    if (!number) {
      return done(Status(number.status()).with_context("browse path '", target.text, "'"));
    }
    elements[i].targetName = {*number, borrowed(path[i].name)};
  }
  std::array<UA_BrowsePath, 2> paths{};  // the whole, and without its end
  paths[0].startingNode = paths[1].startingNode = kObjects;
  paths[0].relativePath = {path.size(), elements.data()};
  paths[1].relativePath = {path.size() - 1, elements.data()};
  UA_TranslateBrowsePathsToNodeIdsRequest request;
  UA_TranslateBrowsePathsToNodeIdsRequest_init(&request);
  request.browsePaths = paths.data();
  request.browsePathsSize = path.size() == 1 ? 1 : 2;
  using Response = UA_TranslateBrowsePathsToNodeIdsResponse;
  session.ask<Response, UA_TYPES_TRANSLATEBROWSEPATHSTONODEIDSRESPONSE>(
      request, UA_TYPES_TRANSLATEBROWSEPATHSTONODEIDSREQUEST,
      [&target, done = std::move(done)](const Response& response) {
        const UA_StatusCode status = response.responseHeader.serviceResult;
        if (status != UA_STATUSCODE_GOOD || response.resultsSize == 0) {
          return done(bad_status(status, concat("browse path '", target.text, "'")));
        }
        auto node = end_of(response.results[0], target.text);
        if (!node) {
          return done(node.status());
        }
        target.node = *std::move(node);
        target.parent = NodeId();
        if (response.resultsSize == 1) {
          target.parent = NodeId::copy_of(kObjects);
        } else if (auto parent = end_of(response.results[1], target.text)) {
          target.parent = *std::move(parent);
        }
        done(Status::ok());
      });
}

}  // namespace backplane::opcua
