// SPDX-License-Identifier: Apache-2.0
#include "other_host.hpp"

#include "library.hpp"

#include <sys/mman.h>

namespace backplane::conformance {
namespace {

OtherHost* current = nullptr;
decltype(bp_plugin::create) real_create = nullptr;
decltype(bp_host::get_service) real_get_service = nullptr;

/// Makes what is constant in a library writable, as far as the object reaches.
template <class T>
T& writable(const T& object) {
  constexpr uintptr_t kPage = 4096;
  const auto begin = reinterpret_cast<uintptr_t>(&object) & ~(kPage - 1);
  const auto end = reinterpret_cast<uintptr_t>(&object + 1);
  require(mprotect(reinterpret_cast<void*>(begin), end - begin, PROT_READ | PROT_WRITE) == 0,
          "its table cannot be changed");
  return const_cast<T&>(object);
}

const void* get_service(const bp_host* host, const char* id) {
  return current->service(id, real_get_service(host, id));
}

}  // namespace

OtherHost::OtherHost(const Subject& subject) {
  if (subject.is_isolated()) {
    throw Skipped("its host is the one of backplane-host, which stands for the kernel there");
  }
  // The kernel will map the same library, and be given the same table.
  subject_ = &Library(subject.files().library).table();
  current = this;
  real_create = std::exchange(writable(*subject_).create, &create);
}

bool OtherHost::is_needed(std::string_view id) const {
  for (const char* const* each = subject_->needs; each != nullptr && *each != nullptr; ++each) {
    if (id == *each) {
      return true;
    }
  }
  return false;
}

bp_status OtherHost::create(const bp_host* host, const bp_value* config, void** instance,
                            bp_error* error) {
  bp_host& other = const_cast<bp_host&>(*host);  // an object of the kernel, of this instance alone
  real_get_service = std::exchange(other.get_service, &get_service);
  other.abi_minor = current->minor();
  return real_create(host, config, instance, error);
}

}  // namespace backplane::conformance
