// SPDX-License-Identifier: Apache-2.0
#include "error_map.hpp"

#include <array>

namespace backplane::opcua {
namespace {

struct Entry {
  UA_StatusCode code;
  bp_status status;
  std::string_view advice;
};

// What is not here is UNKNOWN, and has its name.
constexpr std::array kEntries = {
    Entry{
        UA_STATUSCODE_BADNODEIDUNKNOWN, BP_NOT_FOUND,
        "the server has no such node; browse shows those that it has, and a namespace's number may "
        "have changed: nsu=URI names it for good"},
    Entry{UA_STATUSCODE_BADNODEIDINVALID, BP_INVALID_ARGUMENT, "the node id is malformed"},
    Entry{UA_STATUSCODE_BADNOMATCH, BP_NOT_FOUND,
          "the browse path leads nowhere; each segment is NAMESPACE:NAME"},
    Entry{UA_STATUSCODE_BADATTRIBUTEIDINVALID, BP_NOT_FOUND,
          "nodes of this class have no such attribute; a value is a variable's"},
    Entry{UA_STATUSCODE_BADMETHODINVALID, BP_NOT_FOUND, "the object has no such method"},
    Entry{UA_STATUSCODE_BADNODECLASSINVALID, BP_NOT_FOUND, "nodes of this class have none of that"},
    Entry{UA_STATUSCODE_BADNOTFOUND, BP_NOT_FOUND, ""},
    Entry{UA_STATUSCODE_BADTYPEMISMATCH, BP_INVALID_ARGUMENT,
          "the value has another type than the node; the attribute @DataType tells the node's, the "
          "header native_type converts a number"},
    Entry{UA_STATUSCODE_BADINVALIDARGUMENT, BP_INVALID_ARGUMENT,
          "the answer's body has a status for each argument"},
    Entry{UA_STATUSCODE_BADARGUMENTSMISSING, BP_INVALID_ARGUMENT,
          "several arguments are a list of arguments"},
    Entry{UA_STATUSCODE_BADTOOMANYARGUMENTS, BP_INVALID_ARGUMENT, ""},
    Entry{UA_STATUSCODE_BADINDEXRANGEINVALID, BP_INVALID_ARGUMENT,
          "an index range is 3, 1:3 or, of a matrix, 1:3,0:2"},
    Entry{UA_STATUSCODE_BADINDEXRANGENODATA, BP_OUT_OF_RANGE, "the array is shorter"},
    Entry{UA_STATUSCODE_BADOUTOFRANGE, BP_OUT_OF_RANGE, ""},
    Entry{UA_STATUSCODE_BADDEADBANDFILTERINVALID, BP_INVALID_ARGUMENT,
          "a percentage needs a variable with an EURange"},
    Entry{UA_STATUSCODE_BADMONITOREDITEMFILTERUNSUPPORTED, BP_UNIMPLEMENTED,
          "a deadband of a percentage needs a variable with an EURange"},
    Entry{UA_STATUSCODE_BADFILTERNOTALLOWED, BP_INVALID_ARGUMENT,
          "a deadband needs a variable that is a number"},
    Entry{UA_STATUSCODE_BADEVENTFILTERINVALID, BP_INVALID_ARGUMENT,
          "the server does not take `select` or `where`: are they of the event's type?"},
    Entry{UA_STATUSCODE_BADMONITOREDITEMFILTERINVALID, BP_INVALID_ARGUMENT,
          "the server does not take the deadband, `select` or `where`"},
    Entry{UA_STATUSCODE_BADCONTENTFILTERINVALID, BP_INVALID_ARGUMENT, "see `where`"},
    Entry{UA_STATUSCODE_BADFILTEROPERATORINVALID, BP_INVALID_ARGUMENT, "see `where`"},
    Entry{UA_STATUSCODE_BADFILTEROPERATORUNSUPPORTED, BP_UNIMPLEMENTED,
          "the server cannot do that part of `where`"},
    Entry{UA_STATUSCODE_BADFILTEROPERANDINVALID, BP_INVALID_ARGUMENT, "see `where`"},
    Entry{UA_STATUSCODE_BADFILTEROPERANDCOUNTMISMATCH, BP_INVALID_ARGUMENT, "see `where`"},
    Entry{UA_STATUSCODE_BADHISTORYOPERATIONUNSUPPORTED, BP_UNIMPLEMENTED,
          "this node keeps no past; a variable of a server of ours does with `history = N`"},
    Entry{UA_STATUSCODE_BADHISTORYOPERATIONINVALID, BP_INVALID_ARGUMENT,
          "a past is asked for by two of `start`, `end` and `limit`"},
    Entry{UA_STATUSCODE_BADTIMESTAMPSTORETURNINVALID, BP_INVALID_ARGUMENT, ""},
    Entry{UA_STATUSCODE_BADNODEIDEXISTS, BP_ALREADY_EXISTS, "the server has a node of that id"},
    Entry{UA_STATUSCODE_BADNODEIDREJECTED, BP_INVALID_ARGUMENT,
          "the server gives ids itself: leave the id out, or its namespace"},
    Entry{UA_STATUSCODE_BADBROWSENAMEDUPLICATED, BP_ALREADY_EXISTS,
          "the parent has a node of that browse name"},
    Entry{UA_STATUSCODE_BADBROWSENAMEINVALID, BP_INVALID_ARGUMENT,
          "a browse name is NAMESPACE:NAME"},
    Entry{UA_STATUSCODE_BADPARENTNODEIDINVALID, BP_NOT_FOUND, "there is no such parent"},
    Entry{UA_STATUSCODE_BADREFERENCETYPEIDINVALID, BP_INVALID_ARGUMENT,
          "there is no such type of references"},
    Entry{UA_STATUSCODE_BADREFERENCENOTALLOWED, BP_INVALID_ARGUMENT,
          "the two may not be connected by this type of references"},
    Entry{UA_STATUSCODE_BADDUPLICATEREFERENCENOTALLOWED, BP_ALREADY_EXISTS,
          "the two have this reference"},
    Entry{UA_STATUSCODE_BADTYPEDEFINITIONINVALID, BP_INVALID_ARGUMENT,
          "there is no such type of nodes, or it is abstract"},
    Entry{UA_STATUSCODE_BADSOURCENODEIDINVALID, BP_NOT_FOUND, ""},
    Entry{UA_STATUSCODE_BADTARGETNODEIDINVALID, BP_NOT_FOUND, ""},
    Entry{UA_STATUSCODE_BADNODEATTRIBUTESINVALID, BP_INVALID_ARGUMENT, ""},
    Entry{UA_STATUSCODE_BADNOTREADABLE, BP_PERMISSION_DENIED, "the node cannot be read"},
    Entry{UA_STATUSCODE_BADNOTWRITABLE, BP_PERMISSION_DENIED, "the node cannot be written"},
    Entry{UA_STATUSCODE_BADUSERACCESSDENIED, BP_PERMISSION_DENIED,
          "this user may not; the server decides who may"},
    Entry{UA_STATUSCODE_BADNOTEXECUTABLE, BP_PERMISSION_DENIED, "the method cannot be called now"},
    Entry{UA_STATUSCODE_BADWRITENOTSUPPORTED, BP_UNIMPLEMENTED,
          "the server takes no status or times with a value"},
    Entry{UA_STATUSCODE_BADNOTSUPPORTED, BP_UNIMPLEMENTED, ""},
    Entry{UA_STATUSCODE_BADNOTIMPLEMENTED, BP_UNIMPLEMENTED, ""},
    Entry{UA_STATUSCODE_BADSERVICEUNSUPPORTED, BP_UNIMPLEMENTED, "the server has no such service"},
    // What a peer says of us; what we say of a peer's certificate is Trust's.
    Entry{UA_STATUSCODE_BADIDENTITYTOKENREJECTED, BP_UNAUTHENTICATED,
          "the server does not take this user: see the credential that `user` names"},
    Entry{UA_STATUSCODE_BADIDENTITYTOKENINVALID, BP_UNAUTHENTICATED,
          "the server does not take this kind of user, or its certificate"},
    Entry{UA_STATUSCODE_BADUSERSIGNATUREINVALID, BP_UNAUTHENTICATED,
          "the user's key is not that of its certificate"},
    Entry{UA_STATUSCODE_BADSECURITYCHECKSFAILED, BP_UNAUTHENTICATED,
          "perhaps the server does not trust our certificate, that of `credentials` or what "
          "`backplane cert show --pki FOLDER` prints: trust it there"},
    Entry{
        UA_STATUSCODE_BADCERTIFICATEUNTRUSTED, BP_UNAUTHENTICATED,
        "the server does not trust our certificate, that of `credentials` or what `backplane cert "
        "show --pki FOLDER` prints: trust it there"},
    Entry{UA_STATUSCODE_BADCERTIFICATECHAININCOMPLETE, BP_UNAUTHENTICATED,
          "the server does not know the authority of our certificate"},
    Entry{UA_STATUSCODE_BADCERTIFICATEINVALID, BP_UNAUTHENTICATED,
          "the server has no use for our certificate"},
    Entry{UA_STATUSCODE_BADCERTIFICATETIMEINVALID, BP_UNAUTHENTICATED,
          "our certificate is not valid now, by the server's clock"},
    Entry{UA_STATUSCODE_BADCERTIFICATEURIINVALID, BP_UNAUTHENTICATED,
          "our certificate is for another application URI"},
    Entry{UA_STATUSCODE_BADCERTIFICATEUSENOTALLOWED, BP_UNAUTHENTICATED,
          "our certificate is not for an application"},
    Entry{UA_STATUSCODE_BADCERTIFICATEREVOKED, BP_UNAUTHENTICATED, "our certificate was revoked"},
    Entry{UA_STATUSCODE_BADCERTIFICATEHOSTNAMEINVALID, BP_UNAUTHENTICATED,
          "our certificate is for another host"},
    Entry{UA_STATUSCODE_BADCERTIFICATEPOLICYCHECKFAILED, BP_UNAUTHENTICATED,
          "our certificate's key or signature is too weak for the security_policy"},
    Entry{UA_STATUSCODE_BADCERTIFICATEISSUERTIMEINVALID, BP_UNAUTHENTICATED,
          "the authority of our certificate is not valid now, by the server's clock"},
    Entry{UA_STATUSCODE_BADCERTIFICATEISSUERUSENOTALLOWED, BP_UNAUTHENTICATED,
          "the authority of our certificate is not for that"},
    Entry{UA_STATUSCODE_BADCERTIFICATEISSUERREVOKED, BP_UNAUTHENTICATED,
          "the authority of our certificate was revoked"},
    Entry{UA_STATUSCODE_BADCERTIFICATEISSUERREVOCATIONUNKNOWN, BP_UNAUTHENTICATED,
          "the server has no list of what the issuer of our authority has revoked"},
    Entry{UA_STATUSCODE_BADCERTIFICATEREVOCATIONUNKNOWN, BP_UNAUTHENTICATED,
          "the server has no list of what the authority of our certificate has revoked"},
    Entry{UA_STATUSCODE_BADSECURITYPOLICYREJECTED, BP_FAILED_PRECONDITION,
          "the server does not take this security_policy"},
    Entry{UA_STATUSCODE_BADSECURITYMODEREJECTED, BP_FAILED_PRECONDITION,
          "the server does not take this security_mode"},
    Entry{UA_STATUSCODE_BADTIMEOUT, BP_DEADLINE_EXCEEDED,
          "the server gave no answer within request_timeout_s, or its device gave it none"},
    Entry{UA_STATUSCODE_BADREQUESTTIMEOUT, BP_DEADLINE_EXCEEDED, ""},
    Entry{UA_STATUSCODE_BADTOOMANYOPERATIONS, BP_RESOURCE_EXHAUSTED, ""},
    Entry{UA_STATUSCODE_BADTOOMANYSESSIONS, BP_RESOURCE_EXHAUSTED,
          "the server has as many sessions as it may"},
    Entry{UA_STATUSCODE_BADTOOMANYSUBSCRIPTIONS, BP_RESOURCE_EXHAUSTED, ""},
    Entry{UA_STATUSCODE_BADTOOMANYMONITOREDITEMS, BP_RESOURCE_EXHAUSTED, ""},
    Entry{UA_STATUSCODE_BADCONTINUATIONPOINTINVALID, BP_ABORTED,
          "the server has forgotten where it was: ask again from the beginning"},
    Entry{UA_STATUSCODE_BADTOOMANYPUBLISHREQUESTS, BP_RESOURCE_EXHAUSTED, ""},
    Entry{UA_STATUSCODE_BADTOOMANYMATCHES, BP_RESOURCE_EXHAUSTED, ""},
    Entry{UA_STATUSCODE_BADNOCONTINUATIONPOINTS, BP_RESOURCE_EXHAUSTED, ""},
    Entry{UA_STATUSCODE_BADOUTOFMEMORY, BP_RESOURCE_EXHAUSTED, ""},
    Entry{UA_STATUSCODE_BADRESOURCEUNAVAILABLE, BP_RESOURCE_EXHAUSTED, ""},
    Entry{UA_STATUSCODE_BADDATALOST, BP_DATA_LOSS, ""},
    Entry{UA_STATUSCODE_BADENCODINGLIMITSEXCEEDED, BP_RESOURCE_EXHAUSTED,
          "the message is too long"},
    Entry{UA_STATUSCODE_BADREQUESTTOOLARGE, BP_RESOURCE_EXHAUSTED, "the server takes less at once"},
    Entry{UA_STATUSCODE_BADRESPONSETOOLARGE, BP_RESOURCE_EXHAUSTED, "ask for less at once"},
    Entry{UA_STATUSCODE_BADSERVERNOTCONNECTED, BP_UNAVAILABLE, ""},
    Entry{UA_STATUSCODE_BADNOTCONNECTED, BP_UNAVAILABLE, ""},
    Entry{UA_STATUSCODE_BADCONNECTIONCLOSED, BP_UNAVAILABLE, "the connection was lost"},
    Entry{UA_STATUSCODE_BADTCPSERVERTOOBUSY, BP_UNAVAILABLE,
          "the server has as many peers as it may"},
    Entry{UA_STATUSCODE_BADTCPINTERNALERROR, BP_UNAVAILABLE, "the server ended the connection"},
    Entry{UA_STATUSCODE_BADTCPNOTENOUGHRESOURCES, BP_UNAVAILABLE,
          "the server ended the connection: it has no room for it"},
    Entry{UA_STATUSCODE_BADTCPSECURECHANNELUNKNOWN, BP_UNAVAILABLE,
          "the server has forgotten the channel"},
    Entry{UA_STATUSCODE_BADTCPMESSAGETYPEINVALID, BP_UNAVAILABLE,
          "the server ended the connection: is it one of OPC UA?"},
    Entry{UA_STATUSCODE_BADTCPMESSAGETOOLARGE, BP_RESOURCE_EXHAUSTED,
          "ask for less at once, or send less"},
    Entry{UA_STATUSCODE_BADCONNECTIONREJECTED, BP_UNAVAILABLE, "is the server running?"},
    Entry{UA_STATUSCODE_BADSECURECHANNELCLOSED, BP_UNAVAILABLE,
          "the connection was lost before the answer: whether it was done is not known"},
    Entry{UA_STATUSCODE_BADSESSIONCLOSED, BP_UNAVAILABLE,
          "the server ended the session: whether what was asked was done is not known"},
    Entry{UA_STATUSCODE_BADSESSIONIDINVALID, BP_UNAVAILABLE,
          "the server has forgotten the session"},
    Entry{UA_STATUSCODE_BADSESSIONNOTACTIVATED, BP_UNAVAILABLE, ""},
    Entry{UA_STATUSCODE_BADSUBSCRIPTIONIDINVALID, BP_UNAVAILABLE,
          "the server has forgotten a subscription"},
    Entry{UA_STATUSCODE_BADNOSUBSCRIPTION, BP_UNAVAILABLE, ""},
    Entry{UA_STATUSCODE_BADCOMMUNICATIONERROR, BP_UNAVAILABLE, ""},
    Entry{UA_STATUSCODE_BADOUTOFSERVICE, BP_UNAVAILABLE, ""},
    Entry{UA_STATUSCODE_BADSHUTDOWN, BP_UNAVAILABLE, "the server is ending"},
    Entry{UA_STATUSCODE_BADSERVERHALTED, BP_UNAVAILABLE, ""},
    Entry{UA_STATUSCODE_BADNOCOMMUNICATION, BP_UNAVAILABLE,
          "the server has lost the device behind the node"},
    Entry{UA_STATUSCODE_BADWAITINGFORINITIALDATA, BP_UNAVAILABLE, "there is no value yet"},
    Entry{UA_STATUSCODE_BADDEVICEFAILURE, BP_UNAVAILABLE, ""},
    Entry{UA_STATUSCODE_BADSENSORFAILURE, BP_UNAVAILABLE, ""},
    Entry{UA_STATUSCODE_BADINVALIDSTATE, BP_FAILED_PRECONDITION, ""},
    Entry{UA_STATUSCODE_BADTCPENDPOINTURLINVALID, BP_INVALID_ARGUMENT, ""},
};

constexpr UA_StatusCode kWithoutInfo = 0xFFFF0000u;  // the lower bits say what has no name

}  // namespace

bool is_loss(UA_StatusCode code) noexcept {
  switch (code & kWithoutInfo) {
    case UA_STATUSCODE_BADSECURECHANNELCLOSED:
    case UA_STATUSCODE_BADSECURECHANNELIDINVALID:
    case UA_STATUSCODE_BADCONNECTIONCLOSED:
    case UA_STATUSCODE_BADNOTCONNECTED:
    case UA_STATUSCODE_BADSERVERNOTCONNECTED:
    case UA_STATUSCODE_BADSESSIONCLOSED:
    case UA_STATUSCODE_BADSESSIONIDINVALID:
    case UA_STATUSCODE_BADSESSIONNOTACTIVATED:
    case UA_STATUSCODE_BADSHUTDOWN:
      return true;
    default:
      return false;
  }
}

Status bad_status(UA_StatusCode code, std::string_view context) {
  bp_status status = BP_UNKNOWN;
  std::string_view advice;
  for (const Entry& entry : kEntries) {
    if (entry.code == (code & kWithoutInfo)) {
      status = entry.status;
      advice = entry.advice;
    }
  }
  return Status(status, context, context.empty() ? "" : ": ",
                std::string_view(UA_StatusCode_name(code & kWithoutInfo)),
                advice.empty() ? "" : ": ", advice)
      .with_native(static_cast<int32_t>(code), kDomain);
}

UA_StatusCode code_of(const Status& status) noexcept {
  const auto native = static_cast<UA_StatusCode>(status.native());
  if (status.domain() == kDomain && is_bad(native)) {
    return native;
  }
  switch (status.code()) {
    case BP_OK:
      return UA_STATUSCODE_GOOD;
    case BP_CANCELLED:
      return UA_STATUSCODE_BADREQUESTINTERRUPTED;
    case BP_INVALID_ARGUMENT:
      return UA_STATUSCODE_BADINVALIDARGUMENT;
    case BP_DEADLINE_EXCEEDED:
      return UA_STATUSCODE_BADTIMEOUT;
    case BP_NOT_FOUND:
      return UA_STATUSCODE_BADNOTFOUND;
    case BP_ALREADY_EXISTS:
    case BP_FAILED_PRECONDITION:
    case BP_ABORTED:
      return UA_STATUSCODE_BADINVALIDSTATE;
    case BP_PERMISSION_DENIED:
    case BP_UNAUTHENTICATED:
      return UA_STATUSCODE_BADUSERACCESSDENIED;
    case BP_RESOURCE_EXHAUSTED:
      return UA_STATUSCODE_BADRESOURCEUNAVAILABLE;
    case BP_OUT_OF_RANGE:
      return UA_STATUSCODE_BADOUTOFRANGE;
    case BP_UNIMPLEMENTED:
      return UA_STATUSCODE_BADNOTIMPLEMENTED;
    case BP_UNAVAILABLE:
      return UA_STATUSCODE_BADNOCOMMUNICATION;
    case BP_DATA_LOSS:
      return UA_STATUSCODE_BADDATALOST;
    default:
      return UA_STATUSCODE_BADUNEXPECTEDERROR;
  }
}

}  // namespace backplane::opcua
