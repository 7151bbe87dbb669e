// SPDX-License-Identifier: Apache-2.0
// What a server remembers and reports, in namespace 1:
//
//   Past             an object below Objects that reports events
//   Past.Level       Double, read and written, whose values are kept, and given four at a time
//   Past.Alarm       UInt16: who writes it makes an event of that severity at Past, "it is N"
#ifndef BP_TEST_OPCUA_PAST_H
#define BP_TEST_OPCUA_PAST_H

#include <open62541/server.h>

// Before the server is made of it.
void remember(UA_ServerConfig* config);
void add_past(UA_Server* server);

#endif
