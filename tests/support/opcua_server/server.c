// SPDX-License-Identifier: Apache-2.0
// opcua_server PORT [KEY=NUMBER...] [URN...] [OPTIONS OF SECURITY.H]: an OPC UA server with the
// nodes that tests need, in namespace 1:
//
//   Line1               an object below Objects, with all that follows
//   Line1.Temperature   Double, read and written
//   Line1.Profile       Double[4], read and written
//   Line1.Any           of no type: keeps what is written
//   Line1.Fixed         Int32, read only
//   Line1.Secret        Double, for nobody
//   Line1.Broken        Double of a bad quality
//   Line1.Mix           (Double a, Int32 b) -> (Double product, Int32 doubled, String text)
//   Line2               an object below Objects, with all that follows
//   Line2.Level         Double with an EURange of 0 to 200
//   Line2.Count         String, and
//   Line2.News          String, read and written
//   Line2.Items         UInt32: the monitored items that there are
//   Line2.Forget        a method: the server forgets the session that calls it
//   Types               an object with values of the types of types.h
//   Many                a folder with so many variables
//   Past                see past.h
//
//   references=N        the variables in Many; 0
//   namespace=N         the number of the namespace with the nodes, from 2
//                       (urn:backplane:test:plant)
//   ipv6=1              listens at ::1 alone
//   sessions=N          the most of them
//   subscriptions=N     the most of them in a session
//   all_subscriptions=N the most of them
//   items=N             the most monitored items
//   items_a_call=N      the most monitored items in one request
//   reads=N             the most nodes in one request to read
//   paths_a_call=N      the most browse paths in one request
//   hides_limits=1      tells nobody how many those are
//
//   urn:...             one more namespace; that of urn:plant has the variable Moving
#include "past.h"
#include "security.h"
#include "types.h"

#include <open62541/plugin/log_stdout.h>
#include <open62541/server.h>
#include <open62541/server_config_default.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static volatile UA_Boolean running = true;
static void stop(int signal_number) {
  (void)signal_number;
  running = false;
}

static UA_UInt16 nodes_ns = 1;
static UA_NodeId named(const char* name) {
  return UA_NODEID_STRING(nodes_ns, (char*)(uintptr_t)name);
}
static UA_QualifiedName qualified(const char* name) {
  return UA_QUALIFIEDNAME(nodes_ns, (char*)(uintptr_t)name);
}
static UA_LocalizedText text(const char* name) {
  return UA_LOCALIZEDTEXT((char*)(uintptr_t) "en", (char*)(uintptr_t)name);
}

static void add_object(UA_Server* server, const char* name) {
  UA_ObjectAttributes attributes = UA_ObjectAttributes_default;
  attributes.displayName = text(name);
  UA_Server_addObjectNode(server, named(name), UA_NODEID_NUMERIC(0, UA_NS0ID_OBJECTSFOLDER),
                          UA_NODEID_NUMERIC(0, UA_NS0ID_ORGANIZES), qualified(name),
                          UA_NODEID_NUMERIC(0, UA_NS0ID_BASEOBJECTTYPE), attributes, NULL, NULL);
}

// `name` is "Line1.Temperature": the browse name is what follows the point.
static void add_variable(UA_Server* server, const char* parent, const char* name,
                         UA_VariableAttributes attributes) {
  const char* point = strchr(name, '.');
  attributes.displayName = text(point != NULL ? point + 1 : name);
  UA_Server_addVariableNode(
      server, named(name), named(parent), UA_NODEID_NUMERIC(0, UA_NS0ID_HASCOMPONENT),
      qualified(point != NULL ? point + 1 : name),
      UA_NODEID_NUMERIC(0, UA_NS0ID_BASEDATAVARIABLETYPE), attributes, NULL, NULL);
}

static UA_VariableAttributes scalar(void* value, int type, UA_Byte access) {
  UA_VariableAttributes out = UA_VariableAttributes_default;
  UA_Variant_setScalar(&out.value, value, &UA_TYPES[type]);
  out.dataType = UA_TYPES[type].typeId;
  out.valueRank = UA_VALUERANK_SCALAR;
  out.accessLevel = access;
  return out;
}

static const UA_Byte kRead = UA_ACCESSLEVELMASK_READ;
static const UA_Byte kReadWrite = UA_ACCESSLEVELMASK_READ | UA_ACCESSLEVELMASK_WRITE |
                                  UA_ACCESSLEVELMASK_STATUSWRITE |
                                  UA_ACCESSLEVELMASK_TIMESTAMPWRITE;

