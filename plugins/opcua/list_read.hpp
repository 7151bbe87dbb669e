// SPDX-License-Identifier: Apache-2.0
// READ of a list of nodes by one operation.
//
// Design notes.
// - What a list means is made once (NodeList): its addresses are parsed when it is first read, its
//   nodes found once in a session. An endpoint keeps the last one, and looks whether it is asked
//   for the same again.
// - What is wrong with one node is its status. A node that was not found is not asked for; it is
//   looked for again the next time, as by a read of it alone.
// - The server's answers are taken out of the library's responses, and become values when all are
//   there.
#pragma once

#include "node_list.hpp"

namespace backplane::opcua {

class Client;

class ListRead final : public Job, public std::enable_shared_from_this<ListRead> {
 public:
  /// The option `nodes` of a READ. Throws Error (INVALID_ARGUMENT): there is none, or more is said.
  static ValueView nodes_of(MessageView in);

  ListRead(Client& client, std::shared_ptr<Target> root, std::shared_ptr<NodeList> list,
           uint64_t key, bool is_reversible)
      : Job(std::move(root)),
        client_(client),
        list_(std::move(list)),
        key_(key),
        is_reversible_(is_reversible) {}

  void run(Session& session) override;
  void fail(const Status& status) override;

 private:
  class Search;
  using Response = Native<UA_ReadResponse, UA_TYPES_READRESPONSE>;

  void is_found(size_t item, UA_StatusCode status);
  void found_all();
  void ask(Session& session);
  void take(size_t part, size_t n, UA_ReadResponse& response);
  std::string context() const;
  std::vector<UA_DataValue> values() const;
  void answer();

  Client& client_;
  const std::shared_ptr<NodeList> list_;
  const uint64_t key_;
  const bool is_reversible_;
  std::shared_ptr<const NodeList::Found> found_;
  std::vector<UA_StatusCode> statuses_;  // of the search
  uint64_t generation_ = 0;
  size_t left_ = 0;  // to be found, then to be answered
  UA_StatusCode failure_ = UA_STATUSCODE_GOOD;
  std::vector<Response> parts_;
};

}  // namespace backplane::opcua
