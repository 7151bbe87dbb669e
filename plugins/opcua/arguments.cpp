// SPDX-License-Identifier: Apache-2.0
#include "arguments.hpp"

namespace backplane::opcua {

ValueView to_body(Arena& arena, std::span<const UA_Variant> arguments, DataTypes* types) {
  ListBuilder out(arena);
  for (const UA_Variant& each : arguments) {
    out.add(to_value(arena, each, types));
  }
  return out.size() == 0   ? ValueView()
         : out.size() == 1 ? out.view().at(0)
                           : arena.list({out.view().as.list, out.size()}, BP_LIST_ARGUMENTS);
}

std::vector<ValueView> parts_of_body(const ValueView& body) {
  std::vector<ValueView> out;
  if (body.tag == BP_T_LIST && body.aux == BP_LIST_ARGUMENTS) {
    for (const ValueView each : body.items()) {
      out.push_back(each);
    }
  } else if (!body.is_null() || body.aux != 0) {
    out.push_back(body);
  }
  return out;
}

}  // namespace backplane::opcua
