// SPDX-License-Identifier: Apache-2.0
// What this process has open of one kind, by what the system calls it: whoever opens the same gets
// the same.
#pragma once

#include "process_wide.hpp"

#include <map>
#include <memory>
#include <utility>

namespace backplane::kernel {

// The callers hold process_wide().
template <typename Identity, typename Object>
class OpenObjects {
 public:
  // Null: there is none, or it is the one of a parent.
  std::shared_ptr<Object> find(const Identity& identity) {
    const auto at = objects_.find(identity);
    return at != objects_.end() && at->second.generation == fork_generation()
               ? at->second.object.lock()
               : nullptr;
  }
  void add(const Identity& identity, const std::shared_ptr<Object>& object) {
    std::erase_if(objects_, [](const auto& entry) { return entry.second.object.expired(); });
    objects_[identity] = {object, fork_generation()};
  }

 private:
  struct Entry {
    std::weak_ptr<Object> object;
    std::uint32_t generation = 0;
  };
  std::map<Identity, Entry> objects_;
};

}  // namespace backplane::kernel
