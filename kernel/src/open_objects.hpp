// SPDX-License-Identifier: Apache-2.0
// What this process has open of one kind, by what the system calls it: whoever opens the same gets
// the same.
#pragma once

#include "process_wide.hpp"

#include <map>
#include <memory>
#include <mutex>
#include <utility>

namespace backplane::kernel {

template <typename Identity, typename Object>
class OpenObjects {
 public:
  // Null: there is none, or it is the one of a parent.
  std::shared_ptr<Object> find(const Identity& identity) {
    const std::scoped_lock lock(process_wide());
    return find_locked(identity);
  }
  // The one to use: another thread may have been faster.
  std::shared_ptr<Object> add(const Identity& identity, const std::shared_ptr<Object>& object) {
    const std::scoped_lock lock(process_wide());
    if (std::shared_ptr<Object> other = find_locked(identity)) return other;
    std::erase_if(objects_, [](const auto& entry) { return entry.second.object.expired(); });
    objects_[identity] = {object, fork_generation()};
    return object;
  }

 private:
  std::shared_ptr<Object> find_locked(const Identity& identity) const {
    const auto at = objects_.find(identity);
    return at != objects_.end() && at->second.generation == fork_generation()
               ? at->second.object.lock()
               : nullptr;
  }
  struct Entry {
    std::weak_ptr<Object> object;
    std::uint32_t generation = 0;
  };
  std::map<Identity, Entry> objects_;  // guarded by process_wide()
};

}  // namespace backplane::kernel
