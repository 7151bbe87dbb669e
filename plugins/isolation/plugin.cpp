// SPDX-License-Identifier: Apache-2.0
#include "plugins/isolation/proxy.hpp"

BACKPLANE_PLUGIN(backplane::isolation::Proxy, "isolation", "0.1.0", BP_PLUGIN_MULTI_INSTANCE,
                 BP_S_ENDPOINT, BP_S_EXECUTOR, BP_S_LOG, BP_S_SHARED_MEMORY, BP_S_STATE);
