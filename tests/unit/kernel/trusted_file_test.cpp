// SPDX-License-Identifier: Apache-2.0
#include "trusted_file.hpp"

#include "support/as_nobody.hpp"
#include "support/diagnostic_lines.hpp"
#include "support/scratch_folder.hpp"

#include <gmock/gmock.h>

#include <pwd.h>
#include <sys/xattr.h>
#include <unistd.h>

namespace backplane::kernel {
namespace {

namespace fs = std::filesystem;
using test::as_nobody;
using test::ScratchFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uid_t kStranger = 54321;  // owns nothing here

std::string ids_of(const fs::path& path) {
  struct stat status {};
  EXPECT_EQ(::lstat(path.c_str(), &status), 0);
  return std::to_string(status.st_uid) + ":" + std::to_string(status.st_gid);
}

std::vector<std::string> complaints(const fs::path& file,
                                    Identity identity = Identity::effective()) {
  Diagnostics diagnostics;
  const auto opened = TrustedFile::open(file, diagnostics, identity);
  EXPECT_EQ(opened.has_value(), !diagnostics.has_errors());
  return test::lines(diagnostics);
}

TEST(TrustedFile, OpensWhatOnlyWeCanWrite) {
  const ScratchFolder folder;
  const fs::path file = folder.write("plugin.so", "content", 0644);
  Diagnostics diagnostics;
  const auto sut = TrustedFile::open(file, diagnostics);
  ASSERT_TRUE(sut) << test::lines(diagnostics).front();
  EXPECT_EQ(sut->path(), file);
  EXPECT_TRUE(sut->everybody_can_read());
  EXPECT_EQ(sut->read(100, diagnostics), "content");
}

TEST(TrustedFile, RefusesAFileThatOthersCanWrite) {
  const ScratchFolder folder;
  const fs::path file = folder.write("plugin.so", "", 0646);
  EXPECT_THAT(complaints(file),
              ElementsAre(file.string() + ": error: '" + file.string() + "' (mode 0646, owner " +
                          ids_of(file) + ") can be written by everybody: chmod o-w '" +
                          file.string() + "'"));
}

TEST(TrustedFile, RefusesAFolderAboveThatOthersCanWrite) {
  const ScratchFolder folder;
  const fs::path file = folder.write("a/b/plugin.so", "");
  ScratchFolder::set_mode(folder.path() / "a", 0707);
  const std::string culprit = (folder.path() / "a").string();
  EXPECT_THAT(
      complaints(file),
      ElementsAre(file.string() + ": error: '" + culprit + "' (mode 0707, owner " +
                  ids_of(culprit) + ") can be written by everybody: chmod o-w '" + culprit + "'"));
}

TEST(TrustedFile, AcceptsAStickyFolder) {
  const ScratchFolder folder;
  const fs::path file = folder.write("a/plugin.so", "");
  ScratchFolder::set_mode(folder.path() / "a", 01777);
  EXPECT_THAT(complaints(file), IsEmpty());
}

TEST(TrustedFile, RefusesAGroupThatIsNeitherRootsNorOurs) {
  const ScratchFolder folder;
  const fs::path file = folder.write("plugin.so", "", 0620);
  EXPECT_THAT(complaints(file), IsEmpty());
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a file to another group";
  ASSERT_EQ(::chown(file.c_str(), 0, kStranger), 0);
  EXPECT_THAT(
      complaints(file),
      ElementsAre(HasSubstr("(mode 0620, owner 0:54321) can be written by its group: chmod g-w")));
  EXPECT_THAT(complaints(file, {0, kStranger}), ElementsAre(HasSubstr("written by its group")))
      << "a group that the system does not know may be anybody's";
}

TEST(TrustedFile, RefusesTheUsersOwnGroupWhenOthersAreInIt) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  const ScratchFolder folder;
  const fs::path file = folder.write("plugin.so", "", 0660);
  const passwd* const nobody = ::getpwnam("nobody");
  ASSERT_NE(nobody, nullptr);
  ASSERT_EQ(::chown(file.c_str(), 0, nobody->pw_gid), 0);
  EXPECT_THAT(complaints(file, {0, nobody->pw_gid}),
              ElementsAre(HasSubstr("can be written by its group")))
      << "it is nobody's, too";
}

TEST(TrustedFile, AcceptsTheUsersOwnGroupWhenNobodyElseIsInIt) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  const ScratchFolder folder;
  const fs::path file = folder.write("plugin.so", "", 0660);
  const passwd* const user = ::getpwnam("games");
  ASSERT_NE(user, nullptr);
  ASSERT_EQ(::chown(file.c_str(), user->pw_uid, user->pw_gid), 0);
  EXPECT_THAT(complaints(file, {user->pw_uid, user->pw_gid}), IsEmpty());
}

TEST(TrustedFile, RefusesAnAccessControlListThatLetsOthersWrite) {
  const ScratchFolder folder;
  const fs::path file = folder.write("plugin.so", "", 0600);
  // The list of `setfacl -m u:54321:rw`: version 2, then tag, permissions and id of each entry.
  struct Entry {
    std::uint16_t tag, permissions;
    std::uint32_t id;
  };
  struct {
    std::uint32_t version = 2;
    Entry entries[5] = {{1, 6, ~0u}, {2, 6, kStranger}, {4, 0, ~0u}, {16, 6, ~0u}, {32, 0, ~0u}};
  } const list;
  if (::setxattr(file.c_str(), "system.posix_acl_access", &list, sizeof list, 0) != 0)
    GTEST_SKIP() << "no access control lists in this file system";
  EXPECT_THAT(complaints(file), ElementsAre(HasSubstr("by its access control list: setfacl -b")));
}

