// SPDX-License-Identifier: Apache-2.0
#include "trust.hpp"

#include "error_map.hpp"

namespace backplane::opcua {
namespace {

constexpr int kLongestChain = 10;
constexpr int kFewestBits = 2048;
constexpr int kFewestBitsOfDeprecated = 1024;

Verdict bad(UA_StatusCode code, std::string reason) { return {code, std::move(reason), {}}; }

X509* leaf_of(const STACK_OF(X509) * chain) { return sk_X509_value(chain, 0); }

std::string subject(const X509* x) { return tls::distinguished_name(X509_get_subject_name(x)); }
std::string issuer(const X509* x) { return tls::distinguished_name(X509_get_issuer_name(x)); }

bool is_self_issued(const X509* x) {
  return X509_NAME_cmp(X509_get_subject_name(x), X509_get_issuer_name(x)) == 0;
}

void push(STACK_OF(X509) * to, X509* certificate) {
  if (X509_up_ref(certificate) == 1 && sk_X509_push(to, certificate) == 0) {
    X509_free(certificate);
    throw std::bad_alloc();
  }
}

tls::Chain empty_stack() {
  tls::Chain out(sk_X509_new_null());
  if (!out) {
    throw std::bad_alloc();
  }
  return out;
}

/// Key, signature and use of one: what needs no other certificate.
Verdict judge_alone(X509* x, bool allow_deprecated) {
  const uint32_t flags = X509_get_extension_flags(x);
  if ((flags & EXFLAG_INVALID) != 0) {
    return bad(UA_STATUSCODE_BADCERTIFICATEINVALID, "its extensions are malformed");
  }
  const uint32_t usage = X509_get_key_usage(x);  // all bits where it does not say
  const bool is_authority = (flags & EXFLAG_CA) != 0 && (flags & EXFLAG_KUSAGE) != 0 &&
                            (usage & KU_KEY_CERT_SIGN) != 0 && (usage & KU_CRL_SIGN) != 0;
  if (is_authority) {
    return bad(UA_STATUSCODE_BADCERTIFICATEUSENOTALLOWED,
               "it is an authority's, not an application's");
  }
  if ((usage & KU_DIGITAL_SIGNATURE) == 0) {
    return bad(UA_STATUSCODE_BADCERTIFICATEUSENOTALLOWED, "its key is not for signing");
  }
  const EVP_PKEY* const key = X509_get0_pubkey(x);
  const int fewest = allow_deprecated ? kFewestBitsOfDeprecated : kFewestBits;
  if (key == nullptr || EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA ||
      EVP_PKEY_get_bits(key) < fewest) {
    return bad(UA_STATUSCODE_BADCERTIFICATEPOLICYCHECKFAILED,
               concat("its key is no RSA key of ", fewest, " bits or more"));
  }
  int digest = NID_undef;
  X509_get_signature_info(x, &digest, nullptr, nullptr, nullptr);
  if (!allow_deprecated && (digest == NID_sha1 || digest == NID_md5)) {
    return bad(UA_STATUSCODE_BADCERTIFICATEPOLICYCHECKFAILED,
               concat("it is signed with ", std::string_view(OBJ_nid2sn(digest))));
  }
  return {};
}

/// What OpenSSL says of a chain, in the words of the standard.
Verdict verdict_of(int error, int depth, const X509* at, const X509* leaf) {
  const bool of_leaf = depth == 0;
  const std::string who = of_leaf || at == nullptr ? "it" : subject(at);
  switch (error) {
    case X509_V_ERR_CERT_NOT_YET_VALID:
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_ERROR_IN_CERT_NOT_BEFORE_FIELD:
    case X509_V_ERR_ERROR_IN_CERT_NOT_AFTER_FIELD:
      return bad(of_leaf ? UA_STATUSCODE_BADCERTIFICATETIMEINVALID
                         : UA_STATUSCODE_BADCERTIFICATEISSUERTIMEINVALID,
                 error == X509_V_ERR_CERT_NOT_YET_VALID
                     ? concat(who, " is valid from ", tls::date_text(X509_get0_notBefore(at)),
                              " on, not yet")
                     : concat(who, " expired at ", tls::date_text(X509_get0_notAfter(at))));
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_UNTRUSTED:
    case X509_V_ERR_CERT_REJECTED:
      return bad(UA_STATUSCODE_BADCERTIFICATEUNTRUSTED,
                 of_leaf ? "it is not known" : concat("its authority ", who, " is not trusted"));
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_CHAIN_TOO_LONG:
      return is_self_issued(leaf) ? bad(UA_STATUSCODE_BADCERTIFICATEUNTRUSTED, "it is not known")
                                  : bad(UA_STATUSCODE_BADCERTIFICATECHAININCOMPLETE,
                                        concat("the authority ", issuer(at == nullptr ? leaf : at),
                                               " is not known"));
    case X509_V_ERR_INVALID_CA:
    case X509_V_ERR_INVALID_PURPOSE:
    case X509_V_ERR_KEYUSAGE_NO_CERTSIGN:
    case X509_V_ERR_PATH_LENGTH_EXCEEDED:
      return bad(of_leaf ? UA_STATUSCODE_BADCERTIFICATEUSENOTALLOWED
                         : UA_STATUSCODE_BADCERTIFICATEISSUERUSENOTALLOWED,
                 concat(who, ": ", std::string_view(X509_verify_cert_error_string(error))));
    default:
      return bad(UA_STATUSCODE_BADCERTIFICATEINVALID,
                 concat(who, ": ", std::string_view(X509_verify_cert_error_string(error))));
  }
}

Verdict judge_uri(const X509* x, const std::string& expected) {
  const std::string uri = tls::application_uri(*x);
  return uri == expected ? Verdict()
                         : bad(UA_STATUSCODE_BADCERTIFICATEURIINVALID,
                               concat("it is for the application '", uri,
                                      "', and the peer calls itself '", expected, "'"));
}

Verdict judge_host(X509* x, const std::string& host) {
  const bool is_for_it = tls::is_address(host)
                             ? X509_check_ip_asc(x, host.c_str(), 0) == 1
                             : X509_check_host(x, host.c_str(), host.size(),
                                               X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, nullptr) == 1;
  if (is_for_it) {
    return {};
  }
  std::string names;
  for (const std::string& each : tls::host_names(*x)) {
    names += (names.empty() ? "" : ", ") + each;
  }
  return bad(UA_STATUSCODE_BADCERTIFICATEHOSTNAMEINVALID,
             concat("it is for ", names.empty() ? "no host" : names, ", not for ", host));
}

}  // namespace

tls::Chain parse_chain(std::string_view der) {
  tls::Chain out = empty_stack();
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  const unsigned char* const end = at + der.size();
  while (at != end && sk_X509_num(out.get()) < kLongestChain) {
    const tls::Certificate one(d2i_X509(nullptr, &at, end - at));
    if (!one) {
      break;
    }
    push(out.get(), one.get());
  }
  ERR_clear_error();
  return out;
}

std::string_view first_certificate(std::string_view der) noexcept {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  const auto* const begin = at;
  const tls::Certificate one(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  ERR_clear_error();
  return der.substr(0, one ? static_cast<size_t>(at - begin) : 0);
}

Verdict Trust::check(std::string_view shown, const Expected& expected) const {
  const tls::Chain chain = parse_chain(shown);
  if (sk_X509_num(chain.get()) == 0) {
    return bad(UA_STATUSCODE_BADCERTIFICATEINVALID, "it is no certificate in DER, or is broken");
  }
  Verdict out;
  const Status status = [&] {
    try {
      out = judge(chain.get(), expected);
      return Status::ok();
    } catch (const Error& error) {  // the store
      return error.status();
    }
  }();
  ERR_clear_error();
  if (!status.is_ok()) {
    out = bad(UA_STATUSCODE_BADCERTIFICATEUNTRUSTED, std::string(status.message()));
  }
  out.thumbprint = tls::thumbprint(*leaf_of(chain.get()));
  if (!out.is_good()) {
    keep(*leaf_of(chain.get()), out, expected);
  }
  return out;
}

Verdict Trust::judge(const STACK_OF(X509) * shown, const Expected& expected) const {
  X509* const leaf = leaf_of(shown);
  Verdict out = judge_alone(leaf, options_.allow_deprecated);
  if (out.is_good()) {
    out = judge_chain(shown);
  }
  if (out.is_good() && expected.application_uri) {
    out = judge_uri(leaf, *expected.application_uri);
  }
  if (out.is_good() && !expected.host_name.empty()) {
    out = judge_host(leaf, expected.host_name);
  }
  return out;
}

Verdict Trust::judge_chain(const STACK_OF(X509) * shown) const {
  X509* const leaf = leaf_of(shown);
  const auto trusted = store_.trusted();
  const auto issuers = store_.issuers();
  complain(trusted.complaints);
  complain(issuers.complaints);

  const tls::TrustStore anchors(X509_STORE_new());
  const tls::Chain known = empty_stack();  // whoever may have issued: not trusted for that
  for (int i = 1; i < sk_X509_num(shown); ++i) {
    push(known.get(), sk_X509_value(shown, i));
  }
  for (const auto& each : issuers.items) {
    push(known.get(), each.get());
  }
  const auto anchor = [&](X509* certificate) {
    X509_STORE_add_cert(anchors.get(), certificate);
    push(known.get(), certificate);
  };
  for (const auto& each : trusted.items) {
    anchor(each.get());
  }
  const auto material = options_.material ? options_.material() : nullptr;
  if (material && material->authorities) {
    STACK_OF(X509_OBJECT)* const objects = X509_STORE_get0_objects(material->authorities.get());
    for (int i = 0; i < sk_X509_OBJECT_num(objects); ++i) {
      if (X509* const each = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i))) {
        anchor(each);
      }
    }
  }

