// SPDX-License-Identifier: Apache-2.0
// A D-Bus object. `bus/Exchange` takes ((si), v, h): writes into the descriptor, and answers ((si),
// v, h, a{sv}) with a descriptor of its own. `bus/Fail` answers an error with name and arguments.
// `bus/Kept` keeps what is written, descriptors included, until it is read.
#define _GNU_SOURCE  // memfd_create
#include "mechanisms.h"
#include "work.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

static bool write_all(int fd, const char* text) {
  const size_t len = strlen(text);
  return write(fd, text, len) == (ssize_t)len;
}

static bool arguments_are_good(const bp_message* in) {
  if (in == NULL || in->body.tag != BP_T_LIST || in->body.aux != BP_LIST_ARGUMENTS) return false;
  const bp_value* arguments = in->body.as.list;
  if (in->body.len != 3) return false;
  return arguments[0].tag == BP_T_LIST && arguments[0].aux == BP_LIST_STRUCT &&
         arguments[0].len == 2 && arguments[0].as.list[0].tag == BP_T_STRING &&
         arguments[0].as.list[1].tag == BP_T_INT && arguments[0].as.list[1].aux == 32 &&
         (arguments[1].flags & BP_VALUE_VARIANT) != 0 && arguments[2].tag == BP_T_FD;
}

static bp_status exchange(bp_op* op) {
  if (!arguments_are_good(op->in)) {
    return fail(op, BP_INVALID_ARGUMENT, 0, "dbus", "the signature is ((si)vh)");
  }
  const bp_value* arguments = op->in->body.as.list;
  if (!write_all((int)arguments[2].as.i, "written by the bus")) {
    return fail(op, BP_UNAVAILABLE, errno, "errno", "cannot write into the descriptor");
  }
  const int file = memfd_create("answer", MFD_CLOEXEC);
  if (file < 0 || !write_all(file, "read by the caller")) {
    if (file >= 0) close(file);
    return fail(op, BP_RESOURCE_EXHAUSTED, errno, "errno", "cannot make a descriptor");
  }
  const bp_value* pair = arguments[0].as.list;
  const bp_value structure[] = {pair[0], value_int(pair[1].as.i + 1, 32)};
  // An empty dictionary does not show the type of its entries: it is said.
  const bp_value empty[] = {value_text("dbus:a{sv}"), value_map(NULL, 0)};
  const bp_value results[] = {value_list(structure, 2, BP_LIST_STRUCT), arguments[1],
                              value_fd(file), value_typed(empty)};
  const bp_pair headers[] = {header(BP_H_NATIVE_TYPE, value_text("(si)vha{sv}"))};
  bp_message message = message_of(value_list(results, 4, BP_LIST_ARGUMENTS));
  message.headers = headers;
  message.n_headers = 1;
  const bp_status status = answer(op, &message);  // duplicates the descriptor
  close(file);
  return status;
}

static bp_status fail_by_name(bp_op* op) {
  const bp_value arguments[] = {value_text("no such lamp"), value_int(7, 32)};
  const bp_pair headers[] = {header(BP_H_ERROR_NAME, value_text("org.example.Error.NoLamp"))};
  bp_message details = message_of(value_list(arguments, 2, BP_LIST_ARGUMENTS));
  details.headers = headers;
  details.n_headers = 1;
  if (answer(op, &details) != BP_OK) return BP_RESOURCE_EXHAUSTED;
  return fail(op, BP_NOT_FOUND, 0, "dbus", "no such lamp");
}

static bp_status keep(End* at, bp_op* op) {
  bp_message copied;
  if (op->in == NULL || !copy_message(op->in, &copied)) {
    return fail(op, BP_INVALID_ARGUMENT, 0, "fake", "cannot be kept");
  }
  pthread_mutex_lock(&at->f->mutex);
  drop_message(&at->f->kept);
  at->f->kept = copied;
  pthread_mutex_unlock(&at->f->mutex);
  return BP_OK;
}

static bp_status give(End* at, bp_op* op) {
  pthread_mutex_lock(&at->f->mutex);
  const bp_status status = answer(op, &at->f->kept);
  pthread_mutex_unlock(&at->f->mutex);
  return status;
}

static bp_status kept_submit(bp_op* op) {
  switch (op->verb) {
    case BP_V_WRITE:
      return keep(op->self, op);
    case BP_V_READ:
      return give(op->self, op);
    default:
      return fail(op, BP_UNIMPLEMENTED, 0, "fake", "read and written");
  }
}

static bp_status exchange_submit(bp_op* op) {
  if (op->verb == BP_V_CALL) return exchange(op);
  return fail(op, BP_UNIMPLEMENTED, 0, "fake", "a method is called");
}

static bp_status fail_submit(bp_op* op) {
  if (op->verb == BP_V_CALL) return fail_by_name(op);
  return fail(op, BP_UNIMPLEMENTED, 0, "fake", "a method is called");
}

static const bp_endpoint_ops kExchangeOps = FAKE_OPS(exchange_submit);
static const bp_endpoint_ops kFailOps = FAKE_OPS(fail_submit);
static const bp_endpoint_ops kKeptOps = FAKE_OPS(kept_submit);

bp_status bus_open(Fake* f, bp_str rest, bp_endpoint* out) {
  const uint32_t calls = BP_VERB_BIT(BP_V_CALL);
  if (str_is(rest, "/Exchange")) return end_open(f, &kExchangeOps, NULL, calls, out);
  if (str_is(rest, "/Fail")) return end_open(f, &kFailOps, NULL, calls, out);
  if (!str_is(rest, "/Kept")) return BP_NOT_FOUND;
  return end_open(f, &kKeptOps, NULL, BP_VERB_BIT(BP_V_READ) | BP_VERB_BIT(BP_V_WRITE), out);
}
