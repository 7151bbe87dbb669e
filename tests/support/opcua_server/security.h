// SPDX-License-Identifier: Apache-2.0
// The security of the test's server, from its command line:
//
//   --certificate FILE --key FILE   who it is; the rest needs them
//   --policy NAME                   again for each: None, Basic256Sha256, ...
//   --mode NAME                     sign, sign_and_encrypt; without it both
//   --trusted FOLDER                whom it trusts, read anew for each; without it everybody
//   --user NAME:PASSWORD            again for each
//   --no-anonymous
//   --plain-password                it is taken without security
//   --uri URI                       the application's
#ifndef BP_TEST_OPCUA_SECURITY_H
#define BP_TEST_OPCUA_SECURITY_H

#include <open62541/server.h>

// Sets up the endpoints on `port` by argv[first] and what follows. Without options: one, without
// security, for everybody. Complains on standard error.
UA_StatusCode add_endpoints(UA_ServerConfig* config, UA_UInt16 port, int argc, char** argv,
                            int first);

#endif
