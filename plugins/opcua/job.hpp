// SPDX-License-Identifier: Apache-2.0
// What an endpoint wants done on the loop, at a node that may first have to be found.
#pragma once

#include "address.hpp"
#include "session.hpp"
#include "values.hpp"

#include <list>

namespace backplane::opcua {

class WriteJob;

/// Of a method's InputArguments.
struct Argument {
  std::string name;
  NodeId data_type;
};

/// A node, by its address. What is known about it holds for one session: its namespaces may be
/// others in the next. Shared by an endpoint and its jobs; all but `address` and `text` is the
/// loop's.
struct Target {
  Target(Address its_address, std::string_view its_text)
      : address(std::move(its_address)), text(its_text) {}
  const Address address;
  const std::string text;
  uint64_t generation = 0;
  NodeId node;
  NodeId parent;               // of a method: the object; null until somebody needs it
  std::optional<Wanted> type;  // of its values; nothing until somebody needs it
  std::optional<std::vector<Argument>> arguments;  // likewise, of a method
  std::list<std::shared_ptr<WriteJob>> writes;     // in their order; the first waits for the type
  // BrowsePaths': wait for the search that is under way, which ends with them.
  std::vector<std::function<void(const Status&)>> followers;
  bool is_asking = false;

  /// They are of another session.
  void forget_types() {
    type.reset();
    arguments.reset();
  }
};

/// Made on any thread; run() or fail() is called once, on the loop.
class Job {
 public:
  explicit Job(std::shared_ptr<Target> target) : target_(std::move(target)) {}
  virtual ~Job() = default;
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  /// The target's node is known. May throw Error, which fails it.
  virtual void run(Session& session) = 0;
  virtual void fail(const Status& status) = 0;

  Target& target() const noexcept { return *target_; }
  const std::shared_ptr<Target>& shared_target() const noexcept { return target_; }

  /// True once: the server may have got a namespace since.
  bool may_read_namespaces() noexcept { return !std::exchange(has_read_namespaces_, true); }

 private:
  bool has_read_namespaces_ = false;
  const std::shared_ptr<Target> target_;
};

}  // namespace backplane::opcua
