// SPDX-License-Identifier: Apache-2.0
// backplane cert: the store of certificates that plugins share (OPC UA): who we are, whom we trust,
// who was refused. It works on the folder, whether a system runs or not.
#include "commands.hpp"
#include "exit_code.hpp"
#include <backplane/sdk/pki_store.hpp>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <iomanip>
#include <iostream>

namespace backplane::cli {
namespace {

using nlohmann::ordered_json;

struct Options {
  std::string folder;
  bool json = false;
  std::string id;

  pki::Store store() const {
    return pki::Store(folder.empty() ? pki::Store::default_folder()
                                     : std::filesystem::path(folder));
  }
};

/// One of the store's.
struct Entry {
  std::string place;  // "own", "trusted", "issuers", "rejected"
  tls::Certificate certificate;
  std::string cause;
  std::string peer;
  int64_t seen = 0;
};

constexpr size_t kShortId = 8;

std::string id_of(const Entry& entry) { return tls::thumbprint(*entry.certificate); }

std::string joined(const std::vector<std::string>& texts) {
  std::string out;
  for (const std::string& each : texts) {
    out += (out.empty() ? "" : ", ") + each;
  }
  return out;
}

std::string time_text(int64_t seconds) {
  const auto time = static_cast<std::time_t>(seconds);
  std::tm utc{};
  char text[32] = "";
  std::strftime(text, sizeof text, "%F %T UTC", gmtime_r(&time, &utc));
  return text;
}

void complain(const std::vector<std::string>& complaints) {
  for (const std::string& each : complaints) {
    std::cerr << "backplane: warning: " << each << '\n';
  }
}

tls::Certificate own_certificate(const pki::Store& store) {
  const auto content = store.identity();
  if (!content) {
    return nullptr;
  }
  const tls::detail::Bio text = tls::detail::reader(content->text());
  return tls::Certificate(PEM_read_bio_X509(text.get(), nullptr, nullptr, nullptr));
}

std::vector<Entry> rejected(const pki::Store& store) {
  std::vector<Entry> out;
  auto found = store.rejected();
  complain(found.complaints);
  for (pki::Rejected& each : found.items) {
    out.push_back({"rejected", std::move(each.certificate), each.cause, each.peer, each.seen});
  }
  return out;
}

std::vector<Entry> everything(const pki::Store& store) {
  std::vector<Entry> out;
  if (auto own = own_certificate(store)) {
    out.push_back({"own", std::move(own), {}, {}, 0});
  }
  for (const auto& [place, read] :
       {std::pair("trusted", &pki::Store::trusted), std::pair("issuers", &pki::Store::issuers)}) {
    auto found = (store.*read)();
    complain(found.complaints);
    for (tls::Certificate& each : found.items) {
      out.push_back({place, std::move(each), {}, {}, 0});
    }
  }
  for (Entry& each : rejected(store)) {
    out.push_back(std::move(each));
  }
  return out;
}

ordered_json json_of(const Entry& entry) {
  const X509& x = *entry.certificate;
  ordered_json out = {{"id", id_of(entry)},
                      {"place", entry.place},
                      {"subject", tls::distinguished_name(X509_get_subject_name(&x))},
                      {"issuer", tls::distinguished_name(X509_get_issuer_name(&x))},
                      {"uri", tls::application_uri(x)},
                      {"hosts", tls::host_names(x)},
                      {"not_before", tls::date_text(X509_get0_notBefore(&x))},
                      {"not_after", tls::date_text(X509_get0_notAfter(&x))}};
  if (entry.place == "rejected") {
    out["cause"] = entry.cause;
    out["peer"] = entry.peer;
    out["seen"] = time_text(entry.seen);
  }
  return out;
}

void print_json(const Entry& entry) {
  std::cout << json_of(entry).dump(-1, ' ', true, ordered_json::error_handler_t::replace) << '\n';
}

void print_details(const Entry& entry) {
  const X509& x = *entry.certificate;
  const auto line = [](const char* name, const std::string& value) {
    if (!value.empty()) {
      std::cout << "  " << std::left << std::setw(9) << name << value << '\n';
    }
  };
  std::cout << id_of(entry) << '\n';
  line("place", entry.place);
  line("cause", entry.cause);
  line("peer", entry.peer);
  line("seen", entry.seen == 0 ? std::string() : time_text(entry.seen));
  line("subject", tls::distinguished_name(X509_get_subject_name(&x)));
  line("issuer", tls::distinguished_name(X509_get_issuer_name(&x)));
  line("uri", tls::application_uri(x));
  line("hosts", joined(tls::host_names(x)));
  line("valid", concat(tls::date_text(X509_get0_notBefore(&x)), " to ",
                       tls::date_text(X509_get0_notAfter(&x))));
}

int list(const Options& options) {
  const auto entries = everything(options.store());
  if (options.json) {
    std::for_each(entries.begin(), entries.end(), print_json);
    return kDone;
  }
  const auto row = [](const std::string& place, const std::string& id, const std::string& until,
                      const std::string& name) {
    std::cout << std::left << std::setw(10) << place << std::setw(10) << id << std::setw(25)
              << until << name << '\n';
  };
  row("PLACE", "ID", "VALID UNTIL", "URI OR SUBJECT");
  for (const Entry& each : entries) {
    const X509& x = *each.certificate;
    const std::string uri = tls::application_uri(x);
    row(each.place, id_of(each).substr(0, kShortId), tls::date_text(X509_get0_notAfter(&x)),
        uri.empty() ? tls::distinguished_name(X509_get_subject_name(&x)) : uri);
  }
  return kDone;
}

int pending(const Options& options) {
  const auto entries = rejected(options.store());
  if (options.json) {
    std::for_each(entries.begin(), entries.end(), print_json);
    return kDone;
  }
  for (const Entry& each : entries) {
    print_details(each);
    std::cout << "  trust it: backplane cert trust " << id_of(each).substr(0, kShortId)
              << (options.folder.empty() ? "" : " --pki " + options.folder) << '\n';
  }
  if (entries.empty()) {
    std::cerr << "nobody was refused (" << options.store().folder().string() << ")\n";
  }
  return kDone;
}

int trust(const Options& options) {
  const pki::Rejected trusted = options.store().trust(options.id);
  const bool was_unknown = trusted.cause.starts_with("BadCertificateUntrusted") ||
                           trusted.cause.starts_with("BadCertificateChainIncomplete");
  std::cout << "trusted " << trusted.id << ", "
            << tls::distinguished_name(X509_get_subject_name(trusted.certificate.get())) << '\n';
  if (!was_unknown) {
    std::cerr << "backplane: warning: it was refused for another reason, which stays: "
              << trusted.cause << '\n';
  }
  return kDone;
}

int show(const Options& options) {
  const pki::Store store = options.store();
  std::optional<Entry> found;
  for (Entry& each : everything(store)) {
    if (options.id.empty() ? each.place == "own" : id_of(each).starts_with(options.id)) {
      if (found && id_of(*found) != id_of(each)) {
        throw Error(BP_INVALID_ARGUMENT, "'", options.id,
                    "' begins the ids of several: give more of it");
      }
      found = found ? std::move(found) : std::optional(std::move(each));
    }
  }
  if (!found) {
    throw Error(BP_NOT_FOUND, store.folder().string(), ": ",
                options.id.empty()
                    ? "there is no identity yet; it is made by the first secured connection"
                    : concat("no certificate '", options.id, "'"));
  }
  if (options.json) {
    print_json(*found);
    return kDone;
  }
  print_details(*found);
  const tls::detail::Bio out(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(out.get(), found->certificate.get());
  char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  std::cout << std::string_view(text, static_cast<size_t>(size));
  return kDone;
}

}  // namespace

void add_cert(CLI::App& app, Commands& commands) {
  auto options = std::make_shared<Options>();
  CLI::App* sub = app.add_subcommand("cert", "Certificates of peers: list, pending, trust, show");
  sub->require_subcommand(1);
  sub->fallthrough();
  sub->add_option(
         "--pki", options->folder,
         "The folder of certificates, as the key pki of an instance; by default the user's")
      ->type_name("FOLDER");
  sub->footer(R"(Examples:
  backplane cert pending
  backplane cert trust 4f2a91c0
  backplane cert show >our-certificate.pem
  backplane cert list --pki /var/lib/plant/pki

A peer that is trusted is accepted from its next try on; nothing needs a restart.)");
  const auto add = [&](const char* name, const char* text, int (*run)(const Options&)) {
    CLI::App* const verb = sub->add_subcommand(name, text);
    verb->callback(
        [options, run, &commands] { commands.chosen = [options, run] { return run(*options); }; });
    return verb;
  };
  const auto with_json = [&](CLI::App* verb) {
    verb->add_flag("--json", options->json, "A line of JSON a certificate");
    return verb;
  };
  with_json(add("list", "Who we are, whom we trust, who was refused", &list));
  with_json(add("pending", "Who was refused, and why", &pending));
  add("trust", "Trust one that was refused", &trust)
      ->add_option("id", options->id, "The first digits of its id")
      ->type_name("ID")
      ->required();
  with_json(
      add("show", "Print a certificate; without an id our own, to be trusted elsewhere", &show))
      ->add_option("id", options->id, "The first digits of its id")
      ->type_name("ID");
}

}  // namespace backplane::cli