static void add_variables(UA_Server* server) {
  UA_Double temperature = 20.5;
  UA_Int32 fixed = 7;
  UA_Double secret = 1;
  add_variable(server, "Line1", "Line1.Temperature",
               scalar(&temperature, UA_TYPES_DOUBLE, kReadWrite));
  add_variable(server, "Line1", "Line1.Fixed", scalar(&fixed, UA_TYPES_INT32, kRead));
  add_variable(server, "Line1", "Line1.Secret", scalar(&secret, UA_TYPES_DOUBLE, 0));
  add_variable(server, "Line1", "Line1.Broken", scalar(&secret, UA_TYPES_DOUBLE, kRead));

  UA_Double profile[] = {1, 2, 3, 4};
  UA_UInt32 dimension = 0;
  UA_VariableAttributes array = UA_VariableAttributes_default;
  UA_Variant_setArray(&array.value, profile, 4, &UA_TYPES[UA_TYPES_DOUBLE]);
  array.dataType = UA_TYPES[UA_TYPES_DOUBLE].typeId;
  array.valueRank = UA_VALUERANK_ONE_DIMENSION;
  array.arrayDimensions = &dimension;
  array.arrayDimensionsSize = 1;
  array.accessLevel = kReadWrite;
  add_variable(server, "Line1", "Line1.Profile", array);

  UA_VariableAttributes any = scalar(&temperature, UA_TYPES_DOUBLE, kReadWrite);
  any.dataType = UA_NODEID_NUMERIC(0, UA_NS0ID_BASEDATATYPE);
  any.valueRank = UA_VALUERANK_ANY;
  add_variable(server, "Line1", "Line1.Any", any);

  UA_DataValue broken;
  UA_DataValue_init(&broken);
  broken.hasStatus = true;
  broken.status = UA_STATUSCODE_BADSENSORFAILURE;
  broken.hasSourceTimestamp = true;
  broken.sourceTimestamp = UA_DATETIME_UNIX_EPOCH + 10000000;
  UA_Server_writeDataValue(server, named("Line1.Broken"), broken);
}

static UA_StatusCode mix(UA_Server* server, const UA_NodeId* session, void* session_context,
                         const UA_NodeId* method, void* method_context, const UA_NodeId* object,
                         void* object_context, size_t n_inputs, const UA_Variant* inputs,
                         size_t n_outputs, UA_Variant* outputs) {
  (void)server, (void)session, (void)session_context, (void)method, (void)method_context;
  (void)object, (void)object_context, (void)n_inputs, (void)n_outputs;
  const UA_Double a = *(const UA_Double*)inputs[0].data;
  const UA_Int32 b = *(const UA_Int32*)inputs[1].data;
  const UA_Double product = a * b;
  const UA_Int32 doubled = 2 * b;
  const UA_String mixed = UA_STRING((char*)(uintptr_t) "mixed");
  UA_Variant_setScalarCopy(&outputs[0], &product, &UA_TYPES[UA_TYPES_DOUBLE]);
  UA_Variant_setScalarCopy(&outputs[1], &doubled, &UA_TYPES[UA_TYPES_INT32]);
  UA_Variant_setScalarCopy(&outputs[2], &mixed, &UA_TYPES[UA_TYPES_STRING]);
  return UA_STATUSCODE_GOOD;
}

static void add_method(UA_Server* server, const char* parent, const char* name,
                       UA_MethodCallback method, size_t n_inputs, const UA_Argument* inputs,
                       size_t n_outputs, const UA_Argument* outputs) {
  const char* browse_name = strchr(name, '.') + 1;
  UA_MethodAttributes attributes = UA_MethodAttributes_default;
  attributes.displayName = text(browse_name);
  attributes.executable = true;
  attributes.userExecutable = true;
  UA_Server_addMethodNode(server, named(name), named(parent),
                          UA_NODEID_NUMERIC(0, UA_NS0ID_HASCOMPONENT), qualified(browse_name),
                          attributes, method, n_inputs, inputs, n_outputs, outputs, NULL, NULL);
}

static UA_Argument argument(const char* name, int type) {
  UA_Argument out;
  UA_Argument_init(&out);
  out.name = UA_STRING((char*)(uintptr_t)name);
  out.dataType = UA_TYPES[type].typeId;
  out.valueRank = UA_VALUERANK_SCALAR;
  return out;
}

