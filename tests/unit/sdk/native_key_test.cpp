// SPDX-License-Identifier: Apache-2.0
#include "backplane/sdk/native_key.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <pwd.h>
#include <semaphore.h>
#include <set>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <unordered_set>

namespace backplane {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;
using Use = NativeKey::Use;

std::string safe(Use use, std::string_view string, uint32_t type = BP_KEY_POSIX) {
  return NativeKey::safe(use, string, type).value().name();
}

TEST(ANativeKey, HasTheTypesOfQtByTheirNumbers_NK1) {
  EXPECT_EQ(BP_KEY_SYSTEM_V, 0x51u);
  EXPECT_EQ(BP_KEY_POSIX, 0x100u);
  EXPECT_EQ(BP_KEY_WINDOWS, 0x101u);
}

TEST(ANativeKey, OfSystemVHasAProjectId_NK2) {
  EXPECT_EQ(NativeKey("/run/a", 7).to_string(), "systemv-7:/run/a");
  EXPECT_EQ(NativeKey::parse("systemv-7:/run/a").value(), NativeKey("/run/a", 7));
  EXPECT_EQ(NativeKey::parse("systemv-255:/run/a").value().type(), 255u);
  EXPECT_EQ(NativeKey::parse("systemv-81:/run/a").value().to_string(), "systemv:/run/a");
  for (const char* const wrong : {"systemv-0:/a", "systemv-256:/a", "systemv-07:/a", "systemv-:/a",
                                  "systemv--7:/a", "systemv-7x:/a", "systemv7:/a"}) {
    EXPECT_EQ(NativeKey::parse(wrong).status().code(), BP_INVALID_ARGUMENT) << wrong;
  }
}

TEST(ANativeKey, IsPosixUnlessSaid_NK3) {
  EXPECT_EQ(NativeKey().type(), BP_KEY_POSIX);
  EXPECT_EQ(NativeKey::kDefaultType, BP_KEY_POSIX);
  EXPECT_EQ(NativeKey::kLegacyType, BP_KEY_SYSTEM_V);
}

TEST(ANativeKey, IsAValue_NK4) {
  const NativeKey none;
  EXPECT_TRUE(none.is_empty());
  EXPECT_FALSE(none.is_valid());
  EXPECT_EQ(none.to_string(), "");
  NativeKey a("/a");
  NativeKey b("/a", BP_KEY_SYSTEM_V);
  EXPECT_TRUE(a.is_valid());
  EXPECT_NE(a, b);
  EXPECT_EQ(std::unordered_set<NativeKey>({a, b, a}).size(), 2u);
  std::swap(a, b);
  EXPECT_EQ(a.type(), BP_KEY_SYSTEM_V);
  EXPECT_FALSE(NativeKey("/a", 0x102).is_valid());
  EXPECT_FALSE(NativeKey(std::string("/a\0b", 4)).is_valid());
  EXPECT_FALSE(NativeKey(std::string(4096, 'a')).is_valid());
}

TEST(ANativeKey, HasATextThatIsAUri_NK5) {
  const std::pair<NativeKey, const char*> rows[] = {
      {NativeKey("/line1"), "posix:/line1"},
      {NativeKey("/line 1"), "posix:/line%201"},
      {NativeKey("/100%"), "posix:/100%25"},
      {NativeKey("/a?b#c"), "posix:/a%3Fb%23c"},
      {NativeKey("/größe"), "posix:/gr%C3%B6%C3%9Fe"},
      {NativeKey("//a/b", BP_KEY_SYSTEM_V), "systemv:/%2Fa/b"},
      {NativeKey("Local\\line1", BP_KEY_WINDOWS), "windows:Local%5Cline1"},
      {NativeKey("line1", BP_KEY_ANONYMOUS), "anonymous:line1"},
      {NativeKey("\x01\xff"), "posix:%01%FF"},
  };
  for (const auto& [key, text] : rows) {
    EXPECT_EQ(key.to_string(), text);
    EXPECT_EQ(NativeKey::parse(text).value(), key) << text;
  }
  std::string all;
  for (int c = 1; c < 256; ++c) {
    all += static_cast<char>(c);
  }
  EXPECT_EQ(NativeKey::parse(NativeKey(all).to_string()).value().name(), all);
}

TEST(ANativeKey, IsParsedStrictly_NK6) {
  const std::pair<std::string, const char*> rows[] = {
      {"", "begins with"},
      {"/line1", "begins with"},
      {"posix", "begins with"},
      {"Posix:/line1", "begins with"},
      {" posix:/line1", "begins with"},
      {"mach:/line1", "begins with"},
      {"posix:", "no name"},
      {"posix:/a%2", "hexadecimal"},
      {"posix:/a%", "hexadecimal"},
      {"posix:/a%zz", "hexadecimal"},
      {"posix:/a%00", "NUL"},
      {std::string("posix:/a\0b", 10), "NUL"},
      {"posix:/a?b", "reserved"},
      {"posix:/a#b", "reserved"},
      {"posix:/a?legacyKey=b&other=c", "reserved"},
      {"posix:/a?legacyKey=b#c", "reserved"},
      {"posix://host/a", "two slashes"},
      {"systemv:///run/a", "two slashes"},
  };
  for (const auto& [text, problem] : rows) {
    const Status status = NativeKey::parse(text).status();
    EXPECT_EQ(status.code(), BP_INVALID_ARGUMENT) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr(problem)) << text;
  }
  EXPECT_EQ(NativeKey::parse("posix:/" + std::string(4095, 'a')).status().code(), BP_OUT_OF_RANGE);
  EXPECT_EQ(NativeKey::parse("posix:/" + std::string(4094, 'a')).value().name().size(), 4095u);
  // Qt writes what a legacy key was made of behind it.
  EXPECT_EQ(NativeKey::parse("posix:/a%20b?legacyKey=b%20c").value().name(), "/a b");
  EXPECT_EQ(NativeKey::parse("posix:/a?legacyKey=what?").value().name(), "/a");
  // What is understood need not be supported.
  EXPECT_TRUE(NativeKey::parse("windows:a").value().is_valid());
  EXPECT_FALSE(NativeKey::is_supported(Use::kSharedMemory, BP_KEY_WINDOWS));
}

