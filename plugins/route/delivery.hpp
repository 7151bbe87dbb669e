// SPDX-License-Identifier: Apache-2.0
// Delivery: one message on its way to one destination, from the first step until it is settled
// there.
#pragma once

#include "accounting.hpp"
#include "item.hpp"
#include "targets.hpp"
#include "transform.hpp"
#include <backplane/sdk/unique_op.hpp>

namespace backplane::route {

class Destination;

/// Its memory is used again; the operation is freed with it, when nothing pends.
struct Delivery {
  enum class State : uint8_t {
    kPreparing,  // in its steps: a codec has it
    kReady,      // to be sent
    kOpening,    // its target is opened
    kSent,
    kDone,     // acknowledged; waits for older ones
    kRetry,    // failed for the time being
    kBurying,  // on its way to the dead letter's
    kSettled,  // counted; its place is free when older ones are settled
  };

  Delivery(const Host& host, Destination& its_destination, void (*done)(bp_op*))
      : destination(its_destination), op(host, this, done) {}

  Destination& destination;
  Item* item = nullptr;
  Target* target = nullptr;  // null: the destination has one address
  State state = State::kSettled;

  UniqueOp op;           // the write or call, before it an open, later the dead letter's write
  bp_message message{};  // what op sends
  std::vector<bp_pair> headers;

  ValueView value;  // after the steps so far; borrowed from item or from what follows
  bool keeps_body = true;
  std::string_view content_type;
  TextStore text;
  OwnedMessage decoded;
  OwnedMessage encoded;

  Reason reason = Reason::kInvalid;  // why it is buried
};

}  // namespace backplane::route
