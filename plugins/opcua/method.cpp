// SPDX-License-Identifier: Apache-2.0
#include "method.hpp"

#include "arguments.hpp"
#include "put_element.hpp"

namespace backplane::opcua {
namespace {

std::vector<Variant> converted(const ValueView& body, const std::vector<DeclaredArgument>& wanted,
                               std::string_view kind, const std::string& method) {
  const std::vector<ValueView> parts = parts_of_body(body);
  if (parts.size() != wanted.size()) {
    refuse("method '", method, "' has ", wanted.size(), " ", kind, "s, got ", parts.size(),
           "; several are a list of arguments");
  }
  std::vector<Variant> out;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const DeclaredArgument& argument = wanted[i];
    const bool is_any = argument.shape.type == kVariant;
    try {
      out.push_back(to_variant(parts[i], {is_any ? UA_UInt16{0} : argument.shape.type, nullptr}));
      if (!is_any && !argument.shape.holds(*out.back())) {
        refuse("got ", parts[i].to_text(64));
      }
    } catch (const Error& error) {
      throw Error(Status(error.status())
                      .with_context("method '", method, "': ", kind, " '", argument.name, "' is a ",
                                    argument.shape.text()));
    }
  }
  return out;
}

}  // namespace

std::vector<Variant> Method::inputs(const ValueView& body) const {
  return converted(body, declared_.inputs, "input", declared_.id);
}

std::vector<Variant> Method::outputs(const ValueView& body) const {
  // An answer to nobody's question is no mistake.
  return declared_.outputs.empty() ? std::vector<Variant>()
                                   : converted(body, declared_.outputs, "output", declared_.id);
}

}  // namespace backplane::opcua