TEST(ANativeKey, IsMadeOfAnyString_NK7) {
  EXPECT_EQ(safe(Use::kSharedMemory, "line1"), "/line1");
  EXPECT_EQ(safe(Use::kSharedMemory, "größe 1"), "/größe 1");
  EXPECT_EQ(safe(Use::kSharedMemory, "line1", BP_KEY_ANONYMOUS), "line1");
  EXPECT_THAT(safe(Use::kSharedMemory, "/line1"), MatchesRegex("/line1-[0-9a-f]{32}"));
  EXPECT_EQ(safe(Use::kSemaphore, "/srv/app/line1", BP_KEY_SYSTEM_V), "/srv/app/line1");
  setenv("XDG_RUNTIME_DIR", "/run/user/7/", 1);
  EXPECT_EQ(safe(Use::kSemaphore, "line1", BP_KEY_SYSTEM_V), "/run/user/7/line1");
  EXPECT_EQ(safe(Use::kSemaphore, "line1", 7), "/run/user/7/line1");
  EXPECT_THAT(safe(Use::kSemaphore, "../line1", BP_KEY_SYSTEM_V),
              MatchesRegex("/run/user/7/line1-[0-9a-f]{32}"));
}

TEST(ANativeKey, OfSystemVIsInAFolderOfTheUser_NK7) {
  unsetenv("XDG_RUNTIME_DIR");
  unsetenv("TMPDIR");
  const std::string user = getpwuid(geteuid())->pw_name;
  EXPECT_EQ(safe(Use::kSemaphore, "line1", BP_KEY_SYSTEM_V), "/tmp/runtime-" + user + "/line1");
  setenv("TMPDIR", "/var/tmp", 1);
  EXPECT_EQ(safe(Use::kSemaphore, "line1", BP_KEY_SYSTEM_V), "/var/tmp/runtime-" + user + "/line1");
  setenv("XDG_RUNTIME_DIR", ("/" + std::string(4090, 'r')).c_str(), 1);
  EXPECT_EQ(NativeKey::safe(Use::kSemaphore, "line1", BP_KEY_SYSTEM_V).status().code(),
            BP_OUT_OF_RANGE);
}

TEST(ANativeKey, IsOneThatTheSystemTakes_NK7) {
  const std::string own = std::to_string(getpid());  // others run this test, too
  const auto padded = [&](size_t size, char c) { return own + std::string(size - own.size(), c); };
  std::set<std::string> names;
  for (const std::string& string :
       {own + "/b", own + "b", std::string("."), std::string(".."), own + std::string("\0b", 2),
        padded(300, 'x'), padded(301, 'x'), "/" + own, std::string(200, '/') + own,
        padded(255, 'y'), padded(254, 'y'), padded(251, 'z'), padded(250, 'z')}) {
    const std::string memory = safe(Use::kSharedMemory, string);
    EXPECT_TRUE(names.insert(memory).second) << memory;
    const int fd = shm_open(memory.c_str(), O_CREAT | O_RDWR, 0600);
    ASSERT_GE(fd, 0) << memory << ": " << std::strerror(errno);
    shm_unlink(memory.c_str());
    close(fd);
    const std::string semaphore = safe(Use::kSemaphore, string);
    sem_t* const made = sem_open(semaphore.c_str(), O_CREAT, 0600, 0);
    ASSERT_NE(made, SEM_FAILED) << semaphore << ": " << std::strerror(errno);
    sem_unlink(semaphore.c_str());
    sem_close(made);
    const std::string anonymous = safe(Use::kSharedMemory, string, BP_KEY_ANONYMOUS);
    const int memfd = memfd_create(anonymous.c_str(), MFD_CLOEXEC);
    ASSERT_GE(memfd, 0) << anonymous << ": " << std::strerror(errno);
    close(memfd);
  }
}

