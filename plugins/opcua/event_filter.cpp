// SPDX-License-Identifier: Apache-2.0
#include "event_filter.hpp"

#include "time.hpp"

#include <limits>
#include <map>

namespace backplane::opcua {
namespace {

constexpr size_t kMostConditions = 256;
constexpr int kDeepest = 16;

struct Operator {
  UA_FilterOperator what;
  size_t least, most;  // operands
};

constexpr size_t kMany = 64;

const std::map<std::string_view, Operator>& operators() {
  static const std::map<std::string_view, Operator> all = {
      {"=", {UA_FILTEROPERATOR_EQUALS, 2, 2}},
      {">", {UA_FILTEROPERATOR_GREATERTHAN, 2, 2}},
      {"<", {UA_FILTEROPERATOR_LESSTHAN, 2, 2}},
      {">=", {UA_FILTEROPERATOR_GREATERTHANOREQUAL, 2, 2}},
      {"<=", {UA_FILTEROPERATOR_LESSTHANOREQUAL, 2, 2}},
      {"like", {UA_FILTEROPERATOR_LIKE, 2, 2}},
      {"between", {UA_FILTEROPERATOR_BETWEEN, 3, 3}},
      {"in", {UA_FILTEROPERATOR_INLIST, 2, kMany}},
      {"is_null", {UA_FILTEROPERATOR_ISNULL, 1, 1}},
      {"of_type", {UA_FILTEROPERATOR_OFTYPE, 1, 1}},
      {"and", {UA_FILTEROPERATOR_AND, 2, kMany}},
      {"or", {UA_FILTEROPERATOR_OR, 2, kMany}},
      {"not", {UA_FILTEROPERATOR_NOT, 1, 1}},
  };
  return all;
}

std::string operator_names() {
  std::string out;
  for (const auto& [name, ignored] : operators()) {
    out += concat(out.empty() ? "" : ", ", name);
  }
  return out;
}

EventField field_of(std::string_view option, const ValueView& value) {
  const auto name = value.get<std::string_view>();
  if (!name || name->empty()) {
    throw Error(BP_INVALID_ARGUMENT, "option '", option,
                "': expected a field of the event by its name, such as Severity, got ",
                value.to_text(64));
  }
  auto address = parse_address(concat("/", *name));
  if (!address) {
    throw Error(Status(address.status()).with_context("option '", option, "'"));
  }
  return {std::string(*name), *std::move(address)};
}

Address type_of(const ValueView& value) {
  auto address = parse_address(value.get<std::string_view>().value_or(""));
  if (!address || address->is_path()) {
    throw Error(
        BP_INVALID_ARGUMENT,
        "option 'where': of_type expects the node id of an event type, such as i=2782, got ",
        value.to_text(64));
  }
  return *std::move(address);
}

/// What a number is compared with is most often narrower: Severity is a UInt16.
Variant literal(const ValueView& value) {
  const auto number = value.is_number() ? value.get<int64_t>() : std::nullopt;
  const bool is_small = number && *number >= std::numeric_limits<int32_t>::min() &&
                        *number <= std::numeric_limits<int32_t>::max();
  const bool is_whole = value.tag == BP_T_INT || value.tag == BP_T_UINT;
  return to_variant(is_whole && is_small ? ValueView(static_cast<int32_t>(*number)) : value);
}

EventCondition condition_of(const ValueView& value, int depth) {
  const auto name = value.size() == 0 ? std::nullopt : value.at(0).get<std::string_view>();
  const auto found = name ? operators().find(*name) : operators().end();
  if (depth > kDeepest || found == operators().end()) {
    throw Error(BP_INVALID_ARGUMENT,
                "option 'where': expected a list such as [\">=\", \"Severity\", 500] or [\"and\", "
                "[...], [...]], at most ",
                kDeepest, " deep, which begins with one of ", operator_names(), "; got ",
                value.to_text(64));
  }
  const size_t n = value.size() - 1;
  if (n < found->second.least || n > found->second.most) {
    throw Error(BP_INVALID_ARGUMENT, "option 'where': ", *name, " has ", n, " operands, expected ",
                found->second.least, found->second.least == found->second.most ? "" : " or more");
  }
  EventCondition out;
  out.what = found->second.what;
  switch (out.what) {
    case UA_FILTEROPERATOR_AND:
    case UA_FILTEROPERATOR_OR:
    case UA_FILTEROPERATOR_NOT:
      for (size_t i = 1; i <= n; ++i) {
        out.conditions.push_back(condition_of(value.at(i), depth + 1));
      }
      return out;
    case UA_FILTEROPERATOR_OFTYPE:
      out.type = type_of(value.at(1));
      return out;
    default:
      out.field = field_of("where", value.at(1));
      for (size_t i = 2; i <= n; ++i) {
        out.values.push_back(literal(value.at(i)));
      }
      return out;
  }
}

using Operand = Native<UA_SimpleAttributeOperand, UA_TYPES_SIMPLEATTRIBUTEOPERAND>;

Operand operand_of(const EventField& field, const std::vector<std::string>& namespaces) {
  const auto& path = field.address.path;
  Operand out;
  out->typeDefinitionId = UA_NODEID_NUMERIC(
      0, path.empty() ? UA_NS0ID_CONDITIONTYPE : UA_NS0ID_BASEEVENTTYPE);  // every event is one
  out->attributeId = field.address.attribute;
  if (path.empty()) {
    return out;
  }
  out->browsePath =
      static_cast<UA_QualifiedName*>(UA_Array_new(path.size(), &UA_TYPES[UA_TYPES_QUALIFIEDNAME]));
  if (out->browsePath == nullptr) {
    throw std::bad_alloc();
  }
  out->browsePathSize = path.size();
  for (size_t i = 0; i < path.size(); ++i) {
    const auto number = namespace_of(path[i], namespaces);
    number.or_throw();
    out->browsePath[i].namespaceIndex = *number;
    out->browsePath[i].name = allocated(path[i].name);
  }
  return out;
}

/// Operands are put in as what they are, or as the number of an element behind theirs.
class FilterBuilder {
 public:
  explicit FilterBuilder(const std::vector<std::string>& namespaces) : namespaces_(namespaces) {}

