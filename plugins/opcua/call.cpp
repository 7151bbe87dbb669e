// SPDX-License-Identifier: Apache-2.0
#include "call.hpp"

#include "error_map.hpp"

namespace backplane::opcua {
namespace {

/// One value stands alone, several are arguments, none is null.
ValueView outputs(Arena& arena, const UA_CallMethodResult& result) {
  ListBuilder out(arena);
  for (size_t i = 0; i < result.outputArgumentsSize; ++i) {
    out.add(to_value(arena, result.outputArguments[i]));
  }
  return out.size() == 0   ? ValueView()
         : out.size() == 1 ? out.view().at(0)
                           : arena.list({out.view().as.list, out.size()}, BP_LIST_ARGUMENTS);
}

/// What is wrong with each input.
ValueView complaints(Arena& arena, const UA_CallMethodResult& result) {
  ListBuilder out(arena);
  for (size_t i = 0; i < result.inputArgumentResultsSize; ++i) {
    bp_value status{};
    status.tag = BP_T_UINT;
    status.aux = BP_UINT_STATUS;
    status.as.u = result.inputArgumentResults[i];
    out.add(status);
  }
  return out.size() == 0
             ? ValueView()
             : arena.list({out.view().as.list, out.size()}, BP_TYPE(BP_T_UINT, BP_UINT_STATUS));
}

}  // namespace

CallJob::CallJob(std::shared_ptr<Target> target, Requests& requests, uint64_t key, MessageView in)
    : Job(std::move(target)), requests_(requests), key_(key) {
  const ValueView body = in.body();
  if (body.tag == BP_T_LIST && body.aux == BP_LIST_ARGUMENTS) {
    for (const ValueView each : body.items()) {
      arguments_.push_back(to_variant(each));
    }
  } else if (!body.is_null() || body.aux != 0) {
    arguments_.push_back(to_variant(body));
  }
  if (const auto options = in.header(BP_H_OPTIONS)) {
    if (const auto object = options->find("object")) {
      object_ = object->get<std::string>().value_or("");
      parse_node_id(object_).or_throw();
    }
  }
}

void CallJob::run(Session& session) {
  if (!object_.empty()) {
    const auto object = parse_node_id(object_);
    return call(session, **object);
  }
  if (!UA_NodeId_isNull(target().parent.get())) {
    return call(session, *target().parent);
  }
  find_object(session);
}

void CallJob::find_object(Session& session) {
  UA_BrowseDescription method;
  UA_BrowseDescription_init(&method);
  method.nodeId = *target().node;
  method.browseDirection = UA_BROWSEDIRECTION_INVERSE;
  method.referenceTypeId = UA_NODEID_NUMERIC(0, UA_NS0ID_HASCOMPONENT);
  method.includeSubtypes = true;
  method.nodeClassMask = UA_NODECLASS_OBJECT;
  UA_BrowseRequest request;
  UA_BrowseRequest_init(&request);
  request.nodesToBrowse = &method;
  request.nodesToBrowseSize = 1;
  request.requestedMaxReferencesPerNode = 1;
  session.ask<UA_BrowseResponse, UA_TYPES_BROWSERESPONSE>(
      request, UA_TYPES_BROWSEREQUEST,
      [self = shared_from_this(), &session](const UA_BrowseResponse& response) {
        const std::string context =
            concat("looking for the object of method '", self->target().text, "'");
        UA_StatusCode status = response.responseHeader.serviceResult;
        if (status == UA_STATUSCODE_GOOD && response.resultsSize == 1) {
          status = response.results[0].statusCode;
        }
        if (status != UA_STATUSCODE_GOOD) {
          return self->fail(bad_status(status, context));
        }
        if (response.resultsSize == 0 || response.results[0].referencesSize == 0) {
          return self->fail(
              Status(BP_NOT_FOUND, context, ": no object has it; name one in the option 'object'"));
        }
        self->target().parent = NodeId::copy_of(response.results[0].references[0].nodeId.nodeId);
        self->call(session, *self->target().parent);
      });
}

void CallJob::call(Session& session, const UA_NodeId& object) {
  std::vector<UA_Variant> inputs;
  for (const Variant& each : arguments_) {
    inputs.push_back(*each);
  }
  UA_CallMethodRequest method;
  UA_CallMethodRequest_init(&method);
  method.objectId = object;
  method.methodId = *target().node;
  method.inputArguments = inputs.data();
  method.inputArgumentsSize = inputs.size();
  UA_CallRequest request;
  UA_CallRequest_init(&request);
  request.methodsToCall = &method;
  request.methodsToCallSize = 1;
  session.ask<UA_CallResponse, UA_TYPES_CALLRESPONSE>(
      request, UA_TYPES_CALLREQUEST, [self = shared_from_this()](const UA_CallResponse& response) {
        const std::string context = concat("calling '", self->target().text, "'");
        const UA_StatusCode service = response.responseHeader.serviceResult;
        if (service != UA_STATUSCODE_GOOD) {
          return self->fail(bad_status(service, context));
        }
        if (response.resultsSize != 1) {
          return self->fail(bad_status(UA_STATUSCODE_BADUNKNOWNRESPONSE, context));
        }
        const UA_CallMethodResult& result = response.results[0];
        self->requests_.answer(self->key_, [&](MessageBuilder& out) {
          if (is_bad(result.statusCode)) {
            out.body(complaints(out.arena(), result));
            return bad_status(result.statusCode, context);
          }
          out.body(outputs(out.arena(), result));
          return Status::ok();
        });
      });
}

}  // namespace backplane::opcua
