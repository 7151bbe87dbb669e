// SPDX-License-Identifier: Apache-2.0
#include "host.hpp"

#include "backplane/service/log.h"
#include "kernel.hpp"
#include "plugin_instance.hpp"
#include "services.hpp"

#include <cstdlib>
#include <utility>

namespace backplane::kernel {

Host::Host(Kernel& owner, Instance* of_instance, std::string its_name)
    : kernel(owner), instance(of_instance), name(std::move(its_name)) {
  base.struct_size = BP_SIZE_TO(bp_host, system);
  base.abi_minor = BP_ABI_MINOR;
  base.log_level = owner.log_level();
  base.instance = str(name);
  base.get_service = get_service;
  base.system = str(owner.system());
}

DeadlineQueue& Host::kernel_deadlines() const noexcept { return kernel.deadlines(); }
EndpointTable& Host::table() const noexcept { return kernel.table(); }

bp_status Host::settle(Operation& operation, bp_status status) const noexcept {
  const ThreadState& thread = ThreadRegistry::current();
  if (operation.kind == Operation::Kind::kOpen && status == BP_OK)
    status = kernel.reference_opened(operation);
  if (operation.kind == Operation::Kind::kSubmit) {
    counters.add(Count::kPending, -1, thread);
    if (status < 0 && status != BP_CANCELLED) counters.add(Count::kFailed, 1, thread);
  }
  return status;
}

void Host::breach(std::string_view what) const noexcept {
  guarded([&] {
    std::uint64_t id = 0;
    const bp_status status = kernel.metrics().define(*this, BP_STR("contract_breaches_total"),
                                                     BP_METRIC_COUNTER, nullptr, 0, id);
    kernel.metrics().add(id, 1);
    return status;
  });
  kernel.log(this, BP_LOG_ERROR, std::string("breach of the ABI contract: ").append(what));
  if (kernel.checked()) std::abort();
}

}  // namespace backplane::kernel