static void add_mix(UA_Server* server) {
  const UA_Argument inputs[] = {argument("a", UA_TYPES_DOUBLE), argument("b", UA_TYPES_INT32)};
  const UA_Argument outputs[] = {argument("product", UA_TYPES_DOUBLE),
                                 argument("doubled", UA_TYPES_INT32),
                                 argument("text", UA_TYPES_STRING)};
  add_method(server, "Line1", "Line1.Mix", mix, 2, inputs, 3, outputs);
}

static UA_VariableAttributes custom(void* value, size_t n, int type) {
  UA_VariableAttributes out = UA_VariableAttributes_default;
  if (n == 0) {
    UA_Variant_setScalar(&out.value, value, &kTypes[type]);
  } else {
    UA_Variant_setArray(&out.value, value, n, &kTypes[type]);
  }
  out.dataType = kTypes[type].typeId;
  out.valueRank = n == 0 ? UA_VALUERANK_SCALAR : UA_VALUERANK_ONE_OR_MORE_DIMENSIONS;
  out.accessLevel = kReadWrite;
  return out;
}

static void add_double(UA_Server* server, const char* uri, const char* name) {
  const UA_UInt16 ns = UA_Server_addNamespace(server, uri);
  UA_Double value = ns;
  UA_Server_addVariableNode(server, UA_NODEID_STRING(ns, (char*)(uintptr_t)name), named("Line1"),
                            UA_NODEID_NUMERIC(0, UA_NS0ID_ORGANIZES),
                            UA_QUALIFIEDNAME(ns, (char*)(uintptr_t)name),
                            UA_NODEID_NUMERIC(0, UA_NS0ID_BASEDATAVARIABLETYPE),
                            scalar(&value, UA_TYPES_DOUBLE, kRead), NULL, NULL);
}

// A namespace, with a node, that was not there when the session began.
static UA_StatusCode extend(UA_Server* server, const UA_NodeId* session, void* session_context,
                            const UA_NodeId* method, void* method_context, const UA_NodeId* object,
                            void* object_context, size_t n_inputs, const UA_Variant* inputs,
                            size_t n_outputs, UA_Variant* outputs) {
  (void)session, (void)session_context, (void)method, (void)method_context, (void)object;
  (void)object_context, (void)n_inputs, (void)inputs, (void)n_outputs, (void)outputs;
  add_double(server, "urn:late", "Late");
  return UA_STATUSCODE_GOOD;
}

static UA_StatusCode mirror(UA_Server* server, const UA_NodeId* session, void* session_context,
                            const UA_NodeId* method, void* method_context, const UA_NodeId* object,
                            void* object_context, size_t n_inputs, const UA_Variant* inputs,
                            size_t n_outputs, UA_Variant* outputs) {
  (void)server, (void)session, (void)session_context, (void)method, (void)method_context;
  (void)object, (void)object_context, (void)n_inputs, (void)n_outputs;
  const Point* from = (const Point*)inputs[0].data;
  const Point point = {from->y, from->x};
  return UA_Variant_setScalarCopy(&outputs[0], &point, &kTypes[kPoint]);
}

