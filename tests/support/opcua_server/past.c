// SPDX-License-Identifier: Apache-2.0
#include "past.h"

#include <open62541/plugin/historydata/history_data_backend_memory.h>
#include <open62541/plugin/historydata/history_data_gathering_default.h>
#include <open62541/plugin/historydata/history_database_default.h>
#include <stdio.h>

static UA_HistoryDataGathering gathering;

static UA_NodeId named(const char* name) { return UA_NODEID_STRING(1, (char*)(uintptr_t)name); }
static UA_NodeId ns0(UA_UInt32 id) { return UA_NODEID_NUMERIC(0, id); }

static void on_alarm(UA_Server* server, const UA_NodeId* session, void* session_context,
                     const UA_NodeId* node, void* node_context, const UA_NumericRange* range,
                     const UA_DataValue* value) {
  (void)session, (void)session_context, (void)node, (void)node_context, (void)range;
  UA_UInt16 severity = *(UA_UInt16*)value->value.data;
  char text[32];
  snprintf(text, sizeof text, "it is %u", severity);
  UA_LocalizedText message = UA_LOCALIZEDTEXT((char*)(uintptr_t) "en", text);
  UA_String source = UA_STRING((char*)(uintptr_t) "Past");
  UA_DateTime now = UA_DateTime_now();
  UA_NodeId event;
  if (UA_Server_createEvent(server, ns0(UA_NS0ID_BASEEVENTTYPE), &event) != UA_STATUSCODE_GOOD) {
    return;
  }
  const struct {
    const char* name;
    void* value;
    int type;
  } fields[] = {{"Time", &now, UA_TYPES_DATETIME},
                {"Severity", &severity, UA_TYPES_UINT16},
                {"Message", &message, UA_TYPES_LOCALIZEDTEXT},
                {"SourceName", &source, UA_TYPES_STRING}};
  for (size_t i = 0; i < sizeof fields / sizeof *fields; ++i) {
    UA_Server_writeObjectProperty_scalar(server, event,
                                         UA_QUALIFIEDNAME(0, (char*)(uintptr_t)fields[i].name),
                                         fields[i].value, &UA_TYPES[fields[i].type]);
  }
  UA_Server_triggerEvent(server, event, named("Past"), NULL, true);
}

static void add_variable(UA_Server* server, const char* id, const char* name, void* value, int type,
                         UA_Byte access) {
  UA_VariableAttributes attributes = UA_VariableAttributes_default;
  UA_Variant_setScalar(&attributes.value, value, &UA_TYPES[type]);
  attributes.dataType = UA_TYPES[type].typeId;
  attributes.accessLevel = access | UA_ACCESSLEVELMASK_READ | UA_ACCESSLEVELMASK_WRITE;
  attributes.historizing = (access & UA_ACCESSLEVELMASK_HISTORYREAD) != 0;
  UA_Server_addVariableNode(server, named(id), named("Past"), ns0(UA_NS0ID_HASCOMPONENT),
                            UA_QUALIFIEDNAME(1, (char*)(uintptr_t)name),
                            ns0(UA_NS0ID_BASEDATAVARIABLETYPE), attributes, NULL, NULL);
}

void remember(UA_ServerConfig* config) {
  gathering = UA_HistoryDataGathering_Default(1);
  config->historyDatabase = UA_HistoryDatabase_default(gathering);
}

void add_past(UA_Server* server) {
  UA_ObjectAttributes past = UA_ObjectAttributes_default;
  past.eventNotifier = 1;  // SubscribeToEvents
  UA_Server_addObjectNode(server, named("Past"), ns0(UA_NS0ID_OBJECTSFOLDER),
                          ns0(UA_NS0ID_ORGANIZES), UA_QUALIFIEDNAME(1, (char*)(uintptr_t) "Past"),
                          ns0(UA_NS0ID_BASEOBJECTTYPE), past, NULL, NULL);
  UA_Double level = 0;
  add_variable(server, "Past.Level", "Level", &level, UA_TYPES_DOUBLE,
               UA_ACCESSLEVELMASK_HISTORYREAD);
  const UA_HistorizingNodeIdSettings kept = {UA_HistoryDataBackend_Memory(1, 100), 4,
                                             UA_HISTORIZINGUPDATESTRATEGY_VALUESET, 0, NULL};
  const UA_NodeId id = named("Past.Level");
  gathering.registerNodeId(server, gathering.context, &id, kept);
  UA_UInt16 severity = 0;
  add_variable(server, "Past.Alarm", "Alarm", &severity, UA_TYPES_UINT16, 0);
  const UA_ValueCallback callback = {NULL, on_alarm};
  UA_Server_setVariableNode_valueCallback(server, named("Past.Alarm"), callback);
}
