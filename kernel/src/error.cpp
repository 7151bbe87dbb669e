// SPDX-License-Identifier: Apache-2.0
#include "error.hpp"

#include <array>
#include <cerrno>
#include <string>
#include <system_error>

namespace backplane::kernel {
namespace {

bp_status status_of_errno(int number) noexcept {
  switch (number) {
    case EACCES:
    case EPERM:
    case EROFS:
      return BP_PERMISSION_DENIED;
    case ENOENT:
      return BP_NOT_FOUND;
    case EEXIST:
      return BP_ALREADY_EXISTS;
    case EINVAL:
    case ENAMETOOLONG:
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
      return BP_INVALID_ARGUMENT;
    case ENOMEM:
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case EFBIG:
    case ENOLCK:
      return BP_RESOURCE_EXHAUSTED;
    case EBUSY:
      return BP_DEADLINE_EXCEEDED;
    default:
      return BP_UNKNOWN;
  }
}

}  // namespace

bp_status set_error(bp_error* error, bp_status status, std::string_view message,
                    std::string_view domain, std::int32_t native) noexcept {
  if (error == nullptr) return status;
  *error = bp_error{};
  error->code = status;
  error->native = native;
  domain.copy(error->domain, sizeof error->domain - 1);  // an empty view may have no data
  std::size_t length = message.size();
  if (length > sizeof error->message) {
    error->flags |= BP_ERROR_TRUNCATED;
    length = sizeof error->message;
    while (length > 0 && (static_cast<unsigned char>(message[length]) & 0xc0u) == 0x80u) --length;
  }
  message.copy(error->message, length);
  error->message_len = static_cast<std::uint32_t>(length);
  if (status == BP_UNAVAILABLE || status == BP_RESOURCE_EXHAUSTED || status == BP_DEADLINE_EXCEEDED)
    error->flags |= BP_ERROR_RETRY;
  return status;
}

bp_status set_errno_error(bp_error* error, int number, std::string_view what) {
  if (error == nullptr) return status_of_errno(number);
  return set_error(error, status_of_errno(number),
                   std::string(what).append(": ").append(std::generic_category().message(number)),
                   "errno", number);
}

void fill_error(bp_error* error, bp_status status) noexcept {
  if (error == nullptr) return;
  if (error->message_len == 0) {
    set_error(error, status, status == BP_CANCELLED ? "cancelled" : "failed without a reason",
              domain_of(*error), error->native);
  }
  error->code = status;
}

bp_status add_context(bp_error* error, bp_status status, std::string_view what) {
  if (error == nullptr) return status;
  const bp_error said = *error;
  return set_error(error, status, std::string(what).append(": ").append(message_of(said)),
                   domain_of(said), said.native);
}

bp_status set_deadline_error(bp_error* error) noexcept {
  constexpr std::string_view kWhy = "the deadline passed before the operation completed";
  if (error == nullptr || error->message_len == 0 || error->code == BP_CANCELLED)
    return set_error(error, BP_DEADLINE_EXCEEDED, kWhy);
  return add_context(error, BP_DEADLINE_EXCEEDED, kWhy);
}

std::string_view name_of(bp_status status) noexcept {
  static constexpr std::array<std::string_view, 17> kNames = {"OK",
                                                              "CANCELLED",
                                                              "UNKNOWN",
                                                              "INVALID_ARGUMENT",
                                                              "DEADLINE_EXCEEDED",
                                                              "NOT_FOUND",
                                                              "ALREADY_EXISTS",
                                                              "PERMISSION_DENIED",
                                                              "RESOURCE_EXHAUSTED",
                                                              "FAILED_PRECONDITION",
                                                              "ABORTED",
                                                              "OUT_OF_RANGE",
                                                              "UNIMPLEMENTED",
                                                              "INTERNAL",
                                                              "UNAVAILABLE",
                                                              "DATA_LOSS",
                                                              "UNAUTHENTICATED"};
  if (status == BP_PENDING) return "PENDING";
  if (status > 0 || status < -16) return "UNKNOWN";
  return kNames[static_cast<std::size_t>(-status)];
}

}  // namespace backplane::kernel
