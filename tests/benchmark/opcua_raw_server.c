// SPDX-License-Identifier: Apache-2.0
// backplane-bench-opcua-server PORT NODES TICKING THREADS [SECURITY...]: the baseline open62541_raw
// as a server, with its own event loop. It has the Doubles ns=1;s=N0 and on, of which the first
// TICKING change once a second, and ns=1;s=Go: who writes it changes all of them. THREADS are more
// threads that do nothing: with one, the C library's allocator and locks are those of a process
// with threads. See support/opcua_server/security.h for the rest.
#include "support/opcua_server/security.h"

#include <open62541/server_config_default.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static volatile UA_Boolean running = true;
static long nodes = 0;
static UA_Double last = 0;

static void stop(int number) {
  (void)number;
  running = false;
}

static void silent(void* context, UA_LogLevel level, UA_LogCategory category, const char* text,
                   va_list arguments) {
  (void)context, (void)level, (void)category, (void)text, (void)arguments;
}

static void change(UA_Server* server, long count) {
  char name[32];
  last += 1;
  UA_Variant value;
  UA_Variant_setScalar(&value, &last, &UA_TYPES[UA_TYPES_DOUBLE]);
  for (long i = 0; i < count; ++i) {
    snprintf(name, sizeof name, "N%ld", i);
    UA_Server_writeValue(server, UA_NODEID_STRING(1, name), value);
  }
}

static void on_go(UA_Server* server, const UA_NodeId* session, void* session_context,
                  const UA_NodeId* node, void* node_context, const UA_NumericRange* range,
                  const UA_DataValue* value) {
  (void)session, (void)session_context, (void)node, (void)node_context, (void)range, (void)value;
  change(server, nodes);
}

static void on_tick(UA_Server* server, void* data) { change(server, *(long*)data); }

static UA_StatusCode add_double(UA_Server* server, const char* name) {
  UA_VariableAttributes attributes = UA_VariableAttributes_default;
  UA_Double value = 0;
  UA_Variant_setScalar(&attributes.value, &value, &UA_TYPES[UA_TYPES_DOUBLE]);
  attributes.dataType = UA_TYPES[UA_TYPES_DOUBLE].typeId;
  attributes.accessLevel = UA_ACCESSLEVELMASK_READ | UA_ACCESSLEVELMASK_WRITE;
  return UA_Server_addVariableNode(
      server, UA_NODEID_STRING(1, (char*)name), UA_NODEID_NUMERIC(0, UA_NS0ID_OBJECTSFOLDER),
      UA_NODEID_NUMERIC(0, UA_NS0ID_ORGANIZES), UA_QUALIFIEDNAME(1, (char*)name),
      UA_NODEID_NUMERIC(0, UA_NS0ID_BASEDATAVARIABLETYPE), attributes, NULL, NULL);
}

static void* idle(void* nothing) {
  while (running) pause();
  return nothing;
}

int main(int argc, char** argv) {
  if (argc < 5) return 2;
  signal(SIGTERM, stop);
  nodes = atol(argv[2]);
  long ticking = atol(argv[3]);
  for (long i = atol(argv[4]); i > 0; --i) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, idle, NULL) != 0) return 1;
    pthread_detach(thread);
  }
  UA_Logger logger = {silent, NULL, NULL};
  UA_ServerConfig config = {0};
  config.logging = &logger;
  UA_StatusCode status = add_endpoints(&config, (UA_UInt16)atoi(argv[1]), argc, argv, 5);
  // As the plugin's server has them.
  config.publishingIntervalLimits.min = 10;
  config.samplingIntervalLimits.min = 0;
  UA_Server* server = UA_Server_newWithConfig(&config);
  for (long i = 0; i < nodes; ++i) {
    char name[32];
    snprintf(name, sizeof name, "N%ld", i);
    status |= add_double(server, name);
  }
  status |= add_double(server, "Go");
  UA_ValueCallback callback = {NULL, on_go};
  status |= UA_Server_setVariableNode_valueCallback(server, UA_NODEID_STRING(1, "Go"), callback);
  if (ticking > 0) status |= UA_Server_addRepeatedCallback(server, on_tick, &ticking, 1000, NULL);
  status |= UA_Server_run_startup(server);
  if (status != UA_STATUSCODE_GOOD) {
    fprintf(stderr, "opcua server: %s\n", UA_StatusCode_name(status));
    return 1;
  }
  puts("ready");
  fflush(stdout);
  while (running) UA_Server_run_iterate(server, true);
  UA_Server_run_shutdown(server);
  UA_Server_delete(server);
  return 0;
}
