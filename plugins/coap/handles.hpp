// SPDX-License-Identifier: Apache-2.0
// Owners of what libcoap hands out. libcoap: https://libcoap.net, 4.3.1 in Debian 12.
#pragma once

#include <backplane/sdk/unique_handle.hpp>

#include <coap3/coap.h>

namespace backplane::coap {

using Context = UniqueHandle<coap_context_t, coap_free_context>;
using Pdu = UniqueHandle<coap_pdu_t, coap_delete_pdu>;
using CoapString = UniqueHandle<coap_string_t, coap_delete_string>;

/// One share of a session: the library keeps the session while there is any.
using Session = UniqueHandle<coap_session_t, coap_session_release>;
inline Session share(coap_session_t* session) { return Session(coap_session_reference(session)); }

}  // namespace backplane::coap
