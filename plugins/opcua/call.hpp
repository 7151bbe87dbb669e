// SPDX-License-Identifier: Apache-2.0
// CALL: the Call service. A method is called on an object: the one that the option `object` names,
// the one before the end of a browse path, or the one that has the method. Its inputs become the
// types that its InputArguments say, which are read once a session, when they may have to.
#pragma once

#include "job.hpp"
#include "requests.hpp"
#include "type_reader.hpp"

namespace backplane::opcua {

class CallJob final : public Job, public std::enable_shared_from_this<CallJob> {
 public:
  /// Throws Error (INVALID_ARGUMENT) for an object that is no node id.
  CallJob(std::shared_ptr<Target> target, Requests& requests, TypeReader& reader, uint64_t key,
          MessageView in);

  void run(Session& session) override;
  void fail(const Status& status) override { requests_.fail(key_, status); }

 private:
  std::shared_ptr<CallJob> self() { return shared_from_this(); }
  bool needs_arguments() const noexcept;
  void find_arguments(Session& session);
  void read_arguments(Session& session, const UA_NodeId& node);
  void convert(Session& session);
  std::vector<ValueView> inputs() const;
  void refuse_inputs(const std::vector<UA_StatusCode>& statuses, const std::string& reason);
  void find_object(Session& session);
  void call(Session& session, const UA_NodeId& object);
  void answered(Session& session, const UA_CallMethodResult& result);
  std::string context() const { return concat("calling '", target().text, "'"); }

  Requests& requests_;
  TypeReader& reader_;
  const uint64_t key_;
  const OwnedMessage in_;
  std::vector<Variant> arguments_;
  std::string object_;
};

}  // namespace backplane::opcua
