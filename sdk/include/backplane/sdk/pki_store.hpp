// SPDX-License-Identifier: Apache-2.0
// The folder that says who we are and whom we trust, where peers show certificates that no common
// authority has signed (OPC UA). For plugins and programs that link OpenSSL 3; see tls.hpp.
//
//   own/identity.pem       our certificate and its key (0600)
//   trusted/               certificates of peers, and of authorities whose peers are trusted
//   issuers/               authorities that are known, so that a chain is complete, not trusted
//   crl/                   what authorities have revoked
//   rejected/ID.pem        peers that were refused, with the reason; ID is the thumbprint
//
// Design notes.
// - Files are PEM or DER, whatever their names; a hidden one is left alone. They are read anew each
//   time they are needed, so what is put there or taken away counts from the next peer on.
// - Who can write here is trusted by us: a folder or file that others could have written is
// refused,
//   as is a symbolic link inside it. What is broken trusts nobody, and is named.
// - A file appears by its name when it is complete (rename, link); so several processes may share a
//   store.
#pragma once

#include "certificate_info.hpp"
#include "tls.hpp"

#include <algorithm>
#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <filesystem>
#include <pwd.h>
#include <sys/stat.h>

namespace backplane::pki {

using Crl = UniqueHandle<X509_CRL, X509_CRL_free>;

/// What a folder of the store holds, and what in it is of no use.
template <class T>
struct Found {
  std::vector<T> items;
  std::vector<std::string> complaints;  // "PATH: what is wrong"
};

/// A peer that was refused.
struct Rejected {
  std::string id;  // its thumbprint
  tls::Certificate certificate;
  std::string cause;  // "BadCertificateUntrusted: ..."
  std::string peer;   // where it was met
  int64_t seen = 0;   // the last time, in seconds since 1970
};

/// Any number of threads and processes. Functions that read or write files throw Error.
class Store {
 public:
  static constexpr size_t kMostRejected = 64;

  explicit Store(std::filesystem::path folder) : folder_(std::move(folder)) {}

  /// $STATE_DIRECTORY/pki under systemd, else backplane/pki below $XDG_STATE_HOME or the user's
  /// ~/.local/state.
  static std::filesystem::path default_folder() {
    const auto variable = [](const char* name) {
      const char* const value = std::getenv(name);
      return std::filesystem::path(value == nullptr ? "" : value);
    };
    if (const auto state = variable("STATE_DIRECTORY").string(); !state.empty()) {
      return std::filesystem::path(state.substr(0, state.find(':'))) / "pki";
    }
    if (const auto state = variable("XDG_STATE_HOME"); state.is_absolute()) {
      return state / "backplane" / "pki";
    }
    auto home = variable("HOME");
    if (!home.is_absolute()) {
      const passwd* const own = ::getpwuid(::geteuid());
      home = own == nullptr ? "/" : own->pw_dir;
    }
    return home / ".local" / "state" / "backplane" / "pki";
  }

  const std::filesystem::path& folder() const noexcept { return folder_; }
  std::filesystem::path identity_file() const { return folder_ / "own" / "identity.pem"; }

  Found<tls::Certificate> trusted() const { return certificates("trusted"); }
  Found<tls::Certificate> issuers() const { return certificates("issuers"); }
  Found<Crl> crls() const {
    Found<Crl> out;
    for_each("crl", out.complaints, [&](const File& file) {
      auto parsed = parse<Crl>(file.content, d2i_X509_CRL, PEM_read_bio_X509_CRL);
      std::move(parsed.begin(), parsed.end(), std::back_inserter(out.items));
      return !parsed.empty();
    });
    return out;
  }

  /// The text of own/identity.pem; nothing: there is none yet.
  std::optional<tls::Secret> identity() const {
    const Folder own = open_folder("own");
    if (!own.fd) {
      return std::nullopt;
    }
    std::string why;
    if (auto file = read_file(own, "identity.pem", why)) {
      return tls::Secret(std::move(file->content));
    }
    if (why.empty()) {
      return std::nullopt;
    }
    throw Error(BP_FAILED_PRECONDITION, identity_file().string(), ": ", why);
  }
  /// False: there was one before.
  bool keep_identity(std::string_view pem) const {
    const Folder own = make_folder("own");
    const std::string temporary = write_temporary(own, pem, true);
    const bool is_ours =
        ::linkat(own.fd.get(), temporary.c_str(), own.fd.get(), "identity.pem", 0) == 0;
    const int error = is_ours ? 0 : errno;
    ::unlinkat(own.fd.get(), temporary.c_str(), 0);
    if (error != 0 && error != EEXIST) {
      fail(identity_file(), error);
    }
    return is_ours;
  }

