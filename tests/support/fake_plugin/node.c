// SPDX-License-Identifier: Apache-2.0
// Nodes as OPC UA has them. `node/Profile` is an array of Double that is read, written, and read
// and written in part; it keeps status and both timestamps. `node/Mix` is a method: (Double a,
// Int32 b) -> (Double product, Int32 doubled, String text).
#include "mechanisms.h"
#include "work.h"

#include <stdlib.h>

enum {
  kBadTypeMismatch = (int32_t)0x80740000u,
  kBadIndexRangeNoData = (int32_t)0x80370000u,
  kBadArgumentsMissing = (int32_t)0x80760000u
};

struct Node {
  bp_message value;  // guarded by Fake.mutex
};

static bool parse_range(const bp_value* text, uint32_t* first, uint32_t* last) {
  if (text->tag != BP_T_STRING || text->len > 20) return false;
  char copy[21];
  memcpy(copy, text->as.s, text->len);
  copy[text->len] = '\0';
  char* at = copy;
  *first = *last = (uint32_t)strtoul(at, &at, 10);
  if (*at == ':') *last = (uint32_t)strtoul(at + 1, &at, 10);
  return *at == '\0' && at != copy && *first <= *last;
}

// The part of an array of doubles that a header names; the whole without it. False: there is no
// such part.
static bool part_of(const bp_message* in, bp_value* array) {
  const bp_value* range = find_header(in, BP_H_INDEX_RANGE);
  uint32_t first = 0;
  uint32_t last = 0;
  if (range == NULL) return true;
  if (!parse_range(range, &first, &last) || last >= array->len) return false;
  *array = value_doubles((const double*)array->as.p + first, last - first + 1);
  return true;
}

static bp_status read_value(End* at, bp_op* op) {
  Node* n = at->object;
  pthread_mutex_lock(&at->f->mutex);
  bp_message part = n->value;
  const bool found = part_of(op->in, &part.body);
  const bp_status status = found ? answer(op, &part) : BP_OUT_OF_RANGE;
  pthread_mutex_unlock(&at->f->mutex);
  if (!found) fail(op, BP_OUT_OF_RANGE, kBadIndexRangeNoData, "opcua", "the array is shorter");
  return status;
}

// With the mutex held: a new value whose array has `in`'s elements at the range, and `in`'s status
// and times.
static bp_status merge_locked(Node* n, bp_op* op) {
  bp_message merged = *op->in;
  bp_value target = n->value.body;
  double elements[64];
  if (find_header(op->in, BP_H_INDEX_RANGE) != NULL) {
    if (!part_of(op->in, &target) || target.len != op->in->body.len ||
        n->value.body.len > sizeof elements / sizeof elements[0]) {
      return BP_OUT_OF_RANGE;
    }
    const size_t before = (size_t)((const double*)target.as.p - (const double*)n->value.body.as.p);
    memcpy(elements, n->value.body.as.p, n->value.body.len * sizeof *elements);
    memcpy(elements + before, op->in->body.as.p, target.len * sizeof *elements);
    merged.body = value_doubles(elements, n->value.body.len);
  }
  bp_message kept;
  if (!copy_message(&merged, &kept)) return BP_RESOURCE_EXHAUSTED;
  drop_message(&n->value);
  n->value = kept;
  return BP_OK;
}

static bp_status write_value(End* at, bp_op* op) {
  if (op->in == NULL || op->in->body.tag != BP_T_ARRAY ||
      op->in->body.aux != BP_TYPE(BP_T_FLOAT, 64)) {
    return fail(op, BP_INVALID_ARGUMENT, kBadTypeMismatch, "opcua", "an array of Double is needed");
  }
  pthread_mutex_lock(&at->f->mutex);
  const bp_status status = merge_locked(at->object, op);
  pthread_mutex_unlock(&at->f->mutex);
  if (status == BP_OUT_OF_RANGE) {
    return fail(op, status, kBadIndexRangeNoData, "opcua", "the array is shorter");
  }
  return status;
}

static bp_status profile_submit(bp_op* op) {
  switch (op->verb) {
    case BP_V_READ:
      return read_value(op->self, op);
    case BP_V_WRITE:
      return write_value(op->self, op);
    default:
      return fail(op, BP_UNIMPLEMENTED, 0, "fake", "a variable is read and written");
  }
}

