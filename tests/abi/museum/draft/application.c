/* SPDX-License-Identifier: Apache-2.0 */
/* An application of its time: reads, watches, writes and calls by a queue.
 * application PLUGIN_FOLDER SYSTEM_MANIFEST */
#include <backplane/backplane.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const bp_host* host;
static const bp_endpoint_service* endpoints;
static const bp_queue_service* queues;
static bp_queue* queue;
static bp_error error;
static double seen[8];
static unsigned n_seen;

static void check(bp_status status, const char* what) {
  if (status >= 0) return;
  fprintf(stderr, "%s: %.*s\n", what, (int)error.message_len, error.message);
  exit(1);
}

static void expect(int holds, const char* what) {
  if (holds) return;
  fprintf(stderr, "not so: %s\n", what);
  exit(1);
}

/* Waits for one event. Returns the operation that has completed, if it is that. */
static const bp_op* take_event(void) {
  bp_event event;
  expect(queues->poll(host, queue, &event, 1, 10000000000) == 1, "an event comes");
  for (uint32_t i = 0; i < event.n && n_seen < 8; ++i) seen[n_seen++] = event.messages[i].body.as.f;
  queues->release(host, queue, &event, 1);
  return event.kind == BP_EVENT_COMPLETED ? event.op : NULL;
}

static bp_status finish(const bp_op* op, bp_status status) {
  if (status != BP_PENDING) return status;
  while (take_event() != op) continue;
  return op->status;
}

static bp_ref open_address(bp_op* op, bp_str address) {
  check(finish(op, queues->open_address(host, queue, address, NULL, op)), "open");
  return op->out.body.as.u;
}

static bp_str to_str(const char* text) { return (bp_str){text, strlen(text)}; }

int main(int argc, char** argv) {
  expect(argc == 3, "application PLUGIN_FOLDER SYSTEM_MANIFEST");
  const bp_kernel_options options = {
      .struct_size = BP_SIZE_TO(bp_kernel_options, user),
      .flags = BP_KERNEL_CHECKED,
      .plugin_folders = to_str(argv[1]),
      .manifest_folders = to_str(argv[1]),
  };
  bp_kernel* kernel = NULL;
  check(bp_kernel_create(&options, &kernel, &error), "create");
  check(bp_kernel_load(kernel, to_str(argv[2]), NULL, NULL, &error), "load");
  check(bp_kernel_start(kernel, &error), "start");
  host = bp_kernel_host(kernel);
  endpoints = host->get_service(host, BP_S_ENDPOINT);
  queues = host->get_service(host, BP_S_QUEUE);
  int32_t descriptor = -1;
  check(queues->open(host, &queue, &descriptor), "queue");

  bp_op* op = endpoints->op_new(host);
  op->error = &error;
  const bp_ref value = open_address(op, (bp_str)BP_STR("it:value"));
  const bp_ref echo = open_address(op, (bp_str)BP_STR("it:echo"));

  op->verb = BP_V_READ;
  op->target = value;
  check(finish(op, queues->submit(host, queue, op)), "read");
  expect(op->out.body.tag == BP_T_FLOAT && op->out.body.as.f == 20.5, "it reads 20.5");

  bp_op* watch = endpoints->op_new(host);
  watch->verb = BP_V_WATCH;
  watch->target = value;
  watch->credit = 4;
  check(queues->submit(host, queue, watch), "watch");

  const bp_message warmer = {.body = {.tag = BP_T_FLOAT, .aux = 64, .as.f = 21.5},
                             .time_ns = BP_TIME_NONE};
  op->verb = BP_V_WRITE;
  op->in = &warmer;
  check(finish(op, queues->submit(host, queue, op)), "write");
  while (n_seen < 2) take_event();
  expect(seen[0] == 20.5 && seen[1] == 21.5, "the watch brings 20.5, then 21.5");

  const bp_message seven = {.body = {.tag = BP_T_INT, .aux = 64, .as.i = 7},
                            .time_ns = BP_TIME_NONE};
  op->verb = BP_V_CALL;
  op->target = echo;
  op->in = &seven;
  check(finish(op, queues->submit(host, queue, op)), "call");
  expect(op->out.body.tag == BP_T_INT && op->out.body.as.i == 7, "the call answers 7");

  endpoints->cancel(host, watch);
  expect(finish(watch, BP_PENDING) == BP_CANCELLED, "the watch ends as cancelled");
  endpoints->op_free(host, watch);
  endpoints->op_free(host, op);
  endpoints->close(host, value);
  endpoints->close(host, echo);
  check(queues->close(host, queue), "close");
  check(bp_kernel_stop(kernel, &error), "stop");
  bp_kernel_destroy(kernel);
  return 0;
}
