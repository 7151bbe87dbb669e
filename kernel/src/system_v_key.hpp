// SPDX-License-Identifier: Apache-2.0
// The file whose inode is part of a key of System V.
#pragma once

#include "descriptor.hpp"
#include "native_key.hpp"

#include <sys/types.h>

namespace backplane::kernel {

// While it is open, no other process has the same one open: what is made and set within that time
// is so at once for all that use this.
class SystemVKey {
 public:
  SystemVKey() = default;
  SystemVKey(const SystemVKey&) = delete;
  SystemVKey& operator=(const SystemVKey&) = delete;
  ~SystemVKey() { close(); }

  // `is_made`: the file, if it is not there; and the folder of safe keys. DEADLINE_EXCEEDED:
  // another has had it for a second.
  bp_status open(const NativeKey& key, bool is_made, std::uint32_t permissions, bp_error* error);
  void close() noexcept;
  key_t number() const noexcept { return number_; }

 private:
  Descriptor file_;
  key_t number_ = -1;
};

}  // namespace backplane::kernel