  /// Keeps a refused peer; one entry a certificate. The oldest of more than kMostRejected go.
  /// False: there was the same before.
  bool reject(X509& certificate, std::string_view cause, std::string_view peer) const {
    const Folder folder = make_folder("rejected");
    const std::string name = tls::thumbprint(certificate) + ".pem";
    // PEM begins with its first line of dashes; what is before it is for people, and rejected().
    const std::string head = concat("cause: ", line_of(cause), "\npeer: ", line_of(peer), "\n");
    std::string why;
    const auto before = read_file(folder, name, why);
    if (before && before->content.text().starts_with(head)) {
      ::utimensat(folder.fd.get(), name.c_str(), nullptr, 0);
      return false;
    }
    const tls::detail::Bio out(BIO_new(BIO_s_mem()));
    PEM_write_bio_X509(out.get(), &certificate);
    char* text = nullptr;
    const long size = BIO_get_mem_data(out.get(), &text);
    const std::string temporary = write_temporary(
        folder, concat(head, std::string_view(text, static_cast<size_t>(size))), false);
    if (::renameat(folder.fd.get(), temporary.c_str(), folder.fd.get(), name.c_str()) != 0) {
      const int error = errno;
      ::unlinkat(folder.fd.get(), temporary.c_str(), 0);
      fail(folder.path / name, error);
    }
    forget_oldest(folder);
    return true;
  }

  /// The latest first.
  Found<Rejected> rejected() const {
    Found<Rejected> out;
    for_each("rejected", out.complaints, [&](const File& file) {
      auto parsed = parse<tls::Certificate>(file.content, d2i_X509, PEM_read_bio_X509);
      if (parsed.size() != 1 || file.name != tls::thumbprint(*parsed[0]) + ".pem") {
        return false;
      }
      out.items.push_back({tls::thumbprint(*parsed[0]), std::move(parsed[0]),
                           field(file.content, "cause"), field(file.content, "peer"),
                           file.written});
      return true;
    });
    std::sort(out.items.begin(), out.items.end(), [](const Rejected& a, const Rejected& b) {
      return std::tie(b.seen, b.id) < std::tie(a.seen, a.id);
    });
    return out;
  }

  /// Moves the refused peer whose id begins so to those that are trusted. NOT_FOUND, or
  /// INVALID_ARGUMENT where several do.
  Rejected trust(std::string_view id) const {
    std::optional<Rejected> found;
    for (Rejected& each : rejected().items) {
      if (each.id.starts_with(id)) {
        if (found) {
          throw Error(BP_INVALID_ARGUMENT, "'", id, "' begins the ids of several: give more of it");
        }
        found = std::move(each);
      }
    }
    if (!found || id.empty()) {
      throw Error(BP_NOT_FOUND, "no refused certificate '", id, "' in ", folder_.string(),
                  "; `backplane cert pending --pki ", folder_.string(),
                  "` shows those that there are");
    }
    const Folder from = open_folder("rejected");
    const Folder to = make_folder("trusted");
    const std::string name = found->id + ".pem";
    if (::renameat(from.fd.get(), name.c_str(), to.fd.get(), name.c_str()) != 0) {
      fail(to.path / name, errno);
    }
    return *std::move(found);
  }

 private:
  static constexpr size_t kMostFiles = 1024;
  static constexpr size_t kMostBytes = size_t{8} << 20;

  struct Folder {
    std::filesystem::path path;
    UniqueFd fd;
  };
  struct File {
    std::string name;
    Buffer content;
    int64_t written;  // seconds since 1970
  };

  [[noreturn]] static void fail(const std::filesystem::path& path, int error) {
    throw Error(error == EACCES || error == EPERM ? BP_PERMISSION_DENIED : BP_FAILED_PRECONDITION,
                path.string(), ": ", std::string_view(strerror(error)));
  }

