// SPDX-License-Identifier: Apache-2.0
// READ: the Read service, many operations in one request.
#pragma once

#include "job.hpp"
#include "requests.hpp"
#include "reversible.hpp"
#include "type_reader.hpp"

namespace backplane::opcua {

/// One that waits for its answer.
struct Read {
  Read(std::shared_ptr<Target> its_target, uint64_t its_key, MessageView in)
      : target(std::move(its_target)),
        key(its_key),
        range(in.header<std::string>(BP_H_INDEX_RANGE).value_or("")),
        is_reversible(opcua::is_reversible(in)) {}
  std::shared_ptr<Target> target;
  uint64_t key;
  std::string range;
  bool is_reversible;
};

/// Those of one client. [loop]
///
/// Design notes. What a request needs is used again by a later one: one more read allocates nothing
/// here.
class Reads {
 public:
  Reads(Requests& requests, TypeReader& reader) : requests_(requests), reader_(reader) {}
  Reads(const Reads&) = delete;
  Reads& operator=(const Reads&) = delete;

  /// Room for so many more.
  void reserve(size_t n) { added_.reserve(added_.size() + n); }
  /// Its node is known in this session.
  void add(Read read) { added_.push_back(std::move(read)); }
  /// What was added, in as few requests as the server takes.
  void send(Session& session);
  /// There is no session: what was added and not sent.
  void fail_all(const Status& status);

 private:
  /// Those that are asked for together.
  struct Together {
    Session* session = nullptr;
    std::vector<Read> reads;
  };
  Together& together();
  void send(Together& some);
  void answered(Together& some, const UA_ReadResponse& response);
  void answer(Session& session, const Read& read, const UA_DataValue& value);

  Requests& requests_;
  TypeReader& reader_;
  std::vector<Read> added_;
  std::vector<std::unique_ptr<Together>> all_;
  std::vector<Together*> free_;
  std::vector<UA_ReadValueId> nodes_;  // of a request that is made
};

/// One whose node has to be found first.
class ReadJob final : public Job {
 public:
  ReadJob(Reads& reads, Requests& requests, Read read)
      : Job(read.target), reads_(reads), requests_(requests), read_(std::move(read)) {}

  void run(Session&) override { reads_.add(std::move(read_)); }
  void fail(const Status& status) override { requests_.fail(read_.key, status); }

 private:
  Reads& reads_;
  Requests& requests_;
  Read read_;
};

}  // namespace backplane::opcua
