// SPDX-License-Identifier: Apache-2.0
// Whether a peer's certificate is to be believed, after OPC UA Part 4, 6.1.3: its chain up to one
// that is trusted, dates, revocation, use, application URI, host name.
//
// Design notes.
// - The store is read anew for each peer: who was trusted meanwhile is accepted, who was revoked is
//   not. These are a few small files.
// - A certificate that lies in trusted/ itself needs no authority; else its chain must end in one
//   that lies there.
// - Revocation: a list in crl/ is believed if its authority has signed it, and counts as long as it
//   is valid: a broken or an old one refuses all whom it is about. Without a list nobody is
//   revoked.
// - A server does not learn why from us (the library sends its peer a code); the store does.
#pragma once

#include "native.hpp"
#include <backplane/sdk/line_limit.hpp>
#include <backplane/sdk/pki_store.hpp>

#include <mutex>
#include <open62541/plugin/pki.h>

namespace backplane::opcua {

/// What is asked of a certificate besides that it is trusted.
struct Expected {
  std::optional<std::string> application_uri = {};
  std::string host_name = {};  // empty: any
  std::string peer = {};       // where it was met, for people
};

struct Verdict {
  UA_StatusCode code = UA_STATUSCODE_GOOD;
  std::string reason;      // what is wrong; empty: nothing
  std::string thumbprint;  // of what could be parsed
  bool is_good() const noexcept { return code == UA_STATUSCODE_GOOD; }
};

/// Any thread.
class Trust {
 public:
  struct Options {
    /// SHA-1 and keys below 2048 bits pass.
    bool allow_deprecated = false;
    /// Besides those of the store; may be null, and is asked each time.
    std::function<std::shared_ptr<const tls::Material>()> material;
    /// Of a server: the address of who shows what native() is asked about. Whom it refuses is
    /// logged, since nobody else is told.
    std::function<std::string()> peer = {};
  };

  /// `host` outlives it.
  Trust(const Host& host, pki::Store store, Options options)
      : host_(host),
        store_(std::move(store)),
        options_(std::move(options)),
        refused_(host.counter("opcua_certificates_refused_total")) {}
  Trust(const Trust&) = delete;
  Trust& operator=(const Trust&) = delete;

  const pki::Store& store() const noexcept { return store_; }

  /// `shown`: DER, perhaps with its chain behind it. Who is refused is kept in the store. Throws
  /// nothing but std::bad_alloc.
  Verdict check(std::string_view shown, const Expected& expected) const;

  /// UNAUTHENTICATED with the native code, what is wrong and what to do about it.
  Status status_of(const Verdict& verdict) const;

  /// For a client's or a server's configuration; this outlives it.
  UA_CertificateVerification native(const UA_Logger* logger) const;

 private:
  Verdict judge(const STACK_OF(X509) * shown, const Expected& expected) const;
  Verdict judge_chain(const STACK_OF(X509) * shown) const;
  Verdict judge_revocation(const STACK_OF(X509) * chain, const STACK_OF(X509) * known) const;
  void keep(X509& certificate, const Verdict& verdict, const Expected& expected) const;
  void tell_refused(std::string_view thumbprint, std::string_view cause,
                    std::string_view peer) const;
  Expected from_peer() const;
  void complain(const std::vector<std::string>& complaints) const;

  const Host& host_;
  const pki::Store store_;
  const Options options_;
  const Counter refused_;
  mutable std::mutex mutex_;  // guards what is below
  mutable std::vector<std::string> complained_;
  mutable LineLimit refusals_{std::chrono::seconds(1)};
};

/// One certificate or several, DER after DER; empty: the first is none.
tls::Chain parse_chain(std::string_view der);
/// The first of them, in DER.
std::string_view first_certificate(std::string_view der) noexcept;

}  // namespace backplane::opcua
