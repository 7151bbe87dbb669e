// SPDX-License-Identifier: Apache-2.0
// The data types of one server: structures and enumerations by their DataTypeDefinition, simple
// types by what they derive from. Loop thread only.
//
// Design notes.
// - Whoever needs a type that is not here is told that it is not, and it is noted: the reader
//   (type_reader.hpp) asks the server, and the value is converted again. What the server does not
//   describe is remembered as unknown, so that nobody asks twice.
// - A type is never changed or removed once it is here: others point to it, also in circles.
// - A server is not trusted: counts are bounded, and a structure with a field of unknown type is
//   unknown itself, because nothing after that field could be found.
#pragma once

#include "native.hpp"

#include <map>
#include <memory>
#include <vector>

namespace backplane::opcua {

struct DataType;

struct Field {
  std::string name;
  std::string type_id;             // as the definition says
  UA_UInt16 built_in = 0;          // how it is encoded
  const DataType* type = nullptr;  // its names, or the structure that stands there in line
  int32_t rank = -1;               // -1 a scalar, 1 an array, 2 and more a matrix
  bool is_optional = false;
  bool has_subtypes = false;  // each value says its own type
};

struct DataType {
  enum class Kind { kUnknown, kSimple, kEnumeration, kStructure, kOptional, kUnion };

  std::string id;  // "ns=1;i=3001"
  Kind kind = Kind::kUnknown;
  UA_UInt16 built_in = 0;  // how a value of it is encoded; 0: not known
  std::string derived_from;
  NodeId encoding;            // of a structure, binary
  std::vector<Field> fields;  // of a structure
  std::vector<std::pair<int64_t, std::string>> names;

  bool is_structure() const noexcept { return kind >= Kind::kStructure; }
};

class DataTypes {
 public:
  /// Null: it is not known. The types of the standard that the library has are always known.
  const DataType* by_id(const UA_NodeId& id);
  const DataType* by_encoding(const UA_NodeId& encoding);
  /// What was looked for in vain, each once.
  struct Missing {
    std::vector<NodeId> ids;
    std::vector<NodeId> encodings;
    bool empty() const noexcept { return ids.empty() && encodings.empty(); }
  };
  Missing take_missing() { return std::exchange(missing_, {}); }
  bool has_missing() const noexcept { return !missing_.empty(); }

  /// How many structures one is in, in extension objects of each other.
  class Nesting {
   public:
    explicit Nesting(DataTypes& types) noexcept : depth_(types.depth_) { ++depth_; }
    ~Nesting() { --depth_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;
    unsigned depth() const noexcept { return depth_; }

   private:
    unsigned& depth_;
  };

  // ---- what the server has told; link() makes it count ----
  /// True: it is a definition. `more` gets the types that it needs and nobody knows.
  bool define(const UA_NodeId& id, const UA_Variant& definition, std::vector<NodeId>& more);
  /// Enumerations and simple types.
  void derive(const UA_NodeId& id, const UA_NodeId& from, std::vector<NodeId>& more);
  void set_encoding(const UA_NodeId& encoding, const UA_NodeId& id, std::vector<NodeId>& more);
  void set_unknown(const UA_NodeId& id);
  void set_unknown_encoding(const UA_NodeId& encoding);
  void link();
  bool is_told(const UA_NodeId& id) const { return types_.contains(to_text(id)); }

 private:
  bool is_full() const noexcept;
  DataType& at(const std::string& id);
  const DataType* find(const std::string& id) const;
  const DataType* from_library(const UA_DataType& type);
  void need(const UA_NodeId& id, std::vector<NodeId>& more);
  bool link_field(Field& field) const;

  std::map<std::string, std::unique_ptr<DataType>, std::less<>> types_;
  std::map<std::string, std::string, std::less<>> by_encoding_;  // empty: unknown
  std::vector<DataType*> unlinked_;
  Missing missing_;
  unsigned depth_ = 0;
};

}  // namespace backplane::opcua
