// SPDX-License-Identifier: Apache-2.0
#include "type_reader.hpp"

#include "error_map.hpp"

namespace backplane::opcua {
namespace {

constexpr size_t kAtOnce = 100;
constexpr size_t kMostAsked = 10'000;  // a server may describe types without end

std::vector<NodeId> take(std::deque<NodeId>& from, size_t most = kAtOnce) {
  std::vector<NodeId> out;
  while (!from.empty() && out.size() < std::min(most, kAtOnce)) {
    out.push_back(std::move(from.front()));
    from.pop_front();
  }
  return out;
}

/// Whether it says nothing of the types, so that the next value asks again. Other errors are the
/// server's: it does not tell them.
bool is_no_answer(UA_StatusCode status) noexcept {
  return is_loss(status) || status == UA_STATUSCODE_BADTIMEOUT ||
         status == UA_STATUSCODE_BADREQUESTTIMEOUT;
}

}  // namespace

void TypeReader::start_session() {
  finish(Status(BP_UNAVAILABLE, "the session was lost"));
  ++session_number_;
  types_ = std::make_unique<DataTypes>();
}

void TypeReader::add(std::vector<NodeId> ids) {
  for (NodeId& id : ids) {
    if (budget_ == 0) {
      types_->set_unknown(*id);
      continue;
    }
    --budget_;
    ids_.push_back(std::move(id));
  }
}

void TypeReader::read_missing(Session& session, Done done) {
  DataTypes::Missing missing = types_->take_missing();
  waiting_.push_back(std::move(done));
  budget_ = kMostAsked;
  add(std::move(missing.ids));
  for (NodeId& each : missing.encodings) {
    encodings_.push_back(std::move(each));
  }
  if (!std::exchange(is_busy_, true)) {
    step(session);
  }
}

void TypeReader::step(Session& session) {
  if (!encodings_.empty()) {
    return find_types(session);
  }
  if (!ids_.empty()) {
    return read_definitions(session);
  }
  if (!without_definition_.empty()) {
    return find_bases(session);
  }
  types_->link();
  finish(Status::ok());
}

void TypeReader::finish(const Status& status) {
  ids_.clear();
  encodings_.clear();
  without_definition_.clear();
  is_busy_ = false;
  for (const Done& done : std::exchange(waiting_, {})) {
    done(status);
  }
}

void TypeReader::read_definitions(Session& session) {
  auto asked = std::make_shared<std::vector<NodeId>>(take(ids_, session.most_reads()));
  std::vector<UA_ReadValueId> nodes(asked->size());
  for (size_t i = 0; i < nodes.size(); ++i) {
    UA_ReadValueId_init(&nodes[i]);
    nodes[i].nodeId = *(*asked)[i];
    nodes[i].attributeId = UA_ATTRIBUTEID_DATATYPEDEFINITION;
  }
  UA_ReadRequest request;
  UA_ReadRequest_init(&request);
  request.timestampsToReturn = UA_TIMESTAMPSTORETURN_NEITHER;
  request.nodesToRead = nodes.data();
  request.nodesToReadSize = nodes.size();
  session.ask<UA_ReadResponse, UA_TYPES_READRESPONSE>(
      request, UA_TYPES_READREQUEST,
      [this, &session, asked, number = session_number_](const UA_ReadResponse& response) {
        if (number != session_number_) {
          return;
        }
        const UA_StatusCode status = response.responseHeader.serviceResult;
        if (status != UA_STATUSCODE_GOOD && (is_no_answer(status) || !session.is_open())) {
          return finish(bad_status(status, "reading the server's data types"));
        }
        for (size_t i = 0; i < asked->size(); ++i) {
          std::vector<NodeId> more;
          const UA_Variant told =
              i < response.resultsSize ? response.results[i].value : UA_Variant();
          // What an enumeration is encoded as, too, is told by what it derives from.
          if (!types_->define(*(*asked)[i], told, more) ||
              UA_Variant_hasScalarType(&told, &UA_TYPES[UA_TYPES_ENUMDEFINITION])) {
            without_definition_.push_back(std::move((*asked)[i]));
          }
          add(std::move(more));
        }
        step(session);
      });
}

void TypeReader::browse_back(Session& session, std::deque<NodeId>& from, UA_UInt32 reference,
                             std::function<void(const UA_NodeId&, const UA_NodeId*)> found) {
  auto asked = std::make_shared<std::vector<NodeId>>(take(from));
  std::vector<UA_BrowseDescription> nodes(asked->size());
  for (size_t i = 0; i < nodes.size(); ++i) {
    UA_BrowseDescription_init(&nodes[i]);
    nodes[i].nodeId = *(*asked)[i];
    nodes[i].browseDirection = UA_BROWSEDIRECTION_INVERSE;
    nodes[i].referenceTypeId = UA_NODEID_NUMERIC(0, reference);
  }
  UA_BrowseRequest request;
  UA_BrowseRequest_init(&request);
  request.nodesToBrowse = nodes.data();
  request.nodesToBrowseSize = nodes.size();
  session.ask<UA_BrowseResponse, UA_TYPES_BROWSERESPONSE>(
      request, UA_TYPES_BROWSEREQUEST,
      [this, &session, asked, found = std::move(found),
       number = session_number_](const UA_BrowseResponse& response) {
        if (number != session_number_) {
          return;
        }
        const UA_StatusCode status = response.responseHeader.serviceResult;
        if (status != UA_STATUSCODE_GOOD && (is_no_answer(status) || !session.is_open())) {
          return finish(bad_status(status, "browsing the server's data types"));
        }
        for (size_t i = 0; i < asked->size(); ++i) {
          const bool is_found = i < response.resultsSize && response.results[i].referencesSize > 0;
          found(*(*asked)[i],
                is_found ? &response.results[i].references[0].nodeId.nodeId : nullptr);
        }
        step(session);
      });
}

void TypeReader::find_types(Session& session) {
  browse_back(session, encodings_, UA_NS0ID_HASENCODING,
              [this](const UA_NodeId& encoding, const UA_NodeId* type) {
                if (type == nullptr) {
                  return types_->set_unknown_encoding(encoding);
                }
                std::vector<NodeId> more;
                types_->set_encoding(encoding, *type, more);
                add(std::move(more));
              });
}

void TypeReader::find_bases(Session& session) {
  browse_back(session, without_definition_, UA_NS0ID_HASSUBTYPE,
              [this](const UA_NodeId& type, const UA_NodeId* base) {
                std::vector<NodeId> more;
                const UA_NodeId enumeration = UA_NODEID_NUMERIC(0, UA_NS0ID_ENUMERATION);
                if (base != nullptr) {
                  types_->derive(type, *base, more);
                } else if (types_->is_told(type)) {
                  types_->derive(type, enumeration, more);
                } else {
                  types_->set_unknown(type);
                }
                add(std::move(more));
              });
}

}  // namespace backplane::opcua