static void add_types(UA_Server* server) {
  for (int i = 0; i < kTypeCount; ++i) {
    UA_DataTypeAttributes attributes = UA_DataTypeAttributes_default;
    attributes.displayName = text(kTypes[i].typeName);
    UA_Server_addDataTypeNode(server, kTypes[i].typeId, UA_NODEID_NUMERIC(0, kTypeBases[i]),
                              UA_NODEID_NUMERIC(0, UA_NS0ID_HASSUBTYPE),
                              qualified(kTypes[i].typeName), attributes, NULL, NULL);
    if (UA_NodeId_isNull(&kTypes[i].binaryEncodingId)) {
      continue;
    }
    UA_ObjectAttributes encoding = UA_ObjectAttributes_default;
    encoding.displayName = text("Default Binary");
    UA_Server_addObjectNode(server, kTypes[i].binaryEncodingId, UA_NODEID_NULL, UA_NODEID_NULL,
                            UA_QUALIFIEDNAME(0, (char*)(uintptr_t) "Default Binary"),
                            UA_NODEID_NUMERIC(0, UA_NS0ID_DATATYPEENCODINGTYPE), encoding, NULL,
                            NULL);
    const UA_ExpandedNodeId to = {kTypes[i].binaryEncodingId, {0, NULL}, 0};
    UA_Server_addReference(server, kTypes[i].typeId, UA_NODEID_NUMERIC(0, UA_NS0ID_HASENCODING), to,
                           true);
  }
  UA_Int16 level = 3;
  UA_Float ratio = 0.5f;
  UA_Double volume = 1.5;
  UA_Int32 mode = 1;
  UA_DateTime since = 0;
  Point points[] = {{1, 2}, {3, 4}, {5, 6}, {7, 8}};
  UA_Int32 priority = 9;
  Order order = {UA_STRING((char*)(uintptr_t) "first"), &priority, 2, points, 1};
  Reading reading = {1, {.number = 2.5}};
  add_variable(server, "Types", "Types.Level", scalar(&level, UA_TYPES_INT16, kReadWrite));
  add_variable(server, "Types", "Types.Ratio", scalar(&ratio, UA_TYPES_FLOAT, kReadWrite));
  add_variable(server, "Types", "Types.Since", scalar(&since, UA_TYPES_DATETIME, kReadWrite));
  add_variable(server, "Types", "Types.Volume", custom(&volume, 0, kLitres));
  add_variable(server, "Types", "Types.Mode", custom(&mode, 0, kMode));
  add_variable(server, "Types", "Types.Point", custom(&points[0], 0, kPoint));
  add_variable(server, "Types", "Types.Copy", custom(&points[0], 0, kPoint));
  add_variable(server, "Types", "Types.Points", custom(points, 4, kPoint));
  add_variable(server, "Types", "Types.Order", custom(&order, 0, kOrder));
  add_variable(server, "Types", "Types.Reading", custom(&reading, 0, kReading));

  UA_VariableAttributes changing = scalar(&volume, UA_TYPES_DOUBLE, kReadWrite);
  changing.dataType = UA_NODEID_NUMERIC(0, UA_NS0ID_BASEDATATYPE);
  changing.writeMask = UA_WRITEMASK_DATATYPE;
  add_variable(server, "Types", "Types.Changing", changing);

  UA_Argument point = argument("point", UA_TYPES_DOUBLE);
  point.dataType = kTypes[kPoint].typeId;
  UA_MethodAttributes attributes = UA_MethodAttributes_default;
  attributes.displayName = text("Mirror");
  attributes.executable = true;
  attributes.userExecutable = true;
  UA_Server_addMethodNode(server, named("Types.Mirror"), named("Types"),
                          UA_NODEID_NUMERIC(0, UA_NS0ID_HASCOMPONENT), qualified("Mirror"),
                          attributes, mirror, 1, &point, 1, &point, NULL, NULL);
  attributes.displayName = text("Extend");
  UA_Server_addMethodNode(server, named("Types.Extend"), named("Types"),
                          UA_NODEID_NUMERIC(0, UA_NS0ID_HASCOMPONENT), qualified("Extend"),
                          attributes, extend, 0, NULL, 0, NULL, NULL, NULL);
}

static void add_many(UA_Server* server, unsigned n) {
  for (unsigned i = 0; i < n; ++i) {
    char name[32];
    snprintf(name, sizeof name, "Many%u", i);
    UA_UInt32 value = i;
    add_variable(server, "Many", name, scalar(&value, UA_TYPES_UINT32, kRead));
  }
}

static UA_UInt32 items = 0;
static void count_item(UA_Server* server, const UA_NodeId* session, void* session_context,
                       const UA_NodeId* node, void* node_context, UA_UInt32 attribute,
                       UA_Boolean removed) {
  (void)server, (void)session, (void)session_context, (void)node, (void)node_context;
  (void)attribute;
  items += removed ? -1u : 1u;
}

static UA_StatusCode give(UA_DataValue* out, UA_UInt32 number) {
  out->hasValue = true;
  return UA_Variant_setScalarCopy(&out->value, &number, &UA_TYPES[UA_TYPES_UINT32]);
}
static UA_StatusCode read_items(UA_Server* server, const UA_NodeId* session, void* session_context,
                                const UA_NodeId* node, void* node_context, UA_Boolean with_time,
                                const UA_NumericRange* range, UA_DataValue* out) {
  (void)server, (void)session, (void)session_context, (void)node, (void)node_context;
  (void)with_time, (void)range;
  return give(out, items);
}
static UA_StatusCode read_no_limit(UA_Server* server, const UA_NodeId* session,
                                   void* session_context, const UA_NodeId* node, void* node_context,
                                   UA_Boolean with_time, const UA_NumericRange* range,
                                   UA_DataValue* out) {
  (void)server, (void)session, (void)session_context, (void)node, (void)node_context;
  (void)with_time, (void)range;
  return give(out, 0);
}

