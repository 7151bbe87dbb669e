// SPDX-License-Identifier: Apache-2.0
#include "call.hpp"

#include "arguments.hpp"
#include "error_map.hpp"
#include "node_type.hpp"
#include "time.hpp"
#include <backplane/sdk/options.hpp>

namespace backplane::opcua {
namespace {

/// What is wrong with each input.
ValueView complaints(Arena& arena, std::span<const UA_StatusCode> statuses) {
  ListBuilder out(arena);
  for (const UA_StatusCode status : statuses) {
    out.add(status_value(status));
  }
  return out.size() == 0
             ? ValueView()
             : arena.list({out.view().as.list, out.size()}, BP_TYPE(BP_T_UINT, BP_UINT_STATUS));
}

bool is_arguments(const ValueView& body) noexcept {
  return body.tag == BP_T_LIST && body.aux == BP_LIST_ARGUMENTS;
}

std::vector<Argument> arguments_of(const UA_Variant& value) {
  std::vector<Argument> out;
  if (UA_Variant_hasArrayType(&value, &UA_TYPES[UA_TYPES_ARGUMENT])) {
    const auto* first = static_cast<const UA_Argument*>(value.data);
    for (size_t i = 0; i < value.arrayLength; ++i) {
      out.push_back({std::string(view(first[i].name)), NodeId::copy_of(first[i].dataType)});
    }
  }
  return out;
}

}  // namespace

CallJob::CallJob(std::shared_ptr<Target> target, Requests& requests, TypeReader& reader,
                 uint64_t key, MessageView in)
    : Job(std::move(target)), requests_(requests), reader_(reader), key_(key), in_(in) {
  for (const auto& [name, value] : options_of(in, {"object"}).entries()) {
    object_ = value.get<std::string>().value_or("");
    parse_node_id(object_).or_throw();
  }
}

void CallJob::run(Session& session) {
  if (needs_arguments() && !target().arguments) {
    return find_arguments(session);
  }
  convert(session);
}

bool CallJob::needs_arguments() const noexcept {
  const ValueView body = in_.body();
  if (!is_arguments(body)) {
    return is_convertible(body);
  }
  bool out = false;
  for (const ValueView each : body.items()) {
    out = out || is_convertible(each);
  }
  return out;
}

/// A method without inputs has no such property.
void CallJob::find_arguments(Session& session) {
  UA_RelativePathElement element;
  UA_RelativePathElement_init(&element);
  element.referenceTypeId = UA_NODEID_NUMERIC(0, UA_NS0ID_HASPROPERTY);
  element.targetName = {0, borrowed("InputArguments")};
  UA_BrowsePath path;
  UA_BrowsePath_init(&path);
  path.startingNode = *target().node;
  path.relativePath = {1, &element};
  UA_TranslateBrowsePathsToNodeIdsRequest request;
  UA_TranslateBrowsePathsToNodeIdsRequest_init(&request);
  request.browsePaths = &path;
  request.browsePathsSize = 1;
  using Response = UA_TranslateBrowsePathsToNodeIdsResponse;
  session.ask<Response, UA_TYPES_TRANSLATEBROWSEPATHSTONODEIDSRESPONSE>(
      request, UA_TYPES_TRANSLATEBROWSEPATHSTONODEIDSREQUEST,
      [self = self(), &session](const Response& response) {
        const UA_StatusCode status = response.responseHeader.serviceResult;
        if (status != UA_STATUSCODE_GOOD) {
          return self->fail(bad_status(status, self->context()));
        }
        if (response.resultsSize == 1 && response.results[0].targetsSize > 0) {
          return self->read_arguments(session, response.results[0].targets[0].targetId.nodeId);
        }
        self->target().arguments.emplace();
        self->convert(session);
      });
}

void CallJob::read_arguments(Session& session, const UA_NodeId& node) {
  session.read_attribute(
      node, UA_ATTRIBUTEID_VALUE,
      [self = self(), &session](UA_StatusCode service, const UA_DataValue& value) {
        if (is_bad(service)) {
          return self->fail(bad_status(service, self->context()));
        }
        self->target().arguments = arguments_of(value.value);
        self->convert(session);
      });
}

/// In their order; a map has them by name.
std::vector<ValueView> CallJob::inputs() const {
  const ValueView body = in_.body();
  std::vector<ValueView> out;
  const auto& known = target().arguments;
  // Of a single argument that is a structure it may be the fields.
  const bool is_named = body.tag == BP_T_MAP && known && !known->empty() &&
                        (known->size() > 1 || body.find(known->front().name));
  if (is_named) {
    for (const Argument& argument : *known) {
      const auto value = body.find(argument.name);
      if (!value) {
        throw Error(BP_INVALID_ARGUMENT, context(), ": argument '", argument.name, "' is absent");
      }
      out.push_back(*value);
    }
    if (body.size() != known->size()) {
      throw Error(BP_INVALID_ARGUMENT, context(), ": ", body.size(), " arguments; there are ",
                  known->size());
    }
  } else if (is_arguments(body)) {
    for (const ValueView each : body.items()) {
      out.push_back(each);
    }
  } else if (!body.is_null() || body.aux != 0) {
    out.push_back(body);
  }
  return out;
}

void CallJob::convert(Session& session) {
  DataTypes& types = reader_.types();
  std::vector<UA_StatusCode> statuses;
  std::string reason;
  arguments_.clear();
  try {
    for (const ValueView input : inputs()) {
      const size_t i = arguments_.size();
      const Argument* const known = target().arguments && i < target().arguments->size()
                                        ? &(*target().arguments)[i]
                                        : nullptr;
      const Wanted wanted = known != nullptr ? wanted_of(types, *known->data_type) : Wanted();
      arguments_.emplace_back();
      statuses.push_back(UA_STATUSCODE_GOOD);
      try {
        arguments_.back() = to_variant(input, wanted, &types);
      } catch (const Error& error) {
        statuses.back() = UA_STATUSCODE_BADTYPEMISMATCH;
        reason += concat(reason.empty() ? "" : "; ", "argument ", i + 1,
                         known != nullptr ? concat(" '", known->name, "'") : std::string(),
                         of_type(wanted), ": ", error.status().message());
      }
    }
  } catch (const Error& error) {
    return fail(error.status());
  }
  if (types.has_missing()) {
    return reader_.read_missing(session, [self = self(), &session](const Status& status) {
      status.is_error() ? self->fail(Status(status).with_context(self->context()))
                        : self->convert(session);
    });
  }
  if (!reason.empty()) {
    return refuse_inputs(statuses, reason);
  }
  if (!object_.empty()) {
    const auto object = parse_node_id(object_);
    return call(session, **object);
  }
  if (!UA_NodeId_isNull(target().parent.get())) {
    return call(session, *target().parent);
  }
  find_object(session);
}

void CallJob::refuse_inputs(const std::vector<UA_StatusCode>& statuses, const std::string& reason) {
  requests_.answer(key_, [&](MessageBuilder& out) {
    out.body(complaints(out.arena(), statuses));
    return bad_status(UA_STATUSCODE_BADINVALIDARGUMENT, concat(context(), ": ", reason));
  });
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
      [self = self(), &session](const UA_BrowseResponse& response) {
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
      request, UA_TYPES_CALLREQUEST, [self = self(), &session](const UA_CallResponse& response) {
        const UA_StatusCode service = response.responseHeader.serviceResult;
        if (service != UA_STATUSCODE_GOOD) {
          return self->fail(bad_status(service, self->context()));
        }
        if (response.resultsSize != 1) {
          return self->fail(bad_status(UA_STATUSCODE_BADUNKNOWNRESPONSE, self->context()));
        }
        self->answered(session, response.results[0]);
      });
}

void CallJob::answered(Session& session, const UA_CallMethodResult& result) {
  try {
    MessageBuilder out;
    if (is_bad(result.statusCode)) {
      out.body(
          complaints(out.arena(), {result.inputArgumentResults, result.inputArgumentResultsSize}));
      return requests_.reply(key_, MessageView(out), bad_status(result.statusCode, context()));
    }
    out.body(to_body(out.arena(), {result.outputArguments, result.outputArgumentsSize},
                     &reader_.types()));
    if (!reader_.types().has_missing()) {
      return requests_.reply(key_, MessageView(out), Status::ok());
    }
  } catch (...) {
    return fail(current_exception_status());
  }
  // A structure that nobody has asked for yet: once more when it is known.
  using Result = Native<UA_CallMethodResult, UA_TYPES_CALLMETHODRESULT>;
  reader_.read_missing(
      session, [self = self(), &session,
                kept = std::make_shared<Result>(Result::copy_of(result))](const Status& status) {
        status.is_error() ? self->fail(Status(status).with_context(self->context()))
                          : self->answered(session, **kept);
      });
}

}  // namespace backplane::opcua
