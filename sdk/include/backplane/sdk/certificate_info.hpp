// SPDX-License-Identifier: Apache-2.0
// What a certificate says of itself, as text that is safe to print. For plugins and programs that
// link OpenSSL 3; see tls.hpp.
#pragma once

#include "tls_expiry.hpp"

#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>
#include <string>
#include <vector>

namespace backplane::tls {

namespace detail {

inline void free_names(GENERAL_NAMES* names) noexcept { GENERAL_NAMES_free(names); }
using Names = UniqueHandle<GENERAL_NAMES, free_names>;

inline Names alternative_names(const X509& certificate) {
  return Names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr)));
}

/// As it stands, with a '?' for what is no visible ASCII: a peer has chosen it.
inline std::string visible(const ASN1_STRING* text) {
  std::string out(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                  static_cast<size_t>(ASN1_STRING_length(text)));
  for (char& c : out) {
    c = c > 0x20 && c < 0x7f ? c : '?';
  }
  return out;
}

}  // namespace detail

/// SHA-1 of its DER, as OPC UA calls it, in lower case hexadecimal digits: a name, no protection.
inline std::string thumbprint(const X509& certificate) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  X509_digest(&certificate, EVP_sha1(), digest, &size);
  std::string out;
  for (unsigned i = 0; i < size; ++i) {
    constexpr char kDigits[] = "0123456789abcdef";
    out += kDigits[digest[i] >> 4U];
    out += kDigits[digest[i] & 15U];
  }
  return out;
}

/// The first URI among its alternative names; empty: it has none.
inline std::string application_uri(const X509& certificate) {
  const detail::Names names = detail::alternative_names(certificate);
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* const name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_URI) {
      return detail::visible(name->d.uniformResourceIdentifier);
    }
  }
  return {};
}

/// The hosts that it is for: names and addresses.
inline std::vector<std::string> host_names(const X509& certificate) {
  std::vector<std::string> out;
  const detail::Names names = detail::alternative_names(certificate);
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* const name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_DNS) {
      out.push_back(detail::visible(name->d.dNSName));
    } else if (name->type == GEN_IPADD) {
      const int size = ASN1_STRING_length(name->d.iPAddress);
      char text[INET6_ADDRSTRLEN] = "";
      inet_ntop(size == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(name->d.iPAddress), text,
                sizeof text);
      if (size == 4 || size == 16) {
        out.emplace_back(text);
      }
    }
  }
  return out;
}

/// "CN=press 7,O=Plant": RFC 2253, with the common name first, and escapes for what is not visible.
inline std::string distinguished_name(const X509_NAME* name) {
  const UniqueHandle<BIO, BIO_free> out(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(out.get(), name, 0, XN_FLAG_RFC2253);
  char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  return {text, static_cast<size_t>(size)};
}

/// "2031-05-01 12:00:00 UTC"; what is no time is "?".
inline std::string date_text(const ASN1_TIME* time) {
  std::tm utc{};
  char text[32] = "?";
  if (ASN1_TIME_to_tm(time, &utc) == 1) {
    std::strftime(text, sizeof text, "%F %T UTC", &utc);
  }
  return text;
}

}  // namespace backplane::tls
