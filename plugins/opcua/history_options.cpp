// SPDX-License-Identifier: Apache-2.0
#include "history_options.hpp"

#include "convert.hpp"
#include "reversible.hpp"
#include <backplane/sdk/options.hpp>

namespace backplane::opcua {
namespace {

constexpr UA_UInt16 kDateTime = 13;
constexpr UA_DateTime kBeginning = 1;  // 0 says that there is none, which servers take differently

UA_DateTime time_of(std::string_view key, const ValueView& value) {
  // A null becomes nothing, and a typed value what it says it is.
  const Result<Variant> out = convert(value, kDateTime);
  if (!out || !UA_Variant_hasScalarType(out->get(), &UA_TYPES[UA_TYPES_DATETIME])) {
    throw Error(BP_INVALID_ARGUMENT, "option '", key,
                "': expected a time, such as \"2026-03-01T12:00:00Z\", got ", value.to_text(64));
  }
  return *static_cast<const UA_DateTime*>((*out)->data);
}

}  // namespace

std::optional<HistoryOptions> HistoryOptions::of(MessageView in) {
  const auto options = in.header(BP_H_OPTIONS);
  if (!options || (!options->find("start") && !options->find("end"))) {
    return std::nullopt;
  }
  HistoryOptions out;
  for (const auto& [key, value] : options_of(in, {"start", "end", "max"}).entries()) {
    const auto name = key.get<std::string_view>().value_or("");
    if (name == "start") {
      out.start = time_of(name, value);
    } else if (name == "end") {
      out.end = time_of(name, value);
    } else {
      const auto most = value.get<uint32_t>();
      if (!most || *most == 0) {
        throw Error(BP_INVALID_ARGUMENT, "option 'max': expected a number of values, got ",
                    value.to_text(64));
      }
      out.most = *most;
    }
  }
  if (out.start == 0) {
    if (out.most == 0) {
      throw Error(BP_INVALID_ARGUMENT, "option 'end' needs 'start' or 'max' beside it");
    }
    out.start = std::exchange(out.end, kBeginning);  // backwards
  } else if (out.end == 0) {
    out.end = UA_DateTime_now();
  }
  out.is_reversible = opcua::is_reversible(in);
  out.range = in.header<std::string>(BP_H_INDEX_RANGE).value_or("");
  return out;
}

UA_ReadRawModifiedDetails HistoryOptions::details(uint32_t page) const noexcept {
  UA_ReadRawModifiedDetails out;
  UA_ReadRawModifiedDetails_init(&out);
  out.startTime = start;
  out.endTime = end;
  out.numValuesPerNode = most == 0 ? page : std::min(most, page);
  return out;
}

}  // namespace backplane::opcua
