// SPDX-License-Identifier: Apache-2.0
#include "variable.hpp"

#include "error_map.hpp"
#include "put_element.hpp"

#include <algorithm>

namespace backplane::opcua {
namespace {

/// Whether the range is within the value, which the library (1.4.11) does not look at when it
/// writes: it cuts a copy of the range to what there is, and then copies by the range itself.
bool is_within(const UA_NumericRange& range, const UA_Variant& value) noexcept {
  const auto length = static_cast<UA_UInt32>(value.arrayLength);
  const UA_UInt32* const ends = value.arrayDimensionsSize > 0 ? value.arrayDimensions : &length;
  if (range.dimensionsSize != std::max<size_t>(value.arrayDimensionsSize, 1)) {
    return false;
  }
  for (size_t i = 0; i < range.dimensionsSize; ++i) {
    if (range.dimensions[i].max >= ends[i]) {
      return false;
    }
  }
  return true;
}

/// Whether the value takes the place of the present one, whose memory it then has: a number a
/// number.
bool fits_into(const UA_Variant& present, const UA_Variant& value) noexcept {
  return present.type == value.type && value.type != nullptr && value.type->pointerFree &&
         UA_Variant_isScalar(&present) && UA_Variant_isScalar(&value);
}

}  // namespace

Variable::Variable(const Host& host, const DeclaredVariable& declared, const Changed& changed)
    : readers_(declared.readers),
      writers_(declared.writers),
      history_(declared.history > 0 ? std::make_unique<VariableHistory>(declared.history)
                                    : nullptr),
      type_(declared.shape.type),
      declared_(declared),
      host_(host),
      changed_(changed) {
  if (!declared_.initial) {
    value_->hasStatus = true;
    value_->status = UA_STATUSCODE_BADWAITINGFORINITIALDATA;
    return;
  }
  is_own_write_ = true;
  const DataValue initial = converted(*declared_.initial);
  if (type_ != kVariant && !declared_.shape.holds(initial->value)) {
    refuse("variable '", declared_.id, "' is a ", declared_.shape.text(), ", 'initial' is ",
           declared_.initial->body().to_text(64));
  }
  if (take(nullptr, *initial) != UA_STATUSCODE_GOOD) {
    throw std::bad_alloc();
  }
  is_own_write_ = false;
}

Hub& Variable::hub() {
  Hub* known = hub_.load(std::memory_order_acquire);
  if (known == nullptr) {
    HubOptions options;
    options.present = [this] { return present(); };
    auto made = std::make_unique<Hub>(host_, std::move(options));
    if (hub_.compare_exchange_strong(known, made.get(), std::memory_order_acq_rel)) {
      known = made.release();
    }
  }
  return *known;
}

UA_ValueBackend Variable::backend() noexcept {
  UA_ValueBackend out{};
  out.backendType = UA_VALUEBACKENDTYPE_EXTERNAL;
  out.backend.external.value = &place_;
  out.backend.external.callback.notificationRead =
      [](UA_Server*, const UA_NodeId*, void*, const UA_NodeId*, void*,
         const UA_NumericRange*) -> UA_StatusCode { return UA_STATUSCODE_GOOD; };
  out.backend.external.callback.userWrite =
      [](UA_Server*, const UA_NodeId*, void*, const UA_NodeId*, void* context,
         const UA_NumericRange* range, const UA_DataValue* value) -> UA_StatusCode {
    UA_StatusCode status = UA_STATUSCODE_BADOUTOFMEMORY;
    boundary([&] { status = static_cast<Variable*>(context)->take(range, *value); },
             [](const Status&) noexcept {});
    return status;
  };
  return out;
}

DataValue Variable::converted(MessageView message) const {
  try {
    // Without a value, only with a status, it has no type.
    const bool is_any = type_ == kVariant || message.body().is_null();
    MessageBuilder typed(message.body());
    if (!is_any) {
      typed.header(BP_H_NATIVE_TYPE, std::string_view(built_in_type(type_).typeName));
    }
    typed.headers(message.headers());
    if (const auto time = message.time()) {
      typed.time(*time);
    }
    return to_data_value(typed);
  } catch (const Error& error) {
    throw Error(Status(error.status())
                    .with_context("variable '", declared_.id, "' is a ", declared_.shape.text()));
  }
}

UA_StatusCode Variable::write(UA_Server* server, const UA_WriteValue& what) noexcept {
  is_own_write_ = true;
  const UA_StatusCode status = UA_Server_write(server, &what);
  is_own_write_ = false;
  return status;
}

void Variable::remember(const UA_DataValue& value) {
  if (history_) {
    history_->add(value);
  }
}

UA_StatusCode Variable::take(const UA_NumericRange* range, const UA_DataValue& value) {
  const bool is_told = !is_own_write_ && watchers() > 0;
  UA_DataValue next = value;
  Variant made;  // the value, unless it takes the present one's place
  const bool fits = range == nullptr && fits_into(value_->value, value.value);
  if (range != nullptr) {
    // As one element: what is written to a range is an array.
    const UA_Variant& part = value.value;
    if (!value.hasValue || !value_->hasValue || part.type != value_->value.type) {
      return UA_STATUSCODE_BADTYPEMISMATCH;
    }
    if (!is_within(*range, value_->value)) {
      return UA_STATUSCODE_BADINDEXRANGENODATA;
    }
    made = Variant::copy_of(value_->value);
    const size_t n = UA_Variant_isScalar(&part) ? 1 : part.arrayLength;
    if (const UA_StatusCode status = UA_Variant_setRangeCopy(made.get(), part.data, n, *range);
        status != UA_STATUSCODE_GOOD) {
      return status;
    }
    next.value = *made;
  } else if (!fits) {
    made = Variant::copy_of(value.value);
    next.value = *made;
  }
  // The library takes an empty array of ExtensionObject for a value of any type.
  const UA_DataType& object = UA_TYPES[UA_TYPES_EXTENSIONOBJECT];
  if (type_ != kVariant && &built_in_type(type_) != &object && next.hasValue &&
      UA_Variant_hasArrayType(&next.value, &object)) {
    return UA_STATUSCODE_BADTYPEMISMATCH;
  }
  const bool is_empty = !next.hasValue || next.value.type == nullptr;
  if (is_empty && type_ != kVariant && !(next.hasStatus && is_bad(next.status))) {
    return UA_STATUSCODE_BADTYPEMISMATCH;
  }
  if (!next.hasSourceTimestamp) {
    next.hasSourceTimestamp = true;
    next.sourceTimestamp = UA_DateTime_now();
  }
  if (is_own_write_ || (fits && !is_told)) {
    remember(next);
  } else {
    MessageBuilder message;
    fill_message(message, next);
    const size_t size = Hub::size_of(message);  // first: it may be nothing that a message can hold
    if (is_told && !hub().has_room(untold_ + 1, untold_bytes_ + size)) {
      return UA_STATUSCODE_BADRESOURCEUNAVAILABLE;
    }
    remember(next);
    if (is_told) {
      changed_(*this, message);
      ++untold_;
      untold_bytes_ += size;
    }
  }
  if (fits) {
    std::memcpy(value_->value.data, next.value.data, next.value.type->memSize);
  } else {
    std::swap(value_->value, *made);
  }
  next.value = value_->value;
  *value_ = next;
  return UA_STATUSCODE_GOOD;
}

/// Nothing before the first value, which has a time.
std::optional<OwnedMessage> Variable::present() const {
  if (!value_->hasSourceTimestamp) {
    return std::nullopt;
  }
  MessageBuilder message;
  fill_message(message, *value_);
  return OwnedMessage(message.view());
}

void Variable::tell(MessageView message) {
  if (--untold_ == 0) {
    untold_bytes_ = 0;
  }
  hub().publish(message);
}

void Variable::publish(Hub::Settled settled) {
  MessageBuilder message;
  fill_message(message, *value_);
  hub().publish(MessageView(message), std::move(settled));
}

}  // namespace backplane::opcua
