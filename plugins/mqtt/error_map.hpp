// SPDX-License-Identifier: Apache-2.0
// The codes of MQTT and of libmosquitto as ours; the only place that knows both.
#pragma once

#include <backplane/sdk/status.hpp>

#include <cstdint>

namespace backplane::mqtt {

/// The packet that brought a reason code: the same number means different things.
enum class Packet { kConnack, kPuback, kSuback, kUnsuback, kDisconnect };

/// A reason code of MQTT 5 (section 2.4). Below 0x80 it is no error.
bp_status code_of_reason(Packet packet, uint8_t reason) noexcept;
/// A return code of MQTT 3.1.1: of CONNACK (table 3.1), or of SUBACK (0x80: failure).
bp_status code_of_return(Packet packet, uint8_t code) noexcept;
/// MOSQ_ERR_*; `error_number` counts for MOSQ_ERR_ERRNO.
bp_status code_of_library(int result, int error_number) noexcept;

/// The same with its text and native number ("mqtt"); OK when it is no error. `version` is 4 or 5,
/// `what` says what was being done: "publish to 'a/b'".
Status from_reason(int version, Packet packet, uint8_t reason, std::string_view what);
/// The same for MOSQ_ERR_*; native domain "errno" or "mosquitto".
Status from_library(int result, int error_number, std::string_view what);

/// The broker will say the same next time, unless somebody changes its configuration or ours.
bool is_lasting(const Status& refusal) noexcept;

}  // namespace backplane::mqtt
