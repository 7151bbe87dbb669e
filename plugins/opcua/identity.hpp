// SPDX-License-Identifier: Apache-2.0
// Who an application of OPC UA is: a certificate with its URI (Part 6, 6.2.2), and the key; or who
// its user is.
#pragma once

#include <backplane/sdk/pki_store.hpp>

namespace backplane::opcua {

struct Identity {
  std::string source;  // "credential 'own'", or the file
  std::string application_uri;
  std::string thumbprint;
  std::vector<unsigned char> certificate;  // DER
  std::vector<unsigned char> key;          // DER; wiped

  Identity() = default;
  Identity(const Identity&) = delete;
  Identity& operator=(const Identity&) = delete;
  ~Identity() { OPENSSL_cleanse(key.data(), key.size()); }

  /// Throws Error (INVALID_ARGUMENT) when OPC UA has no use for them. `name`: where they are from.
  /// Only an application needs a URI, no user does.
  static std::shared_ptr<const Identity> of(std::string_view name, X509& certificate, EVP_PKEY& key,
                                            bool is_application = true);
};

/// "urn:HOST:backplane:SYSTEM"; a system that was made to look at another one has no name.
std::string default_application_uri(std::string_view system);

/// A new key (RSA, 2048 bits) and a certificate that it has signed itself, for ten years, in PEM.
/// Takes a tenth of a second and more.
tls::Secret make_identity(std::string_view application_uri);

/// That in the store's folder; null: there is none yet. Throws Error.
std::shared_ptr<const Identity> kept_identity(const pki::Store& store);

/// The same, made where there is none. Blocks: not on the loop. Throws Error.
std::shared_ptr<const Identity> kept_or_new_identity(const pki::Store& store,
                                                     std::string_view application_uri);

}  // namespace backplane::opcua