static bp_status batched_read(Work* self) {
  return work_cancelled(self) ? BP_CANCELLED : read_value(self->op->self, self->op);
}

// One request of the protocol for many reads: all of them complete later, none inline.
static uint32_t profile_submit_n(bp_op* const* ops, uint32_t n) {
  uint32_t taken = 0;
  for (; taken < n && ops[taken]->verb == BP_V_READ; ++taken) {
    End* at = ops[taken]->self;
    if (work_begin(at->f, ops[taken], at->object, batched_read, NULL, NULL) != BP_PENDING) break;
  }
  return taken;
}

// Wrong arguments fail as a whole, and say for each argument what is wrong with it: a status each,
// as the body.
static bp_status refuse_arguments(bp_op* op, bool a_is_good, bool b_is_good) {
  const bp_value results[] = {
      value_uint(a_is_good ? 0u : (uint32_t)kBadTypeMismatch, BP_UINT_STATUS),
      value_uint(b_is_good ? 0u : (uint32_t)kBadTypeMismatch, BP_UINT_STATUS)};
  const bp_message details = message_of(value_list(results, 2, BP_TYPE(BP_T_UINT, BP_UINT_STATUS)));
  if (answer(op, &details) != BP_OK) return BP_RESOURCE_EXHAUSTED;
  return fail(op, BP_INVALID_ARGUMENT, kBadTypeMismatch, "opcua", "Double and Int32 are needed");
}

static bp_status mix_submit(bp_op* op) {
  if (op->in == NULL || op->in->body.tag != BP_T_LIST || op->in->body.aux != BP_LIST_ARGUMENTS ||
      op->in->body.len != 2) {
    return fail(op, BP_INVALID_ARGUMENT, kBadArgumentsMissing, "opcua", "two arguments are needed");
  }
  const bp_value a = op->in->body.as.list[0];
  const bp_value b = op->in->body.as.list[1];
  const bool a_is_good = a.tag == BP_T_FLOAT && a.aux == 64;
  const bool b_is_good = b.tag == BP_T_INT && b.aux == 32;
  if (!a_is_good || !b_is_good) return refuse_arguments(op, a_is_good, b_is_good);
  const bp_value outputs[] = {value_float(a.as.f * (double)b.as.i, 64), value_int(b.as.i * 2, 32),
                              value_text("mixed")};
  const bp_message message = message_of(value_list(outputs, 3, BP_LIST_ARGUMENTS));
  return answer(op, &message);
}

static const bp_endpoint_ops kProfileOps = {BP_SIZE_TO(bp_endpoint_ops, close),
                                            0,
                                            profile_submit,
                                            profile_submit_n,
                                            work_cancel,
                                            work_add_credit,
                                            work_ack,
                                            end_close};
static const bp_endpoint_ops kMixOps = FAKE_OPS(mix_submit);

static Node* profile(Fake* f) {
  pthread_mutex_lock(&f->mutex);
  if (f->nodes == NULL) {
    static const double kInitial[] = {1.0, 2.0, 3.0, 4.0};
    const bp_message initial = message_of(value_doubles(kInitial, 4));
    Node* n = calloc(1, sizeof *n);
    if (n != NULL && copy_message(&initial, &n->value)) {
      f->nodes = n;
    } else {
      free(n);
    }
  }
  Node* n = f->nodes;
  pthread_mutex_unlock(&f->mutex);
  return n;
}

bp_status node_open(Fake* f, bp_str rest, bp_endpoint* out) {
  if (str_is(rest, "/Mix")) return end_open(f, &kMixOps, NULL, BP_VERB_BIT(BP_V_CALL), out);
  if (!str_is(rest, "/Profile")) return BP_NOT_FOUND;
  Node* n = profile(f);
  if (n == NULL) return BP_RESOURCE_EXHAUSTED;
  return end_open(f, &kProfileOps, n, BP_VERB_BIT(BP_V_READ) | BP_VERB_BIT(BP_V_WRITE), out);
}

void node_free_all(Fake* f) {
  if (f->nodes != NULL) drop_message(&f->nodes->value);
  free(f->nodes);
}
