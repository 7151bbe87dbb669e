// SPDX-License-Identifier: Apache-2.0
// Everything of the ABI that has a layout, reachable from one exported function, for libabigail.
#include <backplane/backplane.h>

struct bp_everything {
  const bp_offer* offer;
  const bp_plugin* plugin;
  const bp_host* host;
  const bp_endpoint* endpoint;
  const bp_op* operation;
  const bp_sink* sink;
  const bp_message* message;
  const bp_pair* pair;
  const bp_buffer* buffer;
  const bp_buffer_ops* buffer_ops;
  const bp_error* error;
  const bp_buffers_service* buffers;
  const bp_credentials_service* credentials;
  const bp_endpoint_service* endpoints;
  const bp_executor_service* executor;
  const bp_log_service* log;
  const bp_metrics_service* metrics;
  const bp_queue_service* queue;
  const bp_shared_memory_service* shared_memory;
  const bp_state_service* state;
  const bp_kernel_options* options;
  const bp_key* key;
  const bp_mutex* mutex;
  const bp_condition* condition;
  const bp_semaphore_options* semaphore_options;
  const bp_memory_options* memory_options;
  const bp_memory_info* memory_info;
  const bp_channel_options* channel_options;
  const bp_channel_info* channel_info;
  const bp_sample* sample;
  const bp_subscriber_options* subscriber_options;
  const bp_responder_options* responder_options;
  const bp_request* request;
  const bp_requester_options* requester_options;
  const bp_response* response;
  const bp_log_record* record;
  const bp_diagnostic* diagnostic;
  const bp_instance_info* instance_info;
  const bp_metric_info* metric_info;
  const bp_plugin_info* plugin_info;
};

BP_EXPORT void bp_abi_probe(const struct bp_everything* everything);
void bp_abi_probe(const struct bp_everything* everything) { (void)everything; }

bp_status bp_plugin_entry_1(const bp_offer* offer, const bp_plugin** out, bp_error* error) {
  (void)offer;
  (void)out;
  (void)error;
  return BP_UNIMPLEMENTED;
}