  const UniqueHandle<X509_STORE_CTX, X509_STORE_CTX_free> context(X509_STORE_CTX_new());
  if (!context || X509_STORE_CTX_init(context.get(), anchors.get(), leaf, known.get()) != 1) {
    throw std::bad_alloc();
  }
  // The trusted one may be an authority in the middle, or the certificate itself.
  X509_STORE_CTX_set_flags(context.get(), X509_V_FLAG_PARTIAL_CHAIN);
  X509_STORE_CTX_set_depth(context.get(), kLongestChain);
  if (X509_verify_cert(context.get()) != 1) {
    return verdict_of(X509_STORE_CTX_get_error(context.get()),
                      X509_STORE_CTX_get_error_depth(context.get()),
                      X509_STORE_CTX_get_current_cert(context.get()), leaf);
  }
  const STACK_OF(X509)* const chain = X509_STORE_CTX_get0_chain(context.get());
  // OpenSSL takes for an authority what does not say that it is none: a peer that is trusted is not
  // to make others.
  for (int depth = 1; depth < sk_X509_num(chain); ++depth) {
    X509* const each = sk_X509_value(chain, depth);
    if ((X509_get_extension_flags(each) & EXFLAG_CA) == 0) {
      return bad(UA_STATUSCODE_BADCERTIFICATEISSUERUSENOTALLOWED,
                 concat(subject(each), " is no authority"));
    }
  }
  return judge_revocation(chain, known.get());
}