TEST(ANativeKey, IsMadeOfSomething_NK7) {
  EXPECT_EQ(NativeKey::safe(Use::kSharedMemory, "").status().code(), BP_INVALID_ARGUMENT);
  EXPECT_EQ(NativeKey::legacy(Use::kSharedMemory, "").status().code(), BP_INVALID_ARGUMENT);
  EXPECT_EQ(NativeKey::safe(Use::kSharedMemory, "a", BP_KEY_WINDOWS).status().code(),
            BP_UNIMPLEMENTED);
  EXPECT_EQ(NativeKey::safe(Use::kSemaphore, "a", BP_KEY_ANONYMOUS).value(),
            NativeKey("a", BP_KEY_ANONYMOUS));
  EXPECT_EQ(NativeKey::safe(static_cast<Use>(3), "a").status().code(), BP_INVALID_ARGUMENT);
}

// The hash is what `printf 'Line 1' | sha1sum` says.
TEST(ANativeKey, IsTheOneThatQtMade_NK8) {
  const std::string hash = "5098889e3c7ade4b7da424a6b40d1531ce420c0f";
  setenv("TMPDIR", "/var/tmp/", 1);
  EXPECT_EQ(NativeKey::legacy(Use::kSharedMemory, "Line 1").value(),
            NativeKey("/var/tmp/qipc_sharedmemory_Line" + hash, BP_KEY_SYSTEM_V));
  EXPECT_EQ(NativeKey::legacy(Use::kSemaphore, "Line 1").value(),
            NativeKey("/var/tmp/qipc_systemsem_Line" + hash, BP_KEY_SYSTEM_V));
  EXPECT_EQ(NativeKey::legacy(Use::kSemaphore, "Line 1", BP_KEY_POSIX).value(),
            NativeKey("/qipc_systemsem_Line" + hash));
  EXPECT_EQ(NativeKey::legacy(Use::kSharedMemory, "Line 1", BP_KEY_ANONYMOUS).status().code(),
            BP_UNIMPLEMENTED);
}

TEST(ANativeKey, GoesToAnotherProcessByItsText_NK9) {
  const NativeKey key = NativeKey::safe(Use::kSharedMemory, concat("line 1 of ", getpid())).value();
  const int fd = shm_open(key.name().c_str(), O_CREAT | O_RDWR | O_EXCL, 0600);
  ASSERT_GE(fd, 0);
  const std::string text = key.to_string();
  const pid_t other = fork();
  if (other == 0) {
    const int opened = shm_open(NativeKey::parse(text).value().name().c_str(), O_RDWR, 0);
    _exit(opened >= 0 ? 0 : 1);
  }
  int status = -1;
  EXPECT_EQ(waitpid(other, &status, 0), other);
  EXPECT_EQ(status, 0);
  shm_unlink(key.name().c_str());
  close(fd);
}

TEST(ANativeKey, SaysWhatIsSupported_NK10) {
  for (const Use use : {Use::kSharedMemory, Use::kSemaphore}) {
    EXPECT_TRUE(NativeKey::is_supported(use, BP_KEY_POSIX));
    EXPECT_TRUE(NativeKey::is_supported(use, BP_KEY_SYSTEM_V));
    EXPECT_TRUE(NativeKey::is_supported(use, 1));
    EXPECT_TRUE(NativeKey::is_supported(use, 255));
    EXPECT_TRUE(NativeKey::is_supported(use, BP_KEY_ANONYMOUS));
    for (const uint32_t none : {0u, BP_KEY_WINDOWS, 0x102u, 0x201u}) {
      EXPECT_FALSE(NativeKey::is_supported(use, none)) << none;
    }
  }
}

TEST(ANativeKey, IsCutByTheCallersBufferInC) {
  bp_key key{};
  ASSERT_EQ(bp_key_parse(BP_STR("posix:/line1"), &key, nullptr), BP_OK);
  char text[6] = "?????";
  EXPECT_EQ(bp_key_text(&key, text, sizeof text), 12u);
  EXPECT_STREQ(text, "posix");
  EXPECT_EQ(bp_key_text(&key, nullptr, 0), 12u);
  char whole[13];
  EXPECT_EQ(bp_key_text(&key, whole, sizeof whole), 12u);
  EXPECT_STREQ(whole, "posix:/line1");
  EXPECT_EQ(bp_key_text(&key, text, 1), 12u);
  EXPECT_STREQ(text, "");
  EXPECT_EQ(bp_key_parse(BP_STR("posix:"), &key, nullptr), BP_INVALID_ARGUMENT);
  EXPECT_EQ(key.length, 0u);
  EXPECT_EQ(bp_key_text(&key, nullptr, 0), 0u);
}

}  // namespace
}  // namespace backplane