  /// Why it must not be believed; empty: only root and we can have written it.
  static std::string distrust(const std::filesystem::path& path, const struct stat& status,
                              bool is_parent) {
    if (status.st_uid != 0 && status.st_uid != ::geteuid()) {
      return ::geteuid() == 0  // whose chown would lock its user out
                 ? concat("belongs to user ", status.st_uid, ": sudo -u '#", status.st_uid,
                          "' does this as him")
                 : concat("belongs to another user: chown ", ::geteuid(), " '", path.string(), "'");
    }
    // Nobody can replace in a sticky folder such as /tmp what is another's.
    if (is_parent && (status.st_mode & S_ISVTX) != 0) {
      return {};
    }
    const bool by_group = (status.st_mode & S_IWGRP) != 0 && status.st_gid != 0;
    return (status.st_mode & S_IWOTH) != 0 || by_group
               ? concat("can be written by others: chmod go-w '", path.string(), "'")
               : std::string();
  }

  void check_parents() const {
    std::error_code error;
    const auto whole = std::filesystem::canonical(folder_, error);
    for (auto at = whole; !error && at != at.parent_path(); at = at.parent_path()) {
      struct stat status {};
      if (::stat(at.c_str(), &status) != 0) {
        fail(at, errno);
      }
      if (const std::string why = distrust(at, status, at != whole); !why.empty()) {
        throw Error(BP_PERMISSION_DENIED, at.string(), ": ", why);
      }
    }
  }

