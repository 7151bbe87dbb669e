// SPDX-License-Identifier: Apache-2.0
// What the paths of the fake plugin open. Each takes the rest of the path behind its own word.
#pragma once

#include "fake.h"

bp_status chat_open(Fake* f, bp_str rest, bp_endpoint* out);  // chat: a bidirectional stream
bp_status node_open(Fake* f, bp_str rest, bp_endpoint* out);  // node: values with status, methods
bp_status references_open(Fake* f, bp_str rest, bp_endpoint* out);  // folder: a long browse
bp_status bus_open(Fake* f, bp_str rest, bp_endpoint* out);  // bus: structs, variants, descriptors
bp_status session_open(Fake* f, bp_str rest, bp_endpoint* out);  // session: asking back
bp_status model_open(Fake* f, bp_str rest, bp_endpoint* out);    // model: rows on demand
bp_status serve_open(Fake* f, bp_str rest, bp_endpoint* out);    // serve: this plugin as a server
bp_status wire_open(Fake* f, bp_str rest,
                    bp_endpoint* out);  // wire: a foreign client of what is served
bp_status inbox_open(Fake* f, bp_str rest, bp_endpoint* out);  // inbox: messages kept until ack
bp_status gate_open(Fake* f, bp_str rest,
                    bp_endpoint* out);  // gate: writes that wait for their ack

void chat_free_all(Fake* f);
void node_free_all(Fake* f);
void model_free_all(Fake* f);
void served_free_all(Fake* f);
void inbox_free_all(Fake* f);
void gate_free_all(Fake* f);

// A served handler for a path, with one inbound operation more, until served_leave; NULL: nobody
// serves it.
Served* served_enter(Fake* f, bp_str path, bp_ref* handler);
void served_leave(Fake* f, Served* resource);