  void add(const EventCondition& condition) {
    if (condition.conditions.size() > 2) {  // "and" and "or" have two operands
      return add_chain(condition, 0);
    }
    const size_t at = element(condition.what);
    for (const EventCondition& each : condition.conditions) {
      refer(at);
      add(each);
    }
    if (condition.field) {
      put(at, operand_of(*condition.field, namespaces_).release(),
          UA_TYPES[UA_TYPES_SIMPLEATTRIBUTEOPERAND]);
    }
    if (condition.type) {
      auto id = node_id_of(*condition.type, namespaces_);
      id.or_throw();
      Variant value;
      if (UA_Variant_setScalarCopy(value.get(), id->get(), &UA_TYPES[UA_TYPES_NODEID]) !=
          UA_STATUSCODE_GOOD) {
        throw std::bad_alloc();
      }
      put(at, UA_LiteralOperand{value.release()}, UA_TYPES[UA_TYPES_LITERALOPERAND]);
    }
    for (const Variant& each : condition.values) {
      put(at, UA_LiteralOperand{Variant::copy_of(*each).release()},
          UA_TYPES[UA_TYPES_LITERALOPERAND]);
    }
  }

  void give_to(UA_ContentFilter& filter) {
    filter.elements = static_cast<UA_ContentFilterElement*>(
        UA_Array_new(elements_.size(), &UA_TYPES[UA_TYPES_CONTENTFILTERELEMENT]));
    if (filter.elements == nullptr) {
      throw std::bad_alloc();
    }
    filter.elementsSize = elements_.size();
    for (size_t i = 0; i < elements_.size(); ++i) {
      filter.elements[i] = elements_[i].release();
    }
  }

 private:
  using Element = Native<UA_ContentFilterElement, UA_TYPES_CONTENTFILTERELEMENT>;

