// SPDX-License-Identifier: Apache-2.0
#include "browse_path.hpp"

#include "error_map.hpp"

#include <iterator>

namespace backplane::opcua {
namespace {

const UA_NodeId kObjects = UA_NODEID_NUMERIC(0, UA_NS0ID_OBJECTSFOLDER);

std::string context_of(const Target& target) { return concat("browse path '", target.text, "'"); }

/// The first target that is on this server.
Result<NodeId> end_of(const UA_BrowsePathResult& result, const Target& target) {
  if (result.statusCode != UA_STATUSCODE_GOOD) {
    return bad_status(result.statusCode, context_of(target));
  }
  for (size_t i = 0; i < result.targetsSize; ++i) {
    const UA_BrowsePathTarget& found = result.targets[i];
    if (found.remainingPathIndex == UA_UINT32_MAX && found.targetId.serverIndex == 0) {
      return NodeId::copy_of(found.targetId.nodeId);
    }
  }
  return Status(BP_NOT_FOUND, context_of(target), " leads to another server");
}

UA_BrowsePath path_of(std::span<UA_RelativePathElement> elements) {
  UA_BrowsePath path;
  UA_BrowsePath_init(&path);
  path.startingNode = kObjects;
  path.relativePath = {elements.size(), elements.data()};
  return path;
}

/// `results`: of the whole path, and of what is before its end where that is not all.
Status set_ends(Target& target, std::span<const UA_BrowsePathResult> results) {
  auto node = end_of(results[0], target);
  if (!node) {
    return node.status();
  }
  target.node = *std::move(node);
  target.parent = NodeId();
  if (results.size() == 1) {
    target.parent = NodeId::copy_of(kObjects);
  } else if (auto parent = end_of(results[1], target)) {
    target.parent = *std::move(parent);
  }
  return Status::ok();
}

}  // namespace

void BrowsePaths::Search::end(const Status& status) const {
  for (const Done& done : std::exchange(target->followers, {})) {
    boundary([&] { done(status); }, [](const Status&) noexcept {});  // it has others
  }
}

void BrowsePaths::follow(const Session& session, std::shared_ptr<Target> target, Done done) {
  const auto& path = target->address.path;
  if (path.empty()) {
    target->node = NodeId::copy_of(kObjects);
    return done(Status::ok());
  }
  if (!target->followers.empty()) {
    return target->followers.push_back(std::move(done));
  }
  std::vector<UA_RelativePathElement> elements(path.size());
  for (size_t i = 0; i < path.size(); ++i) {
    elements[i].referenceTypeId = UA_NODEID_NUMERIC(0, UA_NS0ID_HIERARCHICALREFERENCES);
    elements[i].includeSubtypes = true;
    const auto number = namespace_of(path[i], session.namespaces());
    if (!number) {
      return done(Status(number.status()).with_context(context_of(*target)));
    }
    elements[i].targetName = {*number, borrowed(path[i].name)};
  }
  added_.push_back({target, std::move(elements)});  // first: who follows has a search
  target->followers.push_back(std::move(done));
}

void BrowsePaths::send(Session& session) {
  auto all = std::exchange(added_, {});
  const size_t most = std::max<size_t>(session.most_paths() / 2, 1);
  for (auto first = all.begin(); first != all.end();) {
    const auto n = std::min(static_cast<size_t>(all.end() - first), most);
    const auto end = first + static_cast<ptrdiff_t>(n);
    send_some(session, {std::make_move_iterator(first), std::make_move_iterator(end)});
    first = end;
  }
}

void BrowsePaths::send_some(Session& session, std::vector<Search> searches) {
  std::vector<UA_BrowsePath> paths;
  for (Search& search : searches) {
    const std::span elements(search.elements);
    paths.push_back(path_of(elements));
    if (elements.size() > 1) {
      paths.push_back(path_of(elements.first(elements.size() - 1)));
    }
  }
  UA_TranslateBrowsePathsToNodeIdsRequest request;
  UA_TranslateBrowsePathsToNodeIdsRequest_init(&request);
  request.browsePaths = paths.data();
  request.browsePathsSize = paths.size();
  using Response = UA_TranslateBrowsePathsToNodeIdsResponse;
  session.ask<Response, UA_TYPES_TRANSLATEBROWSEPATHSTONODEIDSRESPONSE>(
      request, UA_TYPES_TRANSLATEBROWSEPATHSTONODEIDSREQUEST,
      [this, &session, n = paths.size(), searches = std::move(searches)](const Response& response) {
        UA_StatusCode status = response.responseHeader.serviceResult;
        if (!session.is_up()) {
          status = UA_STATUSCODE_BADCONNECTIONCLOSED;  // what it says holds no longer
        }
        if (status == UA_STATUSCODE_BADTOOMANYOPERATIONS && searches.size() > 1) {
          session.refused_paths(n);
          added_.insert(added_.end(), searches.begin(), searches.end());
          return answered_();
        }
        if (status == UA_STATUSCODE_GOOD && response.resultsSize != n) {
          status = UA_STATUSCODE_BADUNKNOWNRESPONSE;
        }
        const UA_BrowsePathResult* results = response.results;
        for (const Search& search : searches) {
          if (status != UA_STATUSCODE_GOOD) {
            search.end(bad_status(status, context_of(*search.target)));
            continue;
          }
          const std::span its(results, std::min<size_t>(search.elements.size(), 2));
          results += its.size();
          search.end(set_ends(*search.target, its));
        }
        answered_();
      });
}

void BrowsePaths::fail_all(const Status& status) {
  for (const Search& search : std::exchange(added_, {})) {
    search.end(status);
  }
}

}  // namespace backplane::opcua
