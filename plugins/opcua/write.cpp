// SPDX-License-Identifier: Apache-2.0
#include "write.hpp"

#include "convert.hpp"
#include "error_map.hpp"
#include "node_type.hpp"
#include "reversible.hpp"

#include <set>

namespace backplane::opcua {
namespace {

std::string context_of(const Target& target) { return concat("writing '", target.text, "'"); }

}  // namespace

WriteJob::WriteJob(std::shared_ptr<Target> target, Requests& requests, uint64_t key, MessageView in)
    : Job(std::move(target)),
      requests_(requests),
      key_(key),
      in_(in),
      range_(in.header<std::string>(BP_H_INDEX_RANGE).value_or("")),
      needs_type_(this->target().address.attribute == UA_ATTRIBUTEID_VALUE &&
                  !in.header(BP_H_NATIVE_TYPE) && !is_reversible(in) && is_convertible(in.body())) {
}

void WriteJob::convert(DataTypes& types) {
  const Wanted wanted = needs_type_ ? target().type.value_or(Wanted()) : Wanted();
  try {
    value_ = to_data_value(in_, wanted, &types);
  } catch (const Error& error) {
    Status status = Status(error.status());
    if (needs_type_) {
      constexpr UA_StatusCode kCode = UA_STATUSCODE_BADTYPEMISMATCH;  // as the server would say
      status = std::move(status)
                   .with_context(std::string_view(UA_StatusCode_name(kCode)))
                   .with_native(static_cast<int32_t>(kCode), kDomain);
    }
    throw Error(std::move(status).with_context(context_of(target()), of_type(wanted)));
  }
}

UA_WriteValue WriteJob::native() const noexcept {
  UA_WriteValue out;
  UA_WriteValue_init(&out);
  out.nodeId = *target().node;
  out.attributeId = target().address.attribute;
  out.indexRange = range_.empty() ? UA_STRING_NULL : borrowed(range_);
  out.value = *value_;
  return out;
}

void Writes::add(std::shared_ptr<WriteJob> job) {
  added_.push_back(job->shared_target());
  added_.back()->writes.push_back(std::move(job));
}

void Writes::send(Session& session) {
  if (added_.empty()) {
    return;
  }
  Jobs ready;
  for (const auto& target : std::exchange(added_, {})) {
    collect(session, target, ready);
  }
  ask_types(session);
  // One node once in a request.
  std::set<std::pair<UA_UInt32, UA_UInt32>> nodes;
  Jobs some;
  for (auto& job : ready) {
    const Target& target = job->target();
    const bool is_new =
        nodes.emplace(UA_NodeId_hash(target.node.get()), target.address.attribute).second;
    if (!is_new || some.size() >= session.most_writes()) {
      send_some(session, std::exchange(some, {}));
      nodes = {{UA_NodeId_hash(target.node.get()), target.address.attribute}};
    }
    some.push_back(std::move(job));
  }
  if (!some.empty()) {
    send_some(session, std::move(some));
  }
}

void Writes::collect(Session& session, const std::shared_ptr<Target>& target, Jobs& ready) {
  while (!target->writes.empty() && !target->is_asking) {
    const auto job = target->writes.front();
    if (job->needs_type() && !target->type) {
      target->is_asking = true;
      untyped_.push_back(target);
      return;
    }
    std::optional<Status> failed;
    try {
      job->convert(reader_.types());
    } catch (const Error& error) {
      failed = error.status();
    }
    if (reader_.types().has_missing()) {  // a structure that nobody has asked for yet
      target->is_asking = true;
      return reader_.read_missing(session, [this, &session, target](const Status& status) {
        target->is_asking = false;
        if (status.is_error()) {
          return fail(*target, status);
        }
        added_.push_back(target);
        send(session);
      });
    }
    target->writes.pop_front();
    if (failed) {
      job->fail(*failed);
    } else {
      ready.push_back(job);
    }
  }
}

void Writes::ask_types(Session& session) {
  auto targets = std::exchange(untyped_, {});
  for (size_t i = 0; i < targets.size(); i += session.most_reads()) {
    const size_t end = std::min(targets.size(), i + session.most_reads());
    std::vector<std::shared_ptr<Target>> some(targets.begin() + static_cast<ptrdiff_t>(i),
                                              targets.begin() + static_cast<ptrdiff_t>(end));
    std::vector<UA_ReadValueId> nodes(some.size());
    for (size_t k = 0; k < some.size(); ++k) {
      UA_ReadValueId_init(&nodes[k]);
      nodes[k].nodeId = *some[k]->node;
      nodes[k].attributeId = UA_ATTRIBUTEID_DATATYPE;
    }
    UA_ReadRequest request;
    UA_ReadRequest_init(&request);
    request.timestampsToReturn = UA_TIMESTAMPSTORETURN_NEITHER;
    request.nodesToRead = nodes.data();
    request.nodesToReadSize = nodes.size();
    session.ask<UA_ReadResponse, UA_TYPES_READRESPONSE>(
        request, UA_TYPES_READREQUEST,
        [this, &session, some = std::move(some)](const UA_ReadResponse& response) {
          const UA_StatusCode status = response.responseHeader.serviceResult;
          auto data_types = std::make_shared<std::vector<NodeId>>(some.size());
          for (size_t k = 0; k < some.size(); ++k) {
            if (status != UA_STATUSCODE_GOOD) {
              some[k]->is_asking = false;
              fail(*some[k], bad_status(status, context_of(*some[k])));
            } else if (k < response.resultsSize) {
              (*data_types)[k] = data_type_of(response.results[k]);
            }
          }
          if (status == UA_STATUSCODE_GOOD) {
            types_are(session, some, data_types);
          }
        });
  }
}

void Writes::types_are(Session& session, std::vector<std::shared_ptr<Target>> targets,
                       std::shared_ptr<std::vector<NodeId>> data_types) {
  std::vector<Wanted> wanted;
  for (const NodeId& id : *data_types) {
    wanted.push_back(wanted_of(reader_.types(), *id));
  }
  if (reader_.types().has_missing()) {
    return reader_.read_missing(session,
                                [this, &session, targets, data_types](const Status& status) {
                                  if (!status.is_error()) {
                                    return types_are(session, targets, data_types);
                                  }
                                  for (const auto& target : targets) {
                                    target->is_asking = false;
                                    fail(*target, status);
                                  }
                                });
  }
  for (size_t i = 0; i < targets.size(); ++i) {
    targets[i]->is_asking = false;
    targets[i]->type = wanted[i];
    added_.push_back(targets[i]);
  }
  send(session);
}

void Writes::send_some(Session& session, Jobs jobs) {
  std::vector<UA_WriteValue> nodes;
  nodes.reserve(jobs.size());
  for (const auto& job : jobs) {
    nodes.push_back(job->native());
  }
  UA_WriteRequest request;
  UA_WriteRequest_init(&request);
  request.nodesToWrite = nodes.data();
  request.nodesToWriteSize = nodes.size();
  session.ask<UA_WriteResponse, UA_TYPES_WRITERESPONSE>(
      request, UA_TYPES_WRITEREQUEST,
      [this, &session, jobs = std::move(jobs)](const UA_WriteResponse& response) {
        answered(session, jobs, response);
      });
}

void Writes::answered(Session& session, const Jobs& jobs, const UA_WriteResponse& response) {
  UA_StatusCode service = response.responseHeader.serviceResult;
  if (service == UA_STATUSCODE_GOOD && response.resultsSize != jobs.size()) {
    service = UA_STATUSCODE_BADUNKNOWNRESPONSE;
  }
  for (size_t i = 0; i < jobs.size(); ++i) {
    const UA_StatusCode status = service == UA_STATUSCODE_GOOD ? response.results[i] : service;
    const auto& target = jobs[i]->shared_target();
    if (status == UA_STATUSCODE_BADTYPEMISMATCH && jobs[i]->may_try_again()) {
      target->type.reset();  // it has become another
      target->writes.push_back(jobs[i]);
      added_.push_back(target);
    } else if (is_bad(status)) {
      jobs[i]->fail(bad_status(status, context_of(*target)));
    } else {
      jobs[i]->succeed();
    }
  }
  if (!added_.empty()) {
    send(session);
  }
}

void Writes::fail(Target& target, const Status& status) {
  for (const auto& job : std::exchange(target.writes, {})) {
    job->fail(status);
  }
}

void Writes::fail_all(const Status& status) {
  for (const auto& target : std::exchange(added_, {})) {
    fail(*target, status);
  }
}

}  // namespace backplane::opcua
