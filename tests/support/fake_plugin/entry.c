// SPDX-License-Identifier: Apache-2.0
// The one exported symbol, in the loaded form of the plugin only.
#include "fake_plugin.h"

bp_status bp_plugin_entry_1(const bp_offer* offer, const bp_plugin** out, bp_error* error) {
  return fake_plugin_entry(offer, out, error);
}
