// SPDX-License-Identifier: Apache-2.0
// A host that is not the kernel of today: what the subject gets when it asks for a service.
#pragma once

#include "subject.hpp"
#include <backplane/plugin.h>

namespace backplane::conformance {

class OtherHost {
 public:
  /// Of all instances of the subject that are made from now on, in this process.
  /// Throws Skipped for a subject in a process of its own.
  explicit OtherHost(const Subject& subject);
  OtherHost(const OtherHost&) = delete;
  OtherHost& operator=(const OtherHost&) = delete;
  virtual ~OtherHost() = default;

  /// What stands for the kernel's `table` of a service, which is NULL when there is none.
  /// [control]
  virtual const void* service(std::string_view id, const void* table) = 0;
  virtual uint32_t minor() const noexcept { return BP_ABI_MINOR; }

  uint16_t needed_minor() const noexcept { return subject_->minor_needed; }

 protected:
  /// The subject cannot do without it, as its table says.
  bool is_needed(std::string_view id) const;

 private:
  static bp_status create(const bp_host* host, const bp_value* config, void** instance,
                          bp_error* error);

  const bp_plugin* subject_;
};

}  // namespace backplane::conformance
