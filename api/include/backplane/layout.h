/* SPDX-License-Identifier: Apache-2.0 */
/* The layout of ABI 1.0 on 64-bit Linux, asserted. A frozen struct's size never changes; of a sized
 * one, the size up to its last member at 1.0 never changes. */
#pragma once

#include "kernel.h"
#include "native_key.h"
#include "service/buffers.h"
#include "service/credentials.h"
#include "service/endpoint.h"
#include "service/executor.h"
#include "service/log.h"
#include "service/metrics.h"
#include "service/queue.h"
#include "service/shared_memory.h"
#include "service/state.h"

#ifdef __cplusplus
#define BP_ASSERT(condition) static_assert(condition, #condition)
#else
#define BP_ASSERT(condition) _Static_assert(condition, #condition)
#endif

#if UINTPTR_MAX == UINT64_MAX
/* frozen */
BP_ASSERT(sizeof(bp_str) == 16);
BP_ASSERT(sizeof(bp_error) == 256);
BP_ASSERT(sizeof(bp_value) == 16);
BP_ASSERT(sizeof(bp_pair) == 32);
BP_ASSERT(sizeof(bp_message) == 64);
BP_ASSERT(sizeof(bp_buffer) == 40);
BP_ASSERT(sizeof(bp_endpoint) == 24);
BP_ASSERT(sizeof(bp_event) == 24);
BP_ASSERT(sizeof(bp_log_record) == 64);
BP_ASSERT(sizeof(bp_diagnostic) == 48);
BP_ASSERT(sizeof(bp_key) == 4104);
/* sized */
BP_ASSERT(BP_SIZE_TO(bp_buffer_ops, release) == 24);
BP_ASSERT(BP_SIZE_TO(bp_sink, next) == 16);
BP_ASSERT(BP_SIZE_TO(bp_op, impl) == 192);
BP_ASSERT(BP_SIZE_TO(bp_endpoint_ops, close) == 56);
BP_ASSERT(BP_SIZE_TO(bp_host, system) == 56);
BP_ASSERT(BP_SIZE_TO(bp_offer, kernel_version) == 32);
BP_ASSERT(BP_SIZE_TO(bp_plugin, cancel) == 112);
BP_ASSERT(BP_SIZE_TO(bp_endpoint_service, verbs) == 120);
BP_ASSERT(BP_SIZE_TO(bp_executor_service, on_loop) == 56);
BP_ASSERT(BP_SIZE_TO(bp_queue_service, close) == 56);
BP_ASSERT(BP_SIZE_TO(bp_log_service, write) == 16);
BP_ASSERT(BP_SIZE_TO(bp_metrics_service, set) == 32);
BP_ASSERT(BP_SIZE_TO(bp_buffers_service, allocate) == 16);
BP_ASSERT(BP_SIZE_TO(bp_credentials_service, get) == 16);
BP_ASSERT(BP_SIZE_TO(bp_shared_memory_service, subscriber_descriptor) == 232);
BP_ASSERT(BP_SIZE_TO(bp_state_service, report) == 16);
BP_ASSERT(BP_SIZE_TO(bp_kernel_options, user) == 64);
BP_ASSERT(BP_SIZE_TO(bp_instance_info, buffers) == 112);
BP_ASSERT(BP_SIZE_TO(bp_metric_info, value) == 64);
BP_ASSERT(BP_SIZE_TO(bp_plugin_info, manifest) == 104);
/* offsets that hot paths and other languages rely on */
BP_ASSERT(offsetof(bp_op, target) == 24);
BP_ASSERT(offsetof(bp_op, self) == 32);
BP_ASSERT(offsetof(bp_op, in) == 40);
BP_ASSERT(offsetof(bp_op, out) == 48);
BP_ASSERT(offsetof(bp_op, done) == 144);
BP_ASSERT(offsetof(bp_op, impl) == 160);
BP_ASSERT(offsetof(bp_message, owner) == 32);
BP_ASSERT(offsetof(bp_message, time_ns) == 40);
#endif
