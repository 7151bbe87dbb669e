// SPDX-License-Identifier: Apache-2.0
#include "backplane/sdk/pki_store.hpp"

#include "support/as_nobody.hpp"
#include "support/certificates.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

namespace backplane::test {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

class PkiStore : public testing::Test {
 protected:
  PkiStore() { certificates_.application("peer", "urn:test:peer"); }

  fs::path place(const std::string& folder, const std::string& name, std::string_view content,
                 mode_t mode = 0600) const {
    ScratchFolder::set_mode(folder_.path(), 0700);
    return folder_.write(fs::path("pki") / folder / name, content, mode);
  }
  std::string text(const std::string& name) const {
    std::ifstream in(certificates_.path(name));
    return {std::istreambuf_iterator<char>(in), {}};
  }
  std::string id(const std::string& name) const {
    return tls::thumbprint(certificates_.certificate(name));
  }
  static std::string refusal(const std::function<void()>& body) {
    try {
      body();
    } catch (const Error& error) {
      return std::string(error.status().message());
    }
    return "accepted";
  }
  static mode_t mode(const fs::path& path) {
    struct stat status {};
    EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
    return status.st_mode & 07777U;
  }

  Certificates certificates_;
  ScratchFolder folder_;
  const pki::Store sut_{folder_.path() / "pki"};
};

TEST_F(PkiStore, IsEmptyBeforeAnythingIsThere) {
  EXPECT_TRUE(sut_.trusted().items.empty());
  EXPECT_TRUE(sut_.crls().items.empty());
  EXPECT_TRUE(sut_.rejected().items.empty());
  EXPECT_FALSE(sut_.identity());
  EXPECT_FALSE(fs::exists(sut_.folder())) << "reading makes nothing";
}

TEST_F(PkiStore, KeepsTheFirstIdentityForItsOwnerAlone) {
  EXPECT_TRUE(sut_.keep_identity("first"));
  EXPECT_FALSE(sut_.keep_identity("second"));
  EXPECT_EQ(sut_.identity()->text(), "first");
  EXPECT_EQ(mode(sut_.identity_file()), 0600u);
  EXPECT_EQ(mode(sut_.folder()), 0700u);
  EXPECT_EQ(std::distance(fs::directory_iterator(sut_.folder() / "own"), {}), 1) << "nothing else";
}

TEST_F(PkiStore, ReadsPemAndDer) {
  certificates_.application("other", "urn:test:other");
  place("trusted", "a.der", certificates_.der("peer"));
  place("trusted", "several.pem", text("other.pem") + text("ca.pem"));
  const auto found = sut_.trusted();
  EXPECT_THAT(found.complaints, ElementsAre());
  ASSERT_EQ(found.items.size(), 3u);
  EXPECT_EQ(tls::application_uri(*found.items[0]), "urn:test:peer");
  EXPECT_THAT(tls::host_names(*found.items[0]), ElementsAre("localhost", "127.0.0.1"));
}

TEST_F(PkiStore, NamesFilesThatAreBrokenAndReadsTheOthers) {
  const std::string der = certificates_.der("peer");
  const std::string pem = text("peer.pem");
  place("trusted", "1-short.der", der.substr(0, der.size() - 1));
  place("trusted", "2-long.der", der + "x");
  place("trusted", "3-cut.pem", pem.substr(0, pem.size() / 2));
  place("trusted", "4-empty.pem", "");
  place("trusted", "5-noise.der", std::string("\x30\x84\xff\xff\xff\xff noise"));
  place("trusted", "6-good.pem", pem);
  place("trusted", ".hidden", "not looked at");
  const auto found = sut_.trusted();
  EXPECT_EQ(found.items.size(), 1u);
  EXPECT_THAT(found.complaints,
              ElementsAre(HasSubstr("1-short.der: is no"), HasSubstr("2-long.der: is no"),
                          HasSubstr("3-cut.pem: is no"), HasSubstr("4-empty.pem: is no"),
                          HasSubstr("5-noise.der: is no")));
  place("crl", "noise.crl", "noise");
  EXPECT_THAT(sut_.crls().complaints, ElementsAre(HasSubstr("noise.crl: is no")));
}

TEST_F(PkiStore, FollowsNoLinksAndOpensNoPipes) {
  place("trusted", "real.pem", text("peer.pem"));
  fs::create_symlink(certificates_.path("ca.pem"), sut_.folder() / "trusted" / "link.pem");
  ASSERT_EQ(mkfifo((sut_.folder() / "trusted" / "pipe.pem").c_str(), 0600), 0);
  const auto found = sut_.trusted();
  EXPECT_EQ(found.items.size(), 1u);
  EXPECT_THAT(found.complaints, ElementsAre(HasSubstr("link.pem: is a symbolic link"),
                                            HasSubstr("pipe.pem: is no file")));
}

TEST_F(PkiStore, BelievesNoFileThatOthersCanWrite) {
  const fs::path file = place("trusted", "peer.pem", text("peer.pem"), 0666);
  EXPECT_TRUE(sut_.trusted().items.empty());
  EXPECT_THAT(sut_.trusted().complaints,
              ElementsAre(HasSubstr(concat("chmod go-w '", file.string(), "'"))));
}

TEST_F(PkiStore, RefusesAFolderThatOthersCanWrite) {
  const fs::path file = place("trusted", "peer.pem", text("peer.pem"));
  for (const fs::path& open : {file.parent_path(), sut_.folder(), folder_.path()}) {
    ScratchFolder::set_mode(open, 0777);
    EXPECT_THAT(refusal([&] { static_cast<void>(sut_.trusted()); }),
                HasSubstr(concat(open.string(), ": can be written by others: chmod go-w")));
    ScratchFolder::set_mode(open, 0700);
  }
  EXPECT_EQ(sut_.trusted().items.size(), 1u);
}

// Whose user a chown by root would lock out.
TEST_F(PkiStore, TellsRootWhoseItIs) {
  if (::getuid() != 0) {
    GTEST_SKIP() << "only root can give a folder away";
  }
  place("trusted", "peer.pem", text("peer.pem"));
  constexpr uid_t kNobody = 65534;
  ASSERT_EQ(::chown(sut_.folder().c_str(), kNobody, kNobody), 0);
  EXPECT_THAT(refusal([&] { static_cast<void>(sut_.trusted()); }),
              HasSubstr("belongs to user 65534: sudo -u '#65534'"));
}

TEST_F(PkiStore, SaysWhatItMayNotRead) {
  if (::getuid() != 0) {
    GTEST_SKIP() << "only root can become nobody";
  }
  place("trusted", "peer.pem", text("peer.pem"), 0600);
  ScratchFolder::set_mode(folder_.path(), 0755);
  ScratchFolder::set_mode(sut_.folder(), 0755);
  ScratchFolder::set_mode(sut_.folder() / "trusted", 0755);
  EXPECT_TRUE(as_nobody([&] {
    const auto found = sut_.trusted();
    return found.items.empty() && found.complaints.size() == 1 &&
           found.complaints[0].find("Permission denied") != std::string::npos;
  })) << "a file";
  ScratchFolder::set_mode(sut_.folder() / "trusted", 0700);
  EXPECT_TRUE(as_nobody([&] {
    return refusal([&] { static_cast<void>(sut_.trusted()); }).find("trusted: Permission denied") !=
           std::string::npos;
  })) << "a folder";
  EXPECT_TRUE(as_nobody([&] {
    return refusal([&] { sut_.keep_identity("x"); }).find("own: Permission denied") !=
           std::string::npos;
  })) << "a folder that is not made";
}

TEST_F(PkiStore, KeepsARefusedPeerOnceWithTheLastCause) {
  sut_.reject(certificates_.certificate("peer"), "first", "opc.tcp://a");
  sut_.reject(certificates_.certificate("peer"), "second\nline", "opc.tcp://b");
  const auto found = sut_.rejected();
  EXPECT_THAT(found.complaints, ElementsAre());
  ASSERT_EQ(found.items.size(), 1u);
  EXPECT_EQ(found.items[0].id, id("peer"));
  EXPECT_EQ(found.items[0].cause, "second line");
  EXPECT_EQ(found.items[0].peer, "opc.tcp://b");
  EXPECT_NEAR(static_cast<double>(found.items[0].seen), static_cast<double>(std::time(nullptr)),
              60);
  EXPECT_EQ(X509_cmp(found.items[0].certificate.get(), &certificates_.certificate("peer")), 0);
}

TEST_F(PkiStore, ForgetsTheOldestOfManyRefusedPeers) {
  sut_.reject(certificates_.certificate("peer"), "first of all", "");
  const auto first = sut_.folder() / "rejected" / (id("peer") + ".pem");
  fs::last_write_time(first, fs::file_time_type::clock::now() - std::chrono::hours(1));
  for (size_t i = 0; i < pki::Store::kMostRejected; ++i) {
    Certificates::Options options;
    options.issuer.clear();
    certificates_.make(concat("peer", i), options);
    sut_.reject(certificates_.certificate(concat("peer", i)), "many", "");
  }
  const auto found = sut_.rejected();
  EXPECT_EQ(found.items.size(), pki::Store::kMostRejected);
  EXPECT_FALSE(fs::exists(first));
}

TEST_F(PkiStore, TrustsARefusedPeerByTheBeginningOfItsId) {
  sut_.reject(certificates_.certificate("peer"), "unknown", "");
  EXPECT_EQ(sut_.trust(id("peer").substr(0, 6)).id, id("peer"));
  EXPECT_TRUE(sut_.rejected().items.empty());
  const auto trusted = sut_.trusted();
  ASSERT_EQ(trusted.items.size(), 1u);
  EXPECT_EQ(X509_cmp(trusted.items[0].get(), &certificates_.certificate("peer")), 0);
}

TEST_F(PkiStore, TrustsNobodyByAnIdThatNobodyOrSeveralHave) {
  EXPECT_THAT(refusal([&] { static_cast<void>(sut_.trust("ab")); }),
              HasSubstr(concat("cert pending --pki ", sut_.folder().string())));
  sut_.reject(certificates_.certificate("peer"), "unknown", "");
  sut_.reject(certificates_.certificate("ca"), "unknown", "");
  EXPECT_THAT(refusal([&] { static_cast<void>(sut_.trust("")); }), HasSubstr("several"));
  EXPECT_EQ(sut_.rejected().items.size(), 2u);
}

TEST_F(PkiStore, TakesNoFileForARefusedPeerThatItHasNotKept) {
  place("rejected", "0123.pem", text("peer.pem"));
  EXPECT_THAT(refusal([&] { static_cast<void>(sut_.trust("0123")); }), HasSubstr("no refused"));
  EXPECT_EQ(sut_.rejected().complaints.size(), 1u);
}

TEST_F(PkiStore, ShowsNothingThatATerminalWouldObey) {
  certificates_.make("evil", {.alt_names = "URI:urn:\x1b[2J", .rsa_bits = 2048});
  EXPECT_EQ(tls::application_uri(certificates_.certificate("evil")), "urn:?[2J");
  certificates_.make("\x1b[2J", {.rsa_bits = 2048});
  EXPECT_EQ(tls::distinguished_name(X509_get_subject_name(&certificates_.certificate("\x1b[2J"))),
            "CN=\\1B[2J");
}

TEST(ThePkiFolder, IsThatOfTheServiceOrOfTheUser) {
  const auto with = [](const std::map<std::string, std::string>& environment) {
    std::string out(4096, '\0');
    int pipe[2];
    EXPECT_EQ(::pipe(pipe), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      ::clearenv();
      for (const auto& [name, value] : environment) {
        ::setenv(name.c_str(), value.c_str(), 1);
      }
      const std::string folder = pki::Store::default_folder().string();
      ::_exit(::write(pipe[1], folder.data(), folder.size()) > 0 ? 0 : 1);
    }
    ::waitpid(child, nullptr, 0);
    ::close(pipe[1]);
    out.resize(static_cast<size_t>(::read(pipe[0], out.data(), out.size())));
    ::close(pipe[0]);
    return out;
  };
  EXPECT_EQ(with({{"STATE_DIRECTORY", "/var/lib/plant:/var/lib/x"}}), "/var/lib/plant/pki");
  EXPECT_EQ(with({{"XDG_STATE_HOME", "/state"}, {"HOME", "/home/a"}}), "/state/backplane/pki");
  EXPECT_EQ(with({{"HOME", "/home/a"}}), "/home/a/.local/state/backplane/pki");
  EXPECT_THAT(with({}), testing::EndsWith("/.local/state/backplane/pki")) << "the user's, as known";
}

}  // namespace
}  // namespace backplane::test