  void add_chain(const EventCondition& condition, size_t first) {
    if (first + 1 == condition.conditions.size()) {
      return add(condition.conditions[first]);
    }
    const size_t at = element(condition.what);
    refer(at);
    add(condition.conditions[first]);
    refer(at);
    add_chain(condition, first + 1);
  }
  size_t element(UA_FilterOperator what) {
    if (elements_.size() == kMostConditions) {
      throw Error(BP_INVALID_ARGUMENT, "option 'where': there are more than ", kMostConditions,
                  " conditions");
    }
    elements_.emplace_back()->filterOperator = what;
    return elements_.size() - 1;
  }
  /// To the element that is added next.
  void refer(size_t at) {
    put(at, UA_ElementOperand{static_cast<UA_UInt32>(elements_.size())},
        UA_TYPES[UA_TYPES_ELEMENTOPERAND]);
  }
  template <class T>
  void put(size_t at, T operand, const UA_DataType& type) {
    UA_ContentFilterElement& element = *elements_[at];
    Native<UA_ExtensionObject, UA_TYPES_EXTENSIONOBJECT> wrapped;
    UA_StatusCode status = UA_ExtensionObject_setValueCopy(wrapped.get(), &operand, &type);
    UA_clear(&operand, &type);
    if (status == UA_STATUSCODE_GOOD) {
      status = UA_Array_append(reinterpret_cast<void**>(&element.filterOperands),
                               &element.filterOperandsSize, wrapped.get(),
                               &UA_TYPES[UA_TYPES_EXTENSIONOBJECT]);
    }
    if (status != UA_STATUSCODE_GOOD) {
      throw std::bad_alloc();
    }
    static_cast<void>(wrapped.release());
  }

  const std::vector<std::string>& namespaces_;
  std::vector<Element> elements_;
};

}  // namespace

std::vector<EventField> EventOptions::standard_fields() {
  std::vector<EventField> out;
  for (const char* const name : {"EventId", "EventType", "SourceNode", "SourceName", "Time",
                                 "ReceiveTime", "Message", "Severity"}) {
    out.push_back(field_of("select", name));
  }
  return out;
}

void EventOptions::set_select(const ValueView& value) {
  std::vector<EventField> out;
  for (const ValueView each : value.items()) {
    out.push_back(field_of("select", each));
  }
  if (out.empty()) {
    throw Error(BP_INVALID_ARGUMENT, "option 'select': expected a list of fields, such as ",
                "[\"Message\", \"Severity\"], got ", value.to_text(64));
  }
  select = std::move(out);
}

void EventOptions::set_where(const ValueView& value) { where = condition_of(value, 0); }

EventOptions::Filter EventOptions::filter(const std::vector<std::string>& namespaces) const {
  Filter out;
  out->selectClauses = static_cast<UA_SimpleAttributeOperand*>(
      UA_Array_new(select.size(), &UA_TYPES[UA_TYPES_SIMPLEATTRIBUTEOPERAND]));
  if (out->selectClauses == nullptr) {
    throw std::bad_alloc();
  }
  out->selectClausesSize = select.size();
  for (size_t i = 0; i < select.size(); ++i) {
    out->selectClauses[i] = operand_of(select[i], namespaces).release();
  }
  if (where) {
    FilterBuilder builder(namespaces);
    builder.add(*where);
    builder.give_to(out->whereClause);
  }
  return out;
}

void fill_event(MessageDraft& message, const EventOptions& options, const UA_DataValue& event,
                DataTypes* types) {
  const auto* const values = static_cast<const UA_Variant*>(event.value.data);
  const size_t n = std::min(options.select.size(), event.value.arrayLength);
  std::vector<Pair> pairs;
  pairs.reserve(n);
  for (size_t i = 0; i < n; ++i) {
    const std::string& name = options.select[i].name;
    pairs.emplace_back(ValueView(name), to_value(message.arena(), values[i], types));
    if (name == "Time" && UA_Variant_hasScalarType(&values[i], &UA_TYPES[UA_TYPES_DATETIME])) {
      const auto time = *static_cast<const UA_DateTime*>(values[i].data);
      if (const auto nanoseconds = nanoseconds_since_1970(time)) {
        message.time(Time(std::chrono::nanoseconds(*nanoseconds)));
      }
    }
  }
  message.body(message.arena().map({static_cast<const bp_pair*>(pairs.data()), pairs.size()}));
}

}  // namespace backplane::opcua