static void close_session(UA_Server* server, void* data) {
  UA_NodeId* session = data;
  UA_Server_closeSession(server, session);
  UA_NodeId_delete(session);
}
// After the answer.
static UA_StatusCode forget(UA_Server* server, const UA_NodeId* session, void* session_context,
                            const UA_NodeId* method, void* method_context, const UA_NodeId* object,
                            void* object_context, size_t n_inputs, const UA_Variant* inputs,
                            size_t n_outputs, UA_Variant* outputs) {
  (void)session_context, (void)method, (void)method_context, (void)object, (void)object_context;
  (void)n_inputs, (void)inputs, (void)n_outputs, (void)outputs;
  UA_NodeId* kept = UA_NodeId_new();
  UA_NodeId_copy(session, kept);
  return UA_Server_addTimedCallback(server, close_session, kept, UA_DateTime_nowMonotonic(), NULL);
}

static void add_line2(UA_Server* server) {
  UA_Double level = 20;
  add_variable(server, "Line2", "Line2.Level", scalar(&level, UA_TYPES_DOUBLE, kReadWrite));
  UA_Range range = {0, 200};
  UA_VariableAttributes attributes = scalar(&range, UA_TYPES_RANGE, kRead);
  UA_Server_addVariableNode(server, UA_NODEID_NULL, named("Line2.Level"),
                            UA_NODEID_NUMERIC(0, UA_NS0ID_HASPROPERTY),
                            UA_QUALIFIEDNAME(0, (char*)(uintptr_t) "EURange"),
                            UA_NODEID_NUMERIC(0, UA_NS0ID_PROPERTYTYPE), attributes, NULL, NULL);
  UA_String nothing = UA_STRING_NULL;
  add_variable(server, "Line2", "Line2.Count", scalar(&nothing, UA_TYPES_STRING, kReadWrite));
  add_variable(server, "Line2", "Line2.News", scalar(&nothing, UA_TYPES_STRING, kReadWrite));
  UA_UInt32 none = 0;
  add_variable(server, "Line2", "Line2.Items", scalar(&none, UA_TYPES_UINT32, kRead));
  const UA_DataSource source = {read_items, NULL};
  UA_Server_setVariableNode_dataSource(server, named("Line2.Items"), source);
  add_method(server, "Line2", "Line2.Forget", forget, 0, NULL, 0, NULL);
}

// A client has to say of which class the target is (part 4, 5.8.3.2). The library does not look,
// and says none itself when it adds what a new node has: its parent and its type.
static UA_Boolean is_class_of_target(UA_Server* server, UA_AccessControl* access,
                                     const UA_NodeId* session, void* session_context,
                                     const UA_AddReferencesItem* item) {
  (void)access, (void)session, (void)session_context;
  const UA_NodeId type = UA_NODEID_NUMERIC(0, UA_NS0ID_HASTYPEDEFINITION);
  if (!item->isForward || UA_NodeId_equal(&item->referenceTypeId, &type)) {
    return true;
  }
  UA_NodeClass target = UA_NODECLASS_UNSPECIFIED;
  UA_Server_readNodeClass(server, item->targetNodeId.nodeId, &target);
  return item->targetNodeClass == target;
}

// Of security.h; argc: there is none.
static int first_option(int argc, char** argv) {
  int i = 2;
  while (i < argc && strncmp(argv[i], "--", 2) != 0) {
    ++i;
  }
  return i;
}

// Of "items=7".
static unsigned option(int argc, char** argv, const char* key) {
  const size_t length = strlen(key);
  for (int i = 2; i < argc; ++i) {
    if (strncmp(argv[i], key, length) == 0 && argv[i][length] == '=') {
      return (unsigned)atoi(argv[i] + length + 1);
    }
  }
  return 0;
}

