// SPDX-License-Identifier: Apache-2.0
// WRITE: the Write service.
#pragma once

#include "job.hpp"
#include "requests.hpp"
#include "values.hpp"

namespace backplane::opcua {

class WriteJob final : public Job {
 public:
  /// Throws Error (INVALID_ARGUMENT) when the body is nothing that OPC UA has.
  WriteJob(std::shared_ptr<Target> target, Requests& requests, uint64_t key, MessageView in);

  void run(Session& session) override;
  void fail(const Status& status) override { requests_.fail(key_, status); }

 private:
  Requests& requests_;
  const uint64_t key_;
  const std::string range_;
  const DataValue value_;
};

}  // namespace backplane::opcua
