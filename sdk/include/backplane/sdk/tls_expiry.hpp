// SPDX-License-Identifier: Apache-2.0
// Says in time that a certificate ends: a warning from 30 days before, an error once it is over,
// again each day; and a gauge with the date. For plugins that link OpenSSL 3; see tls.hpp.
#pragma once

#include "host.hpp"
#include "loop.hpp"
#include "unique_handle.hpp"

#include <openssl/asn1.h>
#include <openssl/x509.h>

#include <ctime>

namespace backplane::tls {

/// Seconds since 1970 (UTC).
inline int64_t not_after(const X509& certificate) noexcept {
  std::tm time{};
  return ASN1_TIME_to_tm(X509_get0_notAfter(&certificate), &time) == 1 ? timegm(&time) : 0;
}

/// The common name of its subject, as far as it is printable; empty: it has none.
inline std::string common_name(const X509& certificate) {
  const X509_NAME* const subject = X509_get_subject_name(&certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  unsigned char* utf8 = nullptr;
  const int size = at < 0 ? -1
                          : ASN1_STRING_to_UTF8(
                                &utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
  const std::unique_ptr<unsigned char, void (*)(unsigned char*)> owner(
      utf8, [](unsigned char* text) { OPENSSL_free(text); });
  std::string out(reinterpret_cast<const char*>(utf8), size < 0 ? 0U : static_cast<size_t>(size));
  const bool has_control = std::any_of(out.begin(), out.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
  return has_control ? std::string() : out;
}

/// What is to be said of a certificate at a time.
struct Expiry {
  uint32_t level = BP_LOG_DEBUG;  // BP_LOG_WARNING: it ends soon; BP_LOG_ERROR: it is over
  std::string text;

  static constexpr int64_t kDay = int64_t{24} * 60 * 60;
  static constexpr int64_t kSoon = 30 * kDay;

  static Expiry of(const X509& certificate, int64_t now) {
    const int64_t end = not_after(certificate);
    const auto seconds = static_cast<std::time_t>(end);
    std::tm utc{};
    char date[32] = "";
    std::strftime(date, sizeof date, "%F %T UTC", gmtime_r(&seconds, &utc));
    Expiry out;
    if (end <= now) {
      out.level = BP_LOG_ERROR;
      out.text = concat("expired at ", std::string_view(date));
    } else {
      out.level = end - now < kSoon ? BP_LOG_WARNING : BP_LOG_DEBUG;
      out.text = concat("expires in ", (end - now) / kDay, " days, at ", std::string_view(date));
    }
    return out;
  }
};

/// Watches one certificate at a time. One thread at a time; its timer is the loop's.
class ExpiryWatch {
 public:
  struct Clocks {
    std::function<int64_t()> wall = [] { return static_cast<int64_t>(std::time(nullptr)); };
    std::function<int64_t()> monotonic = [] { return monotonic_ns(); };
  };

  /// `whose`: "own" or "peer", the label of the gauge. `refresh`, before anything is said later
  /// than watch(): it may watch another one by then. `clocks`: seconds since 1970, nanoseconds.
  ExpiryWatch(const Host& host, std::string whose, std::function<void()> refresh = {})
      : ExpiryWatch(host, std::move(whose), std::move(refresh), Clocks()) {}
  ExpiryWatch(const Host& host, std::string whose, std::function<void()> refresh, Clocks clocks)
      : host_(host),
        whose_(std::move(whose)),
        refresh_(std::move(refresh)),
        clocks_(std::move(clocks)),
        gauge_(host.gauge("certificate_not_after_s", {{"certificate", whose_}})),
        timer_(host, [this] { look(); }) {}
  ExpiryWatch(const ExpiryWatch&) = delete;
  ExpiryWatch& operator=(const ExpiryWatch&) = delete;

  /// Nothing is said twice of the same certificate in a row.
  void watch(X509& certificate) {
    if (certificate_ && X509_cmp(certificate_.get(), &certificate) == 0) {
      return;
    }
    X509_up_ref(&certificate);
    certificate_.reset(&certificate);
    gauge_.set(not_after(certificate));
    said_level_ = BP_LOG_DEBUG;
    say();
  }

 private:
  static constexpr auto kLookEvery = std::chrono::hours(1);

  void look() {
    if (refresh_) {
      refresh_();
    }
    say();
  }

  void say() {
    const int64_t now = clocks_.wall();
    const Expiry expiry = Expiry::of(*certificate_, now);
    const bool is_due = expiry.level != said_level_ || now - said_at_ >= Expiry::kDay;
    if (expiry.level <= BP_LOG_WARNING && is_due) {
      host_.log().write(expiry.level,
                        whose_ == "own" ? "our certificate ends" : "the peer's certificate ends",
                        {{"subject", common_name(*certificate_)}, {"reason", expiry.text}});
      said_at_ = now;
    }
    said_level_ = expiry.level;
    const int64_t left = not_after(*certificate_) - now;
    const int64_t next = left > Expiry::kSoon ? left - Expiry::kSoon : left;
    const std::chrono::seconds exactly(std::max<int64_t>(next, 0) + 1);
    const std::chrono::nanoseconds wait =
        left > 0 ? std::min<std::chrono::seconds>(exactly, kLookEvery) : kLookEvery;
    static_cast<void>(timer_.at(clocks_.monotonic() + wait.count()));
  }

  const Host& host_;
  const std::string whose_;
  const std::function<void()> refresh_;
  const Clocks clocks_;
  const Gauge gauge_;
  UniqueHandle<X509, X509_free> certificate_;
  uint32_t said_level_ = BP_LOG_DEBUG;
  int64_t said_at_ = 0;
  Timer timer_;  // the last member: its callback ends first
};

}  // namespace backplane::tls
