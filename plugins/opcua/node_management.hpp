// SPDX-License-Identifier: Apache-2.0
// CALL with a method header: the NodeManagement services (part 4, 5.8) on the node of the address.
//
// | method | body | answer |
// |---|---|---|
// | add_node | `name`, as "1:Level"; `class`: "Variable" or "Object"; of a variable `type`
//   (Double, or a node id), `value`, `access`: "read", "write" or "read_write"; `id`, unless the
//   server shall choose one; `reference` from the node to the new one (HasComponent, i=47);
//   `type_definition`; `title`, `description` | the id as text |
// | delete_node | null, or `references`: false leaves those that lead to it | null |
// | add_reference | `reference`, `target`, `forward` = true, `target_class` ("Variable"; else the
//   target is asked) | null |
// | delete_reference | `reference`, `target`, `forward` = true | null |
#pragma once

#include "job.hpp"
#include "requests.hpp"

namespace backplane::opcua {

class NodeManagement final : public Job, public std::enable_shared_from_this<NodeManagement> {
 public:
  /// Whether a CALL is one of these.
  static bool is_wanted(MessageView in) { return in.header(BP_H_METHOD).has_value(); }

  /// Throws Error (INVALID_ARGUMENT): there is no such method.
  NodeManagement(std::shared_ptr<Target> target, Requests& requests, uint64_t key, MessageView in);

  void run(Session& session) override;
  void fail(const Status& status) override { requests_.fail(key_, status); }

 private:
  enum class Method : uint8_t { kAddNode, kDeleteNode, kAddReference, kDeleteReference };

  void add_node(Session& session);
  void delete_node(Session& session);
  void find_reference(const Session& session);
  void add_reference(Session& session);
  void read_target_class(Session& session);
  void add_reference(Session& session, uint32_t target_class);
  void delete_reference(Session& session);
  NodeId node_id(const Session& session, std::string_view key, UA_UInt32 otherwise) const;
  std::string text(std::string_view key) const;
  bool flag(std::string_view key, bool otherwise) const;
  template <class Response>
  void answered(const Response& response);
  std::string context() const;

  Requests& requests_;
  const uint64_t key_;
  const OwnedMessage in_;
  const Method method_;
  // ---- of the methods about references ----
  NodeId reference_;
  NodeId other_;
  bool is_forward_ = true;
};

}  // namespace backplane::opcua
