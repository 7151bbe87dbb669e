// SPDX-License-Identifier: Apache-2.0
// Messages of libcoap as tests write them.
#pragma once

#include "block.hpp"
#include "handles.hpp"

#include <gtest/gtest.h>

namespace backplane::coap::test {

struct TestOption {
  coap_option_num_t number;
  std::string_view value;
};

inline Bytes bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}
inline std::string text(Bytes data) {
  return {reinterpret_cast<const char*>(data.data()), data.size()};
}

inline Pdu make_pdu(coap_pdu_code_t code, std::initializer_list<TestOption> options,
                    std::string_view payload = {}, std::string_view token = "t",
                    coap_pdu_type_t type = COAP_MESSAGE_CON) {
  coap_startup();
  coap_set_log_level(LOG_EMERG);
  Pdu pdu(coap_pdu_init(type, code, 1, 2048));
  coap_add_token(pdu.get(), token.size(), reinterpret_cast<const uint8_t*>(token.data()));
  for (const TestOption& option : options) {
    EXPECT_TRUE(add_option(pdu.get(), option.number, option.value));
  }
  if (!payload.empty()) {
    coap_add_data(pdu.get(), payload.size(), reinterpret_cast<const uint8_t*>(payload.data()));
  }
  return pdu;
}

}  // namespace backplane::coap::test
