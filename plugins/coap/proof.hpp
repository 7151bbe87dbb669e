// SPDX-License-Identifier: Apache-2.0
// Who a peer has proven to be, by DTLS.
#pragma once

#include <string>

namespace backplane::coap {

struct Proof {
  std::string user;         // its PSK identity, or the common name of its certificate; empty: none
  std::string certificate;  // DER; empty: none
};

}  // namespace backplane::coap
