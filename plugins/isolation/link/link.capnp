# SPDX-License-Identifier: Apache-2.0
# What a proxy in the embedding process and the host of one isolated plugin tell each other. Either
# side may submit an operation on what the other has shown it. Both sides come from one build; the
# schema may still only grow, so that a mixed pair is refused in words.
@0xb8f2c9a4d1e07365;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("backplane::isolation::wire");

struct Value {
  tag @0 :UInt8;              # BP_T_*; which of the union belongs to it is checked
  flags @1 :UInt8;
  aux @2 :UInt16;
  union {
    nothing @3 :Void;         # NULL
    bits @4 :UInt64;          # BOOL INT UINT FLOAT TIME
    bytes @5 :Data;           # STRING BYTES ENCODED, and ARRAY in the machine's byte order
    list @6 :List(Value);     # LIST, and the two parts of MATRIX and TYPED
    map @7 :List(Pair);       # MAP
    reference :group {        # REF: the sender shows an endpoint under this number
      number @8 :UInt64;
      verbs @9 :UInt32;       # what may be done with it
    }
    descriptor @10 :UInt32;   # FD: the place among the descriptors of the frame
  }
}

struct Pair {
  key @0 :Value;
  value @1 :Value;
}

struct Message {
  body @0 :Value;
  headers @1 :List(Pair);
  flags @2 :UInt32;
  time @3 :Int64;
  seq @4 :UInt64;
}

# An operation has a number of its submitter's, which is never used again. What it opens, or shows
# as a reference, goes by a number too.
struct Submit {
  op @0 :UInt64;
  target @1 :UInt64;
  opened @2 :Bool;            # target is the number of an Open, else one of a reference
  verb @3 :UInt16;
  flags @4 :UInt16;
  credit @5 :UInt32;
  deadline @6 :Int64;         # monotonic: both sides have one clock
  message @7 :Message;        # absent: none
}

struct Open {
  op @0 :UInt64;
  address @1 :Data;           # to the host: a path of the plugin; from it: an address
  options @2 :Message;        # absent: none
}

struct Complete {
  op @0 :UInt64;
  status @1 :Int32;
  message @2 :Message;        # absent: nothing
  native @3 :Int32;
  errorFlags @4 :UInt32;
  domain @5 :Data;
  text @6 :Data;
}

struct Deliver {
  op @0 :UInt64;
  messages @1 :List(Message);
}

struct Credit {
  op @0 :UInt64;
  n @1 :UInt32;
}

struct Acknowledge {
  op @0 :UInt64;
  seq @1 :UInt64;
  status @2 :Int32;
}

struct Release {
  target @0 :UInt64;
  opened @1 :Bool;
}

# The first frame to a host: what it is to be. It answers when the plugin's create has returned.
struct Begin {
  op @0 :UInt64;
  version @1 :Data;           # of this release
  instance @2 :Data;
  system @3 :Data;
  setup @4 :Value;            # a MAP: what the kernel gave the proxy
  logLevel @5 :UInt32;
  flags @6 :UInt32;           # BP_KERNEL_*
}

struct Step {
  op @0 :UInt64;
  step @1 :UInt8;             # 0 start, 1 drain, 2 stop
  timeout @2 :Int64;          # ns
}

struct Log {
  level @0 :UInt32;
  message @1 :Data;
  fields @2 :List(Pair);
}

struct State {
  state @0 :UInt32;
  detail @1 :Data;
}

struct Metric {
  id @0 :UInt64;
  kind @1 :UInt32;
  name @2 :Data;
  labels @3 :List(Pair);
}

struct MetricValue {
  id @0 :UInt64;
  value @1 :Int64;            # the present one, whatever the kind
}

struct Credential {
  op @0 :UInt64;
  name @1 :Data;
  field @2 :Data;
}

# A segment or a channel by its name; the answer is its descriptor.
struct Shared {
  op @0 :UInt64;
  key @1 :Data;
  channel @2 :Bool;           # as bp_channel_options, else as bp_memory_options
  which @3 :UInt32;
  size @4 :UInt64;            # of the data, or of a sample
  permissions @5 :UInt32;
  flags @6 :UInt32;
  capacity @7 :UInt32;        # of a channel, like what follows
  held @8 :UInt32;
  publishers @9 :UInt32;
  subscribers @10 :UInt32;
}

struct Frame {
  union {
    submit @0 :Submit;
    complete @1 :Complete;
    deliver @2 :Deliver;
    credit @3 :Credit;
    acknowledge @4 :Acknowledge;
    cancel @5 :UInt64;
    open @6 :Open;
    release @7 :Release;
    # to the host
    begin @8 :Begin;
    step @9 :Step;
    # from the host
    log @10 :Log;
    state @11 :State;
    metric @12 :Metric;
    metricValues @13 :List(MetricValue);
    credential @14 :Credential;
    # to either side: the number of an operation, which its loop answers at once
    ping @15 :UInt64;
    # from the host
    shared @16 :Shared;
  }
}
