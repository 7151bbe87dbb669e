// SPDX-License-Identifier: Apache-2.0
// Asks a server about the data types that were missing, until all that they consist of is known, or
// known to be unknown. Many types share a request. Loop thread only.
//
// Design notes. An encoding leads to its type by HasEncoding, backwards; a type is told by its
// attribute DataTypeDefinition; what has none is what it derives from, by HasSubtype, backwards.
#pragma once

#include "data_types.hpp"
#include "session.hpp"

#include <deque>

namespace backplane::opcua {

class TypeReader {
 public:
  using Done = std::function<void(const Status&)>;

  TypeReader() : types_(std::make_unique<DataTypes>()) {}

  DataTypes& types() noexcept { return *types_; }
  /// Another session's server may have others. Pointers to types end here.
  void start_session();
  /// Asks for what is missing in types(); an error says that there was no answer: it is asked for
  /// again where it is missed again.
  void read_missing(Session& session, Done done);

 private:
  void step(Session& session);
  void read_definitions(Session& session);
  void find_types(Session& session);
  void find_bases(Session& session);
  void browse_back(Session& session, std::deque<NodeId>& from, UA_UInt32 reference,
                   std::function<void(const UA_NodeId&, const UA_NodeId*)> found);
  void finish(const Status& status);
  void add(std::vector<NodeId> ids);

  std::unique_ptr<DataTypes> types_;
  uint64_t session_number_ = 0;
  bool is_busy_ = false;
  size_t budget_ = 0;
  std::deque<NodeId> ids_;
  std::deque<NodeId> encodings_;
  std::deque<NodeId> without_definition_;
  std::vector<Done> waiting_;
};

}  // namespace backplane::opcua
