// SPDX-License-Identifier: Apache-2.0
// WRITE: the Write service, many operations in one request.
//
// Design notes.
// - A value that may have to be converted waits until the node's type is known; the type is asked
//   for once a session, and again when the server says that it is another.
// - Writes of one endpoint keep their order: one that waits holds up those behind it.
// - A server may do the operations of one request in any order, so that one node stands once in it.
#pragma once

#include "job.hpp"
#include "requests.hpp"
#include "type_reader.hpp"

namespace backplane::opcua {

class WriteJob final : public Job {
 public:
  WriteJob(std::shared_ptr<Target> target, Requests& requests, uint64_t key, MessageView in);

  void run(Session&) override {}  // Writes does it
  void fail(const Status& status) override { requests_.fail(key_, status); }
  void succeed() { requests_.reply(key_, MessageView(), Status::ok()); }

  bool needs_type() const noexcept { return needs_type_; }
  /// Throws Error (INVALID_ARGUMENT) when the body is nothing that OPC UA or the node has.
  void convert(DataTypes& types);
  UA_WriteValue native() const noexcept;
  /// True once: the type of the node is asked for again.
  bool may_try_again() noexcept { return needs_type_ && !std::exchange(tried_again_, true); }

 private:
  Requests& requests_;
  const uint64_t key_;
  const OwnedMessage in_;
  const std::string range_;
  const bool needs_type_;
  bool tried_again_ = false;
  DataValue value_;
};

/// Those of one client. [loop]
class Writes {
 public:
  explicit Writes(TypeReader& reader) : reader_(reader) {}

  void add(std::shared_ptr<WriteJob> job);
  /// What was added, in as few requests as the server takes.
  void send(Session& session);
  /// There is no session: what was added and not sent.
  void fail_all(const Status& status);

 private:
  using Jobs = std::vector<std::shared_ptr<WriteJob>>;

  void collect(Session& session, const std::shared_ptr<Target>& target, Jobs& ready);
  void ask_types(Session& session);
  void types_are(Session& session, std::vector<std::shared_ptr<Target>> targets,
                 std::shared_ptr<std::vector<NodeId>> data_types);
  void send_some(Session& session, Jobs jobs);
  void answered(Session& session, const Jobs& jobs, const UA_WriteResponse& response);
  static void fail(Target& target, const Status& status);

  TypeReader& reader_;
  std::vector<std::shared_ptr<Target>> added_;
  std::vector<std::shared_ptr<Target>> untyped_;
};

}  // namespace backplane::opcua
