// SPDX-License-Identifier: Apache-2.0
#include "topic.hpp"

#include <mosquitto.h>

namespace backplane::mqtt {
namespace {

constexpr std::string_view kShare = "$share/";
constexpr size_t kMaxLength = 65535;
constexpr size_t kMaxShown = 64;

Status check_text(std::string_view text, std::string_view kind) {
  if (text.empty()) {
    return Status(BP_INVALID_ARGUMENT, "an empty ", kind,
                  ": a topic has at least one character, such as 'plant/line1'");
  }
  if (text.size() > kMaxLength) {
    return Status(BP_INVALID_ARGUMENT, "a ", kind, " of ", text.size(),
                  " bytes: 65535 is the most");
  }
  if (text.find('\0') != text.npos ||
      mosquitto_validate_utf8(text.data(), static_cast<int>(text.size())) != MOSQ_ERR_SUCCESS) {
    return Status(BP_INVALID_ARGUMENT, "a ", kind,
                  " that is no UTF-8, or has a control character or U+0000 in it");
  }
  return Status::ok();
}

}  // namespace

bool has_wildcard(std::string_view topic) noexcept {
  return topic.find_first_of("+#") != topic.npos;
}

bool is_shared(std::string_view filter) noexcept { return filter.starts_with(kShare); }

std::string_view match_part(std::string_view filter) noexcept {
  if (!is_shared(filter)) {
    return filter;
  }
  const size_t end = filter.find('/', kShare.size());
  return end == filter.npos ? std::string_view{} : filter.substr(end + 1);
}

Status check_topic_name(std::string_view topic) {
  if (Status status = check_text(topic, "topic"); !status.is_ok()) {
    return status;
  }
  const size_t at = topic.find_first_of("+#");
  if (at != topic.npos) {
    return Status(BP_INVALID_ARGUMENT, "topic '", topic.substr(0, kMaxShown), "': the '", topic[at],
                  "' at offset ", at, " is a wildcard, which can be watched, not written or read");
  }
  if (mosquitto_pub_topic_check2(topic.data(), topic.size()) != MOSQ_ERR_SUCCESS) {
    return Status(BP_INVALID_ARGUMENT, "'", topic.substr(0, kMaxShown), "' is no topic");
  }
  return Status::ok();
}

Status check_topic_filter(std::string_view filter) {
  if (Status status = check_text(filter, "topic filter"); !status.is_ok()) {
    return status;
  }
  const std::string_view shown = filter.substr(0, kMaxShown);
  if (is_shared(filter)) {
    const std::string_view group =
        filter.substr(kShare.size(), filter.find('/', kShare.size()) - kShare.size());
    if (group.empty() || has_wildcard(group) || match_part(filter).empty()) {
      return Status(BP_INVALID_ARGUMENT, "topic filter '", shown,
                    "': a shared one is $share/GROUP/FILTER, the group without wildcards");
    }
  }
  if (mosquitto_sub_topic_check2(filter.data(), filter.size()) != MOSQ_ERR_SUCCESS) {
    return Status(
        BP_INVALID_ARGUMENT, "topic filter '", shown,
        "': '+' stands for one whole level (a/+/b), '#' for all that follow and is the last (a/#)");
  }
  return Status::ok();
}

bool matches(const std::string& filter, const std::string& topic) noexcept {
  bool result = false;
  const auto part = match_part(filter);
  return mosquitto_topic_matches_sub(part.data(), topic.c_str(), &result) == MOSQ_ERR_SUCCESS &&
         result;
}

}  // namespace backplane::mqtt
