// SPDX-License-Identifier: Apache-2.0
// A question, and the answer to it, which show when they are not whole, or of another.
#pragma once

#include "backplane/sdk/request.hpp"
#include "block.hpp"

namespace backplane::test {

using InHead = Block<3>;  // what is in front of it in the head of a slot, too

/// Whether who answers gives it back.
inline bool is_given_back(uint64_t number) { return number % 7 == 6; }

/// Asks, and looks at the answer: DATA_LOSS: it is not the one to that.
inline Status ask(Requester& requester, uint64_t number) {
  const auto at_most = std::chrono::seconds(2);
  const Result<Response> answer = number % 2 == 0 ? requester.call(LargeBlock(number), at_most)
                                                  : requester.call(InHead(number), at_most);
  if (is_given_back(number) && answer.status().code() == BP_ABORTED) {
    return {};
  }
  if (!answer) {
    return answer.status();
  }
  const auto* const words = reinterpret_cast<const uint64_t*>(answer->data().data());
  const size_t n = answer->data().size() / sizeof(uint64_t);
  const bool is_it = n == (number % 2 == 0 ? 64 : 3) && !is_given_back(number) &&
                     std::all_of(words, words + n, [&](uint64_t word) { return word == number; });
  return is_it ? Status() : Status(BP_DATA_LOSS, "another answer than to ", number);
}

/// Answers with what was asked. OK: also if who asked is gone.
inline Status answer(Request request) {
  if (request.data().size() < sizeof(InHead)) {
    return Status(BP_DATA_LOSS, "a request of ", request.data().size(), " bytes");
  }
  if (is_given_back(request.as<uint64_t>())) {
    return {};
  }
  const Status status = request.respond(request.data());
  return status.code() == BP_UNAVAILABLE ? Status() : status;
}

inline Responder::Options questions() {
  return {.request_size = sizeof(LargeBlock),
          .response_size = sizeof(LargeBlock),
          .requesters = 8,
          .outstanding = 2};
}

}  // namespace backplane::test
