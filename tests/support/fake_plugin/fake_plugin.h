// SPDX-License-Identifier: Apache-2.0
// The entry of the fake plugin under a name of its own, so that a program with more than one
// built-in plugin can link it.
#pragma once

#include "backplane/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

bp_status fake_plugin_entry(const bp_offer* offer, const bp_plugin** out, bp_error* error);

#ifdef __cplusplus
}
#endif