Verdict Trust::judge_revocation(const STACK_OF(X509) * chain, const STACK_OF(X509) * known) const {
  const auto lists = store_.crls();
  if (!lists.complaints.empty()) {
    return bad(UA_STATUSCODE_BADCERTIFICATEREVOCATIONUNKNOWN, lists.complaints.front());
  }
  for (int depth = 0; depth < sk_X509_num(chain); ++depth) {
    X509* const x = sk_X509_value(chain, depth);
    const auto unknown = depth == 0 ? UA_STATUSCODE_BADCERTIFICATEREVOCATIONUNKNOWN
                                    : UA_STATUSCODE_BADCERTIFICATEISSUERREVOCATIONUNKNOWN;
    for (const pki::Crl& list : lists.items) {
      if (X509_NAME_cmp(X509_CRL_get_issuer(list.get()), X509_get_issuer_name(x)) != 0) {
        continue;
      }
      bool is_signed = false;
      for (int i = 0; i < sk_X509_num(known) && !is_signed; ++i) {
        const X509* const authority = sk_X509_value(known, i);
        is_signed = X509_NAME_cmp(X509_get_subject_name(authority), X509_get_issuer_name(x)) == 0 &&
                    X509_CRL_verify(list.get(), X509_get0_pubkey(authority)) == 1;
      }
      const ASN1_TIME* const end = X509_CRL_get0_nextUpdate(list.get());
      if (!is_signed || X509_cmp_current_time(X509_CRL_get0_lastUpdate(list.get())) > 0 ||
          (end != nullptr && X509_cmp_current_time(end) < 0)) {
        return bad(unknown, concat("the revocation list of ", issuer(x), " in crl/ is ",
                                   is_signed ? "not valid now" : "not signed by who is known"));
      }
      X509_REVOKED* entry = nullptr;
      if (X509_CRL_get0_by_cert(list.get(), &entry, x) == 1) {
        return bad(depth == 0 ? UA_STATUSCODE_BADCERTIFICATEREVOKED
                              : UA_STATUSCODE_BADCERTIFICATEISSUERREVOKED,
                   concat(depth == 0 ? "it" : subject(x), " was revoked by ", issuer(x)));
      }
    }
  }
  return {};
}

void Trust::keep(X509& certificate, const Verdict& verdict, const Expected& expected) const {
  refused_.add();
  const std::string cause =
      concat(std::string_view(UA_StatusCode_name(verdict.code)), ": ", verdict.reason);
  bool is_news = true;  // where it cannot be kept, too: then only the log has it
  boundary([&] { is_news = store_.reject(certificate, cause, expected.peer); },
           [&](const Status& status) { complain({std::string(status.message())}); });
  if (is_news && options_.peer) {
    tell_refused(tls::thumbprint(certificate), cause, expected.peer);
  }
}

