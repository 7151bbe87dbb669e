// SPDX-License-Identifier: Apache-2.0
// CALL: the Call service. A method is called on an object: the one that the option `object` names,
// the one before the end of a browse path, or the one that has the method.
#pragma once

#include "job.hpp"
#include "requests.hpp"
#include "values.hpp"

namespace backplane::opcua {

class CallJob final : public Job, public std::enable_shared_from_this<CallJob> {
 public:
  /// Throws Error (INVALID_ARGUMENT) for arguments that OPC UA does not have.
  CallJob(std::shared_ptr<Target> target, Requests& requests, uint64_t key, MessageView in);

  void run(Session& session) override;
  void fail(const Status& status) override { requests_.fail(key_, status); }

 private:
  void find_object(Session& session);
  void call(Session& session, const UA_NodeId& object);

  Requests& requests_;
  const uint64_t key_;
  std::vector<Variant> arguments_;
  std::string object_;
};

}  // namespace backplane::opcua