static void listen_at(UA_ServerConfig* config, const char* host, const char* port) {
  char url[64];
  snprintf(url, sizeof url, "opc.tcp://%s:%s", host, port);
  UA_Array_delete(config->serverUrls, config->serverUrlsSize, &UA_TYPES[UA_TYPES_STRING]);
  config->serverUrls = UA_Array_new(1, &UA_TYPES[UA_TYPES_STRING]);
  config->serverUrls[0] = UA_STRING_ALLOC(url);
  config->serverUrlsSize = 1;
}

int main(int argc, char** argv) {
  if (argc < 2) {
    fprintf(stderr, "opcua_server PORT [KEY=NUMBER...] [URN...]\n");
    return 2;
  }
  signal(SIGTERM, stop);
  signal(SIGINT, stop);
  UA_ServerConfig config;
  memset(&config, 0, sizeof config);
  config.logging = UA_Log_Stdout_new(UA_LOGLEVEL_ERROR);  // a test does not read it all
  const int secured = first_option(argc, argv);
  if (add_endpoints(&config, (UA_UInt16)atoi(argv[1]), argc, argv, secured) != UA_STATUSCODE_GOOD) {
    return 1;
  }
  if (option(argc, argv, "ipv6") != 0) {
    listen_at(&config, "[::1]", argv[1]);
  }
  if (secured >= argc) {
    UA_String_clear(&config.applicationDescription.applicationUri);
    config.applicationDescription.applicationUri = UA_STRING_ALLOC("urn:backplane:test:server");
  }
  config.publishingIntervalLimits.min = 5;
  config.samplingIntervalLimits.min = 0;
  config.maxReferencesPerNode = 0;
  if (option(argc, argv, "sessions") != 0) {
    config.maxSessions = (UA_UInt16)option(argc, argv, "sessions");
  }
  config.maxSubscriptionsPerSession = option(argc, argv, "subscriptions");
  config.maxSubscriptions = option(argc, argv, "all_subscriptions");
  config.maxMonitoredItems = option(argc, argv, "items");
  config.maxMonitoredItemsPerCall = option(argc, argv, "items_a_call");
  config.maxNodesPerRead = option(argc, argv, "reads");
  config.maxNodesPerTranslateBrowsePathsToNodeIds = option(argc, argv, "paths_a_call");
  config.monitoredItemRegisterCallback = count_item;
  config.accessControl.allowAddReference = is_class_of_target;
  const UA_DataTypeArray types = {NULL, kTypeCount, kTypes, false};
  config.customDataTypes = &types;
  remember(&config);
  UA_Server* server = UA_Server_newWithConfig(&config);
  if (server == NULL) {
    return 1;
  }
  for (unsigned n = option(argc, argv, "namespace"); nodes_ns + 1u < n;) {
    char uri[64];
    snprintf(uri, sizeof uri, "urn:backplane:test:other%u", (unsigned)nodes_ns);
    nodes_ns = UA_Server_addNamespace(server, uri);
  }
  if (option(argc, argv, "namespace") != 0) {
    nodes_ns = UA_Server_addNamespace(server, "urn:backplane:test:plant");
  }
  add_object(server, "Line1");
  add_object(server, "Line2");
  add_object(server, "Many");
  add_object(server, "Types");
  add_variables(server);
  add_mix(server);
  add_line2(server);
  add_types(server);
  add_past(server);
  add_many(server, option(argc, argv, "references"));
  if (option(argc, argv, "hides_limits") != 0) {
    const UA_DataSource source = {read_no_limit, NULL};
    const UA_UInt32 limits[] = {
        UA_NS0ID_SERVER_SERVERCAPABILITIES_OPERATIONLIMITS_MAXMONITOREDITEMSPERCALL,
        UA_NS0ID_SERVER_SERVERCAPABILITIES_OPERATIONLIMITS_MAXNODESPERTRANSLATEBROWSEPATHSTONODEIDS};
    for (size_t i = 0; i < 2; ++i) {
      UA_Server_setVariableNode_dataSource(server, UA_NODEID_NUMERIC(0, limits[i]), source);
    }
  }
  for (int i = 2; i < argc; ++i) {
    if (strncmp(argv[i], "urn:", 4) != 0) {
      continue;
    }
    UA_Server_addNamespace(server, argv[i]);
    if (strcmp(argv[i], "urn:plant") == 0) {
      add_double(server, argv[i], "Moving");
    }
  }
  const UA_StatusCode status = UA_Server_run(server, &running);
  UA_Server_delete(server);
  return status == UA_STATUSCODE_GOOD ? 0 : 1;
}