/// A peer may have any number of certificates.
void Trust::tell_refused(std::string_view thumbprint, std::string_view cause,
                         std::string_view peer) const {
  const std::lock_guard lock(mutex_);
  const auto left_out = refusals_.next(monotonic_ns());
  if (!left_out) {
    return;
  }
  host_.log().warning("a peer is refused: backplane cert pending shows it",
                      {{"cause", cause},
                       {"thumbprint", thumbprint},
                       {"peer", peer},
                       {"pki", store_.folder().string()},
                       {"not_logged_before", *left_out}});
}

void Trust::complain(const std::vector<std::string>& complaints) const {
  for (const std::string& each : complaints) {
    const std::lock_guard lock(mutex_);
    if (std::find(complained_.begin(), complained_.end(), each) == complained_.end()) {
      host_.log().warning("a file of the trust store is of no use", {{"reason", each}});
      complained_.push_back(each);
    }
  }
}

Status Trust::status_of(const Verdict& verdict) const {
  constexpr size_t kEnoughOfIt = 8;
  const bool helps = verdict.code == UA_STATUSCODE_BADCERTIFICATEUNTRUSTED ||
                     verdict.code == UA_STATUSCODE_BADCERTIFICATECHAININCOMPLETE;
  std::string advice;
  if (helps && !verdict.thumbprint.empty()) {
    advice = concat("; if it is the right one: backplane cert trust ",
                    verdict.thumbprint.substr(0, kEnoughOfIt), " --pki ", store_.folder().string());
  } else if (verdict.code == UA_STATUSCODE_BADCERTIFICATEHOSTNAMEINVALID) {
    advice = "; connect by one of its names, or set check_host_name = false";
  }
  return Status(BP_UNAUTHENTICATED, std::string_view(UA_StatusCode_name(verdict.code)),
                ": the peer's certificate: ", verdict.reason, advice)
      .with_native(static_cast<int32_t>(verdict.code), kDomain);
}

Expected Trust::from_peer() const {
  Expected out;
  out.peer = options_.peer ? options_.peer() : std::string();
  return out;
}

UA_CertificateVerification Trust::native(const UA_Logger* logger) const {
  UA_CertificateVerification out{};
  out.context = const_cast<Trust*>(this);  // the library has no const
  out.logging = logger;
  out.verifyCertificate = [](const UA_CertificateVerification* self,
                             const UA_ByteString* shown) -> UA_StatusCode {
    UA_StatusCode code = UA_STATUSCODE_BADCERTIFICATEINVALID;
    boundary(
        [&] {
          const auto& trust = *static_cast<const Trust*>(self->context);
          code = trust.check(view(*shown), trust.from_peer()).code;
        },
        [](const Status&) noexcept {});
    return code;
  };
  out.verifyApplicationURI = [](const UA_CertificateVerification* self, const UA_ByteString* shown,
                                const UA_String* uri) -> UA_StatusCode {
    UA_StatusCode code = UA_STATUSCODE_BADCERTIFICATEURIINVALID;
    boundary(
        [&] {
          const tls::Chain chain = parse_chain(view(*shown));
          if (sk_X509_num(chain.get()) == 0) {
            return;
          }
          const Verdict verdict = judge_uri(leaf_of(chain.get()), std::string(view(*uri)));
          code = verdict.code;
          if (!verdict.is_good()) {
            const auto& trust = *static_cast<const Trust*>(self->context);
            trust.keep(*leaf_of(chain.get()), verdict, trust.from_peer());
          }
        },
        [](const Status&) noexcept {});
    return code;
  };
  out.getExpirationDate = [](UA_DateTime* end, UA_ByteString* shown) -> UA_StatusCode {
    constexpr UA_DateTime kSecond = UA_DATETIME_SEC;
    const tls::Chain chain = parse_chain(view(*shown));
    if (!chain || sk_X509_num(chain.get()) == 0) {
      return UA_STATUSCODE_BADCERTIFICATEINVALID;
    }
    *end = UA_DATETIME_UNIX_EPOCH + tls::not_after(*leaf_of(chain.get())) * kSecond;
    return UA_STATUSCODE_GOOD;
  };
  out.getSubjectName = [](UA_String* name, UA_ByteString* shown) -> UA_StatusCode {
    UA_StatusCode code = UA_STATUSCODE_BADCERTIFICATEINVALID;
    boundary(
        [&] {
          const tls::Chain chain = parse_chain(view(*shown));
          if (sk_X509_num(chain.get()) > 0) {
            *name = allocated(subject(leaf_of(chain.get())));
            code = UA_STATUSCODE_GOOD;
          }
        },
        [](const Status&) noexcept {});
    return code;
  };
  return out;
}

}  // namespace backplane::opcua