TEST(TrustedFile, RefusesTheFileOfAnotherUser) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  const ScratchFolder folder;
  const fs::path file = folder.write("plugin.so", "");
  ASSERT_EQ(::chown(file.c_str(), kStranger, 0), 0);
  EXPECT_THAT(complaints(file),
              ElementsAre(file.string() + ": error: '" + file.string() +
                          "' (mode 0600, owner 54321:0) belongs to another user: chown 0 '" +
                          file.string() + "'"));
  EXPECT_THAT(complaints(file, {kStranger, 0}), IsEmpty());
}

TEST(TrustedFile, OfRootIsTrustedByAnybodyWhoMayReadIt) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become nobody";
  const ScratchFolder folder;
  const fs::path good = folder.write("good", "x", 0644);
  const fs::path secret = folder.write("secret", "x", 0600);
  ScratchFolder::set_mode(folder.path(), 0755);
  EXPECT_TRUE(as_nobody([&] { return complaints(good).empty(); }));
  EXPECT_TRUE(as_nobody([&] {
    const auto found = complaints(secret);
    return found.size() == 1 && found[0].find("Permission denied") != std::string::npos;
  }));
}

TEST(TrustedFile, OfNobodyIsTrustedByNobodyAlone) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become nobody";
  const ScratchFolder folder;
  ScratchFolder::set_mode(folder.path(), 01777);
  const fs::path file = folder.path() / "mine";
  EXPECT_TRUE(as_nobody([&] {
    std::ofstream(file) << "x";
    ::chmod(file.c_str(), 0644);
    return complaints(file).empty();
  }));
  EXPECT_THAT(complaints(file), ElementsAre(HasSubstr("belongs to another user")));
}

TEST(TrustedFile, ChecksBothEndsOfASymbolicLink) {
  const ScratchFolder folder;
  const fs::path target = folder.write("real/plugin.so", "content");
  folder.write("links/keep", "");
  const fs::path link = folder.path() / "links/plugin.so";
  fs::create_symlink("../real/plugin.so", link);

  Diagnostics diagnostics;
  const auto sut = TrustedFile::open(link, diagnostics);
  ASSERT_TRUE(sut);
  EXPECT_EQ(sut->path(), target);

  ScratchFolder::set_mode(folder.path() / "links", 0702);
  EXPECT_THAT(complaints(link), ElementsAre(HasSubstr("/links' (mode 0702")));
  ScratchFolder::set_mode(folder.path() / "links", 0700);
  ScratchFolder::set_mode(folder.path() / "real", 0702);
  EXPECT_THAT(complaints(link), ElementsAre(HasSubstr("/real' (mode 0702")));
}

TEST(TrustedFile, RefusesTheLinkOfAnotherUserInAStickyFolder) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a link away";
  const ScratchFolder folder;
  folder.write("real", "");
  ScratchFolder::set_mode(folder.path(), 01777);
  const fs::path link = folder.path() / "link";
  fs::create_symlink("real", link);
  ASSERT_EQ(::lchown(link.c_str(), kStranger, kStranger), 0);
  EXPECT_THAT(complaints(link),
              ElementsAre(HasSubstr("belongs to another user: chown -h 0 '" + link.string())));
}

TEST(TrustedFile, GivesUpOnACircleOfLinks) {
  const ScratchFolder folder;
  fs::create_symlink("b", folder.path() / "a");
  fs::create_symlink("a", folder.path() / "b");
  EXPECT_THAT(complaints(folder.path() / "a"), ElementsAre(HasSubstr("too many symbolic links")));
}

TEST(TrustedFile, RefusesWhatIsNoRegularFile) {
  const ScratchFolder folder;
  const fs::path fifo = folder.path() / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_THAT(complaints(fifo), ElementsAre(HasSubstr("/fifo' is not a regular file")));
  EXPECT_THAT(complaints(folder.path()), ElementsAre(HasSubstr("is a folder, expected a file")));
  EXPECT_THAT(complaints(folder.path() / "absent"),
              ElementsAre(HasSubstr("absent': No such file or directory")));
  EXPECT_THAT(complaints(folder.write("file", "") / "below"),
              ElementsAre(HasSubstr("/file' is not a folder")));
}

TEST(TrustedFile, HashesWhatItOpened) {
  const ScratchFolder folder;
  const fs::path file = folder.write("plugin.so", "abc");
  Diagnostics diagnostics;
  const auto sut = TrustedFile::open(file, diagnostics);
  ASSERT_TRUE(sut);
  fs::remove(file);
  folder.write("plugin.so", "something else");
  EXPECT_EQ(sut->sha256(diagnostics),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_FALSE(sut->is_current());
}

TEST(TrustedFile, IsCurrentUntilItIsWritten) {
  const ScratchFolder folder;
  const fs::path file = folder.write("plugin.so", "abc");
  Diagnostics diagnostics;
  const auto sut = TrustedFile::open(file, diagnostics);
  ASSERT_TRUE(sut);
  EXPECT_TRUE(sut->is_current());
  fs::remove(file);
  EXPECT_FALSE(sut->is_current());
}

TEST(TrustedFile, ReadsNoMoreThanItsLimit) {
  const ScratchFolder folder;
  const fs::path file = folder.write("big", std::string(200000, 'x'));
  Diagnostics diagnostics;
  const auto sut = TrustedFile::open(file, diagnostics);
  ASSERT_TRUE(sut);
  EXPECT_EQ(sut->read(200000, diagnostics)->size(), 200000U);
  EXPECT_EQ(sut->read(199999, diagnostics), std::nullopt);
  EXPECT_THAT(
      test::lines(diagnostics),
      ElementsAre(file.string() + ": error: is larger than 199999 bytes, the most that is read"));
}

}  // namespace
}  // namespace backplane::kernel
