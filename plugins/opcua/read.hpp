// SPDX-License-Identifier: Apache-2.0
// READ: the Read service, many operations in one request.
#pragma once

#include "job.hpp"
#include "requests.hpp"
#include "reversible.hpp"
#include "type_reader.hpp"

namespace backplane::opcua {

class ReadJob final : public Job {
 public:
  ReadJob(std::shared_ptr<Target> target, Requests& requests, uint64_t key, MessageView in)
      : Job(std::move(target)),
        requests_(requests),
        key_(key),
        range_(in.header<std::string>(BP_H_INDEX_RANGE).value_or("")),
        is_reversible_(opcua::is_reversible(in)) {}

  void run(Session&) override {}  // send_reads() does it
  void fail(const Status& status) override { requests_.fail(key_, status); }

  uint64_t key() const noexcept { return key_; }
  const std::string& range() const noexcept { return range_; }
  bool is_reversible() const noexcept { return is_reversible_; }

 private:
  Requests& requests_;
  const uint64_t key_;
  const std::string range_;
  const bool is_reversible_;
};

/// In as few requests as the server takes. [loop]
void send_reads(Requests& requests, TypeReader& reader, Session& session,
                std::vector<std::shared_ptr<ReadJob>> jobs);

}  // namespace backplane::opcua