  /// Without descriptor: it is not there.
  Folder open_folder(const char* name) const {
    Folder out{folder_ / name, UniqueFd()};
    out.fd.reset(::open(out.path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!out.fd) {
      if (errno == ENOENT) {
        return out;
      }
      fail(out.path, errno);
    }
    check_parents();
    struct stat status {};
    ::fstat(out.fd.get(), &status);
    if (const std::string why = distrust(out.path, status, false); !why.empty()) {
      throw Error(BP_PERMISSION_DENIED, out.path.string(), ": ", why);
    }
    return out;
  }

  Folder make_folder(const char* name) const {
    constexpr mode_t kOursAlone = 0700;
    std::filesystem::path at;
    for (const auto& part : std::filesystem::absolute(folder_ / name)) {
      at /= part;
      std::error_code unknown;
      if (!std::filesystem::is_directory(at, unknown) && ::mkdir(at.c_str(), kOursAlone) != 0 &&
          errno != EEXIST) {
        fail(at, errno);
      }
    }
    Folder out = open_folder(name);
    if (!out.fd) {
      fail(out.path, ENOENT);
    }
    return out;
  }

  /// Nothing, and why; without a reason: it is not there.
  static std::optional<File> read_file(const Folder& folder, const std::string& name,
                                       std::string& why) {
    // O_NONBLOCK: opening a FIFO must not wait for its writer.
    const UniqueFd file(
        ::openat(folder.fd.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    struct stat status {};
    if (!file || ::fstat(file.get(), &status) != 0) {
      why = errno == ENOENT  ? ""
            : errno == ELOOP ? "is a symbolic link: put the file itself there"
                             : strerror(errno);
      return std::nullopt;
    }
    why = !S_ISREG(status.st_mode) ? "is no file"
          : static_cast<size_t>(status.st_size) > kMostBytes
              ? "is too long for a certificate"
              : distrust(folder.path / name, status, false);
    if (!why.empty()) {
      return std::nullopt;
    }
    File out{name, Buffer::make(static_cast<size_t>(status.st_size)), status.st_mtim.tv_sec};
    const ssize_t n = ::pread(file.get(), out.content.data(), out.content.size(), 0);
    if (n != status.st_size) {
      why = n < 0 ? strerror(errno) : "is being written";
      return std::nullopt;
    }
    return out;
  }

  static std::vector<std::string> names_in(const Folder& folder) {
    std::vector<std::string> out;
    const UniqueHandle<DIR, closedir> listing(::fdopendir(::dup(folder.fd.get())));
    if (!listing) {
      fail(folder.path, errno);
    }
    ::rewinddir(listing.get());  // the duplicate shares its place
    while (const dirent* const each = ::readdir(listing.get())) {
      if (each->d_name[0] != '.') {
        out.emplace_back(each->d_name);
      }
    }
    std::sort(out.begin(), out.end());
    return out;
  }

  /// `take` is false for what it has no use for.
  template <class Take>
  void for_each(const char* name, std::vector<std::string>& complaints, const Take& take) const {
    const Folder folder = open_folder(name);
    if (!folder.fd) {
      return;
    }
    auto names = names_in(folder);
    if (names.size() > kMostFiles) {
      complaints.push_back(concat(folder.path.string(), ": has more than ", kMostFiles, " files"));
      names.resize(kMostFiles);
    }
    for (const std::string& each : names) {
      std::string why;
      const auto file = read_file(folder, each, why);
      if (file && !take(*file)) {
        why = "is no certificate or list in PEM or DER, or is broken";
      }
      if (!why.empty()) {
        complaints.push_back(concat((folder.path / each).string(), ": ", why));
      }
    }
  }

  /// All that a file holds; none: it is broken.
  template <class T, class Der, class Pem>
  static std::vector<T> parse(const Buffer& content, Der der, Pem pem) {
    constexpr auto kSequence = std::byte{0x30};
    std::vector<T> out;
    if (content.size() > 0 && content.data()[0] == kSequence) {
      const auto* begin = reinterpret_cast<const unsigned char*>(content.data());
      const unsigned char* at = begin;
      T one(der(nullptr, &at, static_cast<long>(content.size())));
      if (one && at == begin + content.size()) {
        out.push_back(std::move(one));
      }
      ERR_clear_error();
      return out;
    }
    const tls::detail::Bio text = tls::detail::reader(content);
    while (T one{pem(text.get(), nullptr, nullptr, nullptr)}) {
      out.push_back(std::move(one));
    }
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {  // not at its end
      out.clear();
    }
    ERR_clear_error();
    return out;
  }

  Found<tls::Certificate> certificates(const char* name) const {
    Found<tls::Certificate> out;
    for_each(name, out.complaints, [&](const File& file) {
      auto parsed = parse<tls::Certificate>(file.content, d2i_X509, PEM_read_bio_X509);
      std::move(parsed.begin(), parsed.end(), std::back_inserter(out.items));
      return !parsed.empty();
    });
    return out;
  }

  /// Its name: hidden, so that nobody takes it for complete.
  static std::string write_temporary(const Folder& folder, std::string_view content,
                                     bool is_durable) {
    constexpr mode_t kOursAlone = 0600;
    for (int i = 0;; ++i) {
      std::string name = concat(".", ::getpid(), "-", monotonic_now(), "-", i);
      const UniqueFd file(::openat(folder.fd.get(), name.c_str(),
                                   O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                                   kOursAlone));
      if (!file && errno == EEXIST) {
        continue;
      }
      if (!file ||
          ::write(file.get(), content.data(), content.size()) !=
              static_cast<ssize_t>(content.size()) ||
          (is_durable && ::fsync(file.get()) != 0)) {
        const int error = errno;
        ::unlinkat(folder.fd.get(), name.c_str(), 0);
        fail(folder.path / name, error);
      }
      return name;
    }
  }
  static int64_t monotonic_now() noexcept {
    return std::chrono::steady_clock::now().time_since_epoch().count();
  }

  static void forget_oldest(const Folder& folder) {
    std::vector<std::pair<int64_t, std::string>> files;
    for (std::string& name : names_in(folder)) {
      struct stat status {};
      if (::fstatat(folder.fd.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) {
        constexpr int64_t kNs = 1'000'000'000;
        files.emplace_back(status.st_mtim.tv_sec * kNs + status.st_mtim.tv_nsec, std::move(name));
      }
    }
    std::sort(files.begin(), files.end());
    for (size_t i = 0; i + kMostRejected < files.size(); ++i) {
      ::unlinkat(folder.fd.get(), files[i].second.c_str(), 0);
    }
  }

  static std::string line_of(std::string_view text) {
    std::string out(text.substr(0, 500));
    std::replace_if(
        out.begin(), out.end(),
        [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, ' ');
    return out;
  }
  /// Of the lines before the certificate.
  static std::string field(const Buffer& in, std::string_view name) {
    std::string_view text = in.text();
    text = text.substr(0, text.find("-----BEGIN"));
    while (!text.empty()) {
      const std::string_view line = text.substr(0, text.find('\n'));
      if (line.starts_with(name) && line.substr(name.size()).starts_with(": ")) {
        return line_of(line.substr(name.size() + 2));
      }
      text.remove_prefix(std::min(line.size() + 1, text.size()));
    }
    return {};
  }

  std::filesystem::path folder_;
};

}  // namespace backplane::pki
