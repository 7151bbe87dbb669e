// SPDX-License-Identifier: Apache-2.0
// The layout of ABI 1.0 on 64-bit machines, typed out a second time: offset and size of every
// member of every struct. A line may be added at the end of a sized struct with a new minor; no
// line ever changes.
#include "backplane/backplane.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

static_assert(sizeof(void*) == 8, "the goldens are of the 64-bit layout");

namespace backplane::test {
namespace {

struct Member {
  const char* structure;
  const char* name;
  std::size_t offset;  // as compiled
  std::size_t size;
  std::size_t golden_offset;  // as typed
  std::size_t golden_size;
};

#define MEMBER(structure, member, golden_offset, golden_size)                                \
  Member {                                                                                   \
#structure, #member, offsetof(structure, member), sizeof(((structure*)nullptr)->member), \
        golden_offset, golden_size                                                           \
  }

// NOLINTBEGIN(bugprone-sizeof-expression): the sizes of pointers are what is asked for
const std::vector<Member> kMembers = {
    // base.h
    MEMBER(bp_str, ptr, 0, 8),
    MEMBER(bp_str, len, 8, 8),
    MEMBER(bp_error, reserved0, 0, 4),
    MEMBER(bp_error, code, 4, 4),
    MEMBER(bp_error, native, 8, 4),
    MEMBER(bp_error, flags, 12, 4),
    MEMBER(bp_error, domain, 16, 16),
    MEMBER(bp_error, message_len, 32, 4),
    MEMBER(bp_error, reserved1, 36, 4),
    MEMBER(bp_error, message, 40, 216),
    // value.h
    MEMBER(bp_value, tag, 0, 1),
    MEMBER(bp_value, flags, 1, 1),
    MEMBER(bp_value, aux, 2, 2),
    MEMBER(bp_value, len, 4, 4),
    MEMBER(bp_value, as, 8, 8),
    MEMBER(bp_pair, key, 0, 16),
    MEMBER(bp_pair, val, 16, 16),
    // message.h
    MEMBER(bp_buffer_ops, struct_size, 0, 4),
    MEMBER(bp_buffer_ops, kind, 4, 4),
    MEMBER(bp_buffer_ops, retain, 8, 8),
    MEMBER(bp_buffer_ops, release, 16, 8),
    MEMBER(bp_buffer, ops, 0, 8),
    MEMBER(bp_buffer, data, 8, 8),
    MEMBER(bp_buffer, len, 16, 8),
    MEMBER(bp_buffer, cap, 24, 8),
    MEMBER(bp_buffer, region, 32, 8),
    MEMBER(bp_message, body, 0, 16),
    MEMBER(bp_message, headers, 16, 8),
    MEMBER(bp_message, n_headers, 24, 4),
    MEMBER(bp_message, flags, 28, 4),
    MEMBER(bp_message, owner, 32, 8),
    MEMBER(bp_message, time_ns, 40, 8),
    MEMBER(bp_message, seq, 48, 8),
    MEMBER(bp_message, reserved, 56, 8),
    // operation.h
    MEMBER(bp_sink, struct_size, 0, 4),
    MEMBER(bp_sink, flags, 4, 4),
    MEMBER(bp_sink, next, 8, 8),
    MEMBER(bp_op, struct_size, 0, 4),
    MEMBER(bp_op, verb, 4, 2),
    MEMBER(bp_op, flags, 6, 2),
    MEMBER(bp_op, status, 8, 4),
    MEMBER(bp_op, credit, 12, 4),
    MEMBER(bp_op, deadline_ns, 16, 8),
    MEMBER(bp_op, target, 24, 8),
    MEMBER(bp_op, self, 32, 8),
    MEMBER(bp_op, in, 40, 8),
    MEMBER(bp_op, out, 48, 64),
    MEMBER(bp_op, scratch, 112, 8),
    MEMBER(bp_op, scratch_len, 120, 8),
    MEMBER(bp_op, error, 128, 8),
    MEMBER(bp_op, sink, 136, 8),
    MEMBER(bp_op, done, 144, 8),
    MEMBER(bp_op, user, 152, 8),
    MEMBER(bp_op, impl, 160, 32),
    // endpoint.h
    MEMBER(bp_endpoint_ops, struct_size, 0, 4),
    MEMBER(bp_endpoint_ops, reserved, 4, 4),
    MEMBER(bp_endpoint_ops, submit, 8, 8),
    MEMBER(bp_endpoint_ops, submit_n, 16, 8),
    MEMBER(bp_endpoint_ops, cancel, 24, 8),
    MEMBER(bp_endpoint_ops, credit, 32, 8),
    MEMBER(bp_endpoint_ops, ack, 40, 8),
    MEMBER(bp_endpoint_ops, close, 48, 8),
    MEMBER(bp_endpoint, ops, 0, 8),
    MEMBER(bp_endpoint, self, 8, 8),
    MEMBER(bp_endpoint, verbs, 16, 4),
    MEMBER(bp_endpoint, flags, 20, 4),
    // host.h
    MEMBER(bp_host, struct_size, 0, 4),
    MEMBER(bp_host, abi_minor, 4, 4),
    MEMBER(bp_host, log_level, 8, 8),
    MEMBER(bp_host, instance, 16, 16),
    MEMBER(bp_host, get_service, 32, 8),
    MEMBER(bp_host, system, 40, 16),
    // plugin.h
    MEMBER(bp_offer, struct_size, 0, 4),
    MEMBER(bp_offer, minor_min, 4, 2),
    MEMBER(bp_offer, minor_max, 6, 2),
    MEMBER(bp_offer, flags, 8, 4),
    MEMBER(bp_offer, reserved, 12, 4),
    MEMBER(bp_offer, kernel_version, 16, 16),
    MEMBER(bp_plugin, struct_size, 0, 4),
    MEMBER(bp_plugin, minor_built, 4, 2),
    MEMBER(bp_plugin, minor_needed, 6, 2),
    MEMBER(bp_plugin, id, 8, 16),
    MEMBER(bp_plugin, version, 24, 16),
    MEMBER(bp_plugin, flags, 40, 8),
    MEMBER(bp_plugin, needs, 48, 8),
    MEMBER(bp_plugin, create, 56, 8),
    MEMBER(bp_plugin, start, 64, 8),
    MEMBER(bp_plugin, drain, 72, 8),
    MEMBER(bp_plugin, stop, 80, 8),
    MEMBER(bp_plugin, destroy, 88, 8),
    MEMBER(bp_plugin, open, 96, 8),
    MEMBER(bp_plugin, cancel, 104, 8),
    // service/buffers.h
    MEMBER(bp_buffers_service, struct_size, 0, 4),
    MEMBER(bp_buffers_service, reserved, 4, 4),
    MEMBER(bp_buffers_service, allocate, 8, 8),
    // service/credentials.h
    MEMBER(bp_credentials_service, struct_size, 0, 4),
    MEMBER(bp_credentials_service, reserved, 4, 4),
    MEMBER(bp_credentials_service, get, 8, 8),
    // service/endpoint.h
    MEMBER(bp_endpoint_service, struct_size, 0, 4),
    MEMBER(bp_endpoint_service, reserved, 4, 4),
    MEMBER(bp_endpoint_service, op_new, 8, 8),
    MEMBER(bp_endpoint_service, op_free, 16, 8),
    MEMBER(bp_endpoint_service, open, 24, 8),
    MEMBER(bp_endpoint_service, adopt, 32, 8),
    MEMBER(bp_endpoint_service, retain, 40, 8),
    MEMBER(bp_endpoint_service, close, 48, 8),
    MEMBER(bp_endpoint_service, submit, 56, 8),
    MEMBER(bp_endpoint_service, submit_n, 64, 8),
    MEMBER(bp_endpoint_service, cancel, 72, 8),
    MEMBER(bp_endpoint_service, credit, 80, 8),
    MEMBER(bp_endpoint_service, ack, 88, 8),
    MEMBER(bp_endpoint_service, complete, 96, 8),
    MEMBER(bp_endpoint_service, deliver, 104, 8),
    MEMBER(bp_endpoint_service, verbs, 112, 8),
    // service/executor.h
    MEMBER(bp_executor_service, struct_size, 0, 4),
    MEMBER(bp_executor_service, reserved, 4, 4),
    MEMBER(bp_executor_service, post, 8, 8),
    MEMBER(bp_executor_service, at, 16, 8),
    MEMBER(bp_executor_service, watch_fd, 24, 8),
    MEMBER(bp_executor_service, change_fd, 32, 8),
    MEMBER(bp_executor_service, remove, 40, 8),
    MEMBER(bp_executor_service, on_loop, 48, 8),
    // service/log.h
    MEMBER(bp_log_service, struct_size, 0, 4),
    MEMBER(bp_log_service, reserved, 4, 4),
    MEMBER(bp_log_service, write, 8, 8),
    // service/metrics.h
    MEMBER(bp_metrics_service, struct_size, 0, 4),
    MEMBER(bp_metrics_service, reserved, 4, 4),
    MEMBER(bp_metrics_service, define, 8, 8),
    MEMBER(bp_metrics_service, add, 16, 8),
    MEMBER(bp_metrics_service, set, 24, 8),
    // service/queue.h
    MEMBER(bp_event, op, 0, 8),
    MEMBER(bp_event, messages, 8, 8),
    MEMBER(bp_event, n, 16, 4),
    MEMBER(bp_event, kind, 20, 4),
    MEMBER(bp_queue_service, struct_size, 0, 4),
    MEMBER(bp_queue_service, reserved, 4, 4),
    MEMBER(bp_queue_service, open, 8, 8),
    MEMBER(bp_queue_service, submit, 16, 8),
    MEMBER(bp_queue_service, open_address, 24, 8),
    MEMBER(bp_queue_service, poll, 32, 8),
    MEMBER(bp_queue_service, release, 40, 8),
    MEMBER(bp_queue_service, close, 48, 8),
    // service/shared_memory.h
    MEMBER(bp_shared_memory_service, struct_size, 0, 4),
    MEMBER(bp_shared_memory_service, reserved, 4, 4),
    MEMBER(bp_shared_memory_service, open_memory, 8, 8),
    MEMBER(bp_shared_memory_service, open_channel, 16, 8),
    MEMBER(bp_shared_memory_service, share_memory, 24, 8),
    MEMBER(bp_shared_memory_service, share_channel, 32, 8),
    MEMBER(bp_shared_memory_service, memory_adopt, 40, 8),
    MEMBER(bp_shared_memory_service, memory_close, 48, 8),
    MEMBER(bp_shared_memory_service, memory_data, 56, 8),
    MEMBER(bp_shared_memory_service, memory_size, 64, 8),
    MEMBER(bp_shared_memory_service, memory_grow, 72, 8),
    MEMBER(bp_shared_memory_service, memory_refresh, 80, 8),
    MEMBER(bp_shared_memory_service, memory_mutex, 88, 8),
    MEMBER(bp_shared_memory_service, memory_descriptor, 96, 8),
    MEMBER(bp_shared_memory_service, mutex_lock, 104, 8),
    MEMBER(bp_shared_memory_service, mutex_repaired, 112, 8),
    MEMBER(bp_shared_memory_service, mutex_unlock, 120, 8),
    MEMBER(bp_shared_memory_service, channel_adopt, 128, 8),
    MEMBER(bp_shared_memory_service, channel_close, 136, 8),
    MEMBER(bp_shared_memory_service, channel_descriptor, 144, 8),
    MEMBER(bp_shared_memory_service, channel_get_info, 152, 8),
    MEMBER(bp_shared_memory_service, publisher_open, 160, 8),
    MEMBER(bp_shared_memory_service, publisher_close, 168, 8),
    MEMBER(bp_shared_memory_service, publisher_loan, 176, 8),
    MEMBER(bp_shared_memory_service, publisher_publish, 184, 8),
    MEMBER(bp_shared_memory_service, subscriber_open, 192, 8),
    MEMBER(bp_shared_memory_service, subscriber_close, 200, 8),
    MEMBER(bp_shared_memory_service, subscriber_receive, 208, 8),
    MEMBER(bp_shared_memory_service, subscriber_release, 216, 8),
    MEMBER(bp_shared_memory_service, subscriber_descriptor, 224, 8),
    // service/state.h
    MEMBER(bp_state_service, struct_size, 0, 4),
    MEMBER(bp_state_service, reserved, 4, 4),
    MEMBER(bp_state_service, report, 8, 8),
    // native_key.h
    MEMBER(bp_key, type, 0, 4),
    MEMBER(bp_key, length, 4, 4),
    MEMBER(bp_key, name, 8, 4096),
    // mutex.h
    MEMBER(bp_mutex, opaque, 0, 64),
    MEMBER(bp_condition, opaque, 0, 8),
    // shared_memory.h
    MEMBER(bp_memory_options, struct_size, 0, 4),
    MEMBER(bp_memory_options, which, 4, 4),
    MEMBER(bp_memory_options, size, 8, 8),
    MEMBER(bp_memory_options, permissions, 16, 4),
    MEMBER(bp_memory_options, flags, 20, 4),
    MEMBER(bp_memory_info, struct_size, 0, 4),
    MEMBER(bp_memory_info, flags, 4, 4),
    MEMBER(bp_memory_info, key, 8, 16),
    MEMBER(bp_memory_info, size, 24, 8),
    MEMBER(bp_memory_info, maker, 32, 8),
    MEMBER(bp_memory_info, owner, 40, 4),
    MEMBER(bp_memory_info, permissions, 44, 4),
    // semaphore.h
    MEMBER(bp_semaphore_options, struct_size, 0, 4),
    MEMBER(bp_semaphore_options, which, 4, 4),
    MEMBER(bp_semaphore_options, initial, 8, 4),
    MEMBER(bp_semaphore_options, permissions, 12, 4),
    MEMBER(bp_semaphore_options, flags, 16, 4),
    MEMBER(bp_semaphore_options, reserved, 20, 4),
    // channel.h
    MEMBER(bp_channel_options, struct_size, 0, 4),
    MEMBER(bp_channel_options, which, 4, 4),
    MEMBER(bp_channel_options, sample_size, 8, 8),
    MEMBER(bp_channel_options, capacity, 16, 4),
    MEMBER(bp_channel_options, held, 20, 4),
    MEMBER(bp_channel_options, publishers, 24, 4),
    MEMBER(bp_channel_options, subscribers, 28, 4),
    MEMBER(bp_channel_options, permissions, 32, 4),
    MEMBER(bp_channel_options, flags, 36, 4),
    MEMBER(bp_channel_info, struct_size, 0, 4),
    MEMBER(bp_channel_info, flags, 4, 4),
    MEMBER(bp_channel_info, sample_size, 8, 8),
    MEMBER(bp_channel_info, published, 16, 8),
    MEMBER(bp_channel_info, capacity, 24, 4),
    MEMBER(bp_channel_info, held, 28, 4),
    MEMBER(bp_channel_info, publishers, 32, 4),
    MEMBER(bp_channel_info, subscribers, 36, 4),
    MEMBER(bp_channel_info, n_publishers, 40, 4),
    MEMBER(bp_channel_info, n_subscribers, 44, 4),
    MEMBER(bp_channel_info, most_behind, 48, 8),
    MEMBER(bp_sample, data, 0, 8),
    MEMBER(bp_sample, size, 8, 8),
    MEMBER(bp_sample, sequence, 16, 8),
    MEMBER(bp_sample, lost, 24, 8),
    MEMBER(bp_sample, slot, 32, 8),
    MEMBER(bp_subscriber_options, struct_size, 0, 4),
    MEMBER(bp_subscriber_options, history, 4, 4),
    MEMBER(bp_subscriber_options, spin_ns, 8, 8),
    // request.h
    MEMBER(bp_responder_options, struct_size, 0, 4),
    MEMBER(bp_responder_options, requesters, 4, 4),
    MEMBER(bp_responder_options, request_size, 8, 8),
    MEMBER(bp_responder_options, response_size, 16, 8),
    MEMBER(bp_responder_options, outstanding, 24, 4),
    MEMBER(bp_responder_options, permissions, 28, 4),
    MEMBER(bp_responder_options, spin_ns, 32, 8),
    MEMBER(bp_responder_options, flags, 40, 4),
    MEMBER(bp_responder_options, reserved, 44, 4),
    MEMBER(bp_request, data, 0, 8),
    MEMBER(bp_request, size, 8, 8),
    MEMBER(bp_request, requester, 16, 8),
    MEMBER(bp_request, number, 24, 8),
    MEMBER(bp_request, slot, 32, 8),
    MEMBER(bp_request, passed_over, 40, 8),
    MEMBER(bp_requester_options, struct_size, 0, 4),
    MEMBER(bp_requester_options, flags, 4, 4),
    MEMBER(bp_requester_options, spin_ns, 8, 8),
    MEMBER(bp_response, data, 0, 8),
    MEMBER(bp_response, size, 8, 8),
    MEMBER(bp_response, number, 16, 8),
    MEMBER(bp_response, slot, 24, 8),
    MEMBER(bp_response, passed_over, 32, 8),
    // kernel.h
    MEMBER(bp_log_record, time_ns, 0, 8),
    MEMBER(bp_log_record, level, 8, 4),
    MEMBER(bp_log_record, n_fields, 12, 4),
    MEMBER(bp_log_record, instance, 16, 16),
    MEMBER(bp_log_record, message, 32, 16),
    MEMBER(bp_log_record, fields, 48, 8),
    MEMBER(bp_log_record, reserved, 56, 8),
    MEMBER(bp_kernel_options, struct_size, 0, 4),
    MEMBER(bp_kernel_options, flags, 4, 4),
    MEMBER(bp_kernel_options, plugin_folders, 8, 16),
    MEMBER(bp_kernel_options, manifest_folders, 24, 16),
    MEMBER(bp_kernel_options, log_level, 40, 4),
    MEMBER(bp_kernel_options, reserved, 44, 4),
    MEMBER(bp_kernel_options, log, 48, 8),
    MEMBER(bp_kernel_options, user, 56, 8),
    MEMBER(bp_diagnostic, file, 0, 16),
    MEMBER(bp_diagnostic, line, 16, 4),
    MEMBER(bp_diagnostic, column, 20, 4),
    MEMBER(bp_diagnostic, severity, 24, 4),
    MEMBER(bp_diagnostic, reserved, 28, 4),
    MEMBER(bp_diagnostic, message, 32, 16),
    MEMBER(bp_instance_info, struct_size, 0, 4),
    MEMBER(bp_instance_info, life, 4, 4),
    MEMBER(bp_instance_info, state, 8, 4),
    MEMBER(bp_instance_info, reserved, 12, 4),
    MEMBER(bp_instance_info, name, 16, 16),
    MEMBER(bp_instance_info, plugin, 32, 16),
    MEMBER(bp_instance_info, detail, 48, 16),
    MEMBER(bp_instance_info, operations, 64, 8),
    MEMBER(bp_instance_info, pending, 72, 8),
    MEMBER(bp_instance_info, failed, 80, 8),
    MEMBER(bp_instance_info, delivered, 88, 8),
    MEMBER(bp_instance_info, open_references, 96, 8),
    MEMBER(bp_instance_info, buffers, 104, 8),
    MEMBER(bp_metric_info, struct_size, 0, 4),
    MEMBER(bp_metric_info, kind, 4, 4),
    MEMBER(bp_metric_info, instance, 8, 16),
    MEMBER(bp_metric_info, name, 24, 16),
    MEMBER(bp_metric_info, labels, 40, 8),
    MEMBER(bp_metric_info, n_labels, 48, 8),
    MEMBER(bp_metric_info, value, 56, 8),
    MEMBER(bp_plugin_info, struct_size, 0, 4),
    MEMBER(bp_plugin_info, flags, 4, 4),
    MEMBER(bp_plugin_info, id, 8, 16),
    MEMBER(bp_plugin_info, version, 24, 16),
    MEMBER(bp_plugin_info, description, 40, 16),
    MEMBER(bp_plugin_info, schemes, 56, 16),
    MEMBER(bp_plugin_info, library, 72, 16),
    MEMBER(bp_plugin_info, manifest, 88, 16),
};
// NOLINTEND(bugprone-sizeof-expression)

#define STRUCTURE(name) \
  { #name, sizeof(name) }

// As compiled. The golden size is where the golden members end.
const std::map<std::string, std::size_t> kStructures = {
    STRUCTURE(bp_str),
    STRUCTURE(bp_error),
    STRUCTURE(bp_value),
    STRUCTURE(bp_pair),
    STRUCTURE(bp_buffer_ops),
    STRUCTURE(bp_buffer),
    STRUCTURE(bp_message),
    STRUCTURE(bp_sink),
    STRUCTURE(bp_op),
    STRUCTURE(bp_endpoint_ops),
    STRUCTURE(bp_endpoint),
    STRUCTURE(bp_host),
    STRUCTURE(bp_offer),
    STRUCTURE(bp_plugin),
    STRUCTURE(bp_buffers_service),
    STRUCTURE(bp_credentials_service),
    STRUCTURE(bp_endpoint_service),
    STRUCTURE(bp_executor_service),
    STRUCTURE(bp_log_service),
    STRUCTURE(bp_metrics_service),
    STRUCTURE(bp_event),
    STRUCTURE(bp_queue_service),
    STRUCTURE(bp_shared_memory_service),
    STRUCTURE(bp_state_service),
    STRUCTURE(bp_key),
    STRUCTURE(bp_mutex),
    STRUCTURE(bp_condition),
    STRUCTURE(bp_memory_options),
    STRUCTURE(bp_memory_info),
    STRUCTURE(bp_semaphore_options),
    STRUCTURE(bp_channel_options),
    STRUCTURE(bp_channel_info),
    STRUCTURE(bp_sample),
    STRUCTURE(bp_subscriber_options),
    STRUCTURE(bp_responder_options),
    STRUCTURE(bp_request),
    STRUCTURE(bp_requester_options),
    STRUCTURE(bp_response),
    STRUCTURE(bp_log_record),
    STRUCTURE(bp_kernel_options),
    STRUCTURE(bp_diagnostic),
    STRUCTURE(bp_instance_info),
    STRUCTURE(bp_metric_info),
    STRUCTURE(bp_plugin_info),
};

TEST(Layout, EveryMemberIsWhereItWas) {
  for (const Member& member : kMembers) {
    EXPECT_EQ(member.offset, member.golden_offset) << member.structure << "." << member.name;
    EXPECT_EQ(member.size, member.golden_size) << member.structure << "." << member.name;
  }
}

// A struct has no hole, so a member that somebody forgot to type out leaves one, and one at the end
// leaves the struct longer.
TEST(Layout, NoMemberIsMissingFromTheTable) {
  std::map<std::string, std::size_t> ends;
  for (const Member& member : kMembers) {
    EXPECT_EQ(member.golden_offset, ends[member.structure])
        << "a hole before " << member.structure << "." << member.name;
    ends[member.structure] = member.golden_offset + member.golden_size;
  }
  EXPECT_EQ(ends, kStructures);
}

TEST(Layout, EverySizedStructBeginsWithItsSize) {
  const std::vector<std::string> frozen = {
      "bp_str",       "bp_error",  "bp_value",      "bp_pair",       "bp_buffer", "bp_message",
      "bp_endpoint",  "bp_event",  "bp_log_record", "bp_diagnostic", "bp_key",    "bp_mutex",
      "bp_condition", "bp_sample", "bp_request",    "bp_response"};
  std::map<std::string, bool> sized;
  for (const Member& member : kMembers) {
    if (member.golden_offset == 0)
      sized[member.structure] = std::string(member.name) == "struct_size";
  }
  for (const auto& [name, is_sized] : sized) {
    const bool is_frozen = std::find(frozen.begin(), frozen.end(), name) != frozen.end();
    EXPECT_NE(is_sized, is_frozen) << name << " is neither frozen nor sized, or both";
  }
}

TEST(Layout, TheUnionOfAValueStartsAtEight) {
  EXPECT_EQ(sizeof(bp_value{}.as), 8u);
  EXPECT_EQ(alignof(bp_value), 8u);
  EXPECT_EQ(alignof(bp_message), 8u);
}

TEST(Layout, AnElementTypeIsItsTagAndItsWidth) {
  EXPECT_EQ(BP_TYPE(BP_T_INT, 16), 0x0210);
  EXPECT_EQ(BP_TYPE(BP_T_FLOAT, 64), 0x0440);
  EXPECT_EQ(BP_VERB_BIT(BP_V_BROWSE), 64u);
}

}  // namespace
}  // namespace backplane::test
