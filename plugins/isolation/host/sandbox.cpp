// SPDX-License-Identifier: Apache-2.0
// Design notes. Landlock says which files and TCP ports, seccomp which system calls. Seccomp denies
// with EPERM what a permission is missing for, and what no plugin needs; the rest is allowed, since
// nobody knows what a protocol's library will call next year. A plugin that may start processes is
// not confined to files: its programs, which inherit the rest, are not its own.
#include "plugins/isolation/host/sandbox.hpp"

#include <backplane/sdk/status.hpp>
#include <backplane/sdk/unique_handle.hpp>

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <linux/landlock.h>
#include <memory>
#include <sched.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace backplane::isolation {
namespace {

std::string errno_text() { return strerrordesc_np(errno); }

// ---- Landlock: linux/landlock.h, with what came after Debian 12's ----

struct Ruleset {
  uint64_t files;
  uint64_t tcp;     // from ABI 4
  uint64_t scoped;  // from ABI 6
};
constexpr uint64_t kTruncate = 1u << 14;  // from ABI 3
constexpr int kFirstAbiOfRefer = 2;
constexpr int kFirstAbiOfTruncate = 3;
constexpr uint64_t kBindTcp = 1u << 0;
constexpr uint64_t kConnectTcp = 1u << 1;
constexpr uint64_t kScopeAbstractSockets = 1u << 0;
constexpr uint64_t kScopeSignals = 1u << 1;

constexpr uint64_t kRead = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
constexpr uint64_t kFirstWrites = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
                                  LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
                                  LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
                                  LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
                                  LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM;

class Landlock {
 public:
  explicit Landlock(const Ruleset& wanted, int abi) : handled_(wanted) {
    const size_t size = abi >= 6   ? sizeof wanted
                        : abi >= 4 ? 2 * sizeof(uint64_t)
                                   : sizeof(uint64_t);
    rules_.reset(static_cast<int>(syscall(SYS_landlock_create_ruleset, &handled_, size, 0)));
  }
  /// A path that is not there needs no rule.
  void allow(const std::filesystem::path& path, uint64_t access) {
    const UniqueFd folder(open(path.c_str(), O_PATH | O_CLOEXEC));
    if (!folder) {
      return;
    }
    std::error_code unknown;
    if (!std::filesystem::is_directory(path, unknown)) {
      access &= LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | kTruncate;
    }
    landlock_path_beneath_attr rule{access & handled_.files, folder.get()};
    if (rule.allowed_access == 0) {
      return;
    }
    syscall(SYS_landlock_add_rule, rules_.get(), LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
  }
  bool enforce() { return rules_ && syscall(SYS_landlock_restrict_self, rules_.get(), 0) == 0; }

 private:
  const Ruleset handled_;
  UniqueFd rules_;
};

void confine_files(const kernel::RequestedPermissions& permissions,
                   const std::filesystem::path& library_folder, bool shares_memory,
                   Missing& missing) {
  const auto abi = static_cast<int>(
      syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION));
  if (abi < 1) {
    missing.push_back("Landlock is not there (" + errno_text() +
                      "): files and ports are not confined");
    return;
  }
  if (abi < kFirstAbiOfTruncate && !permissions.processes && !permissions.write_files) {
    missing.push_back("Landlock of this system lets files that may be read be emptied (ABI " +
                      std::to_string(abi) + ", 3 is needed)");
  }
  if (abi < 4) {
    missing.push_back("Landlock of this system is older than its rules for TCP (ABI " +
                      std::to_string(abi) + ", 4 is needed)");
  }
  if (abi < 6) {
    missing.push_back("Landlock of this system does not confine signals (ABI " +
                      std::to_string(abi) + ", 6 is needed)");
  }
  const uint64_t refer = abi >= kFirstAbiOfRefer ? LANDLOCK_ACCESS_FS_REFER : 0u;
  const uint64_t writes = kFirstWrites | refer | (abi >= kFirstAbiOfTruncate ? kTruncate : 0u);
  // With processes a right that everybody gets back below: a domain that handles nothing is none,
  // and its border is what keeps the memory of other processes apart.
  Landlock landlock({permissions.processes ? refer : kRead | writes | LANDLOCK_ACCESS_FS_EXECUTE,
                     (permissions.listen ? 0 : kBindTcp) | (permissions.connect ? 0 : kConnectTcp),
                     (shares_memory ? 0 : kScopeAbstractSockets) | kScopeSignals},
                    abi);
  if (permissions.processes) {
    landlock.allow("/", refer);
  }
  // What the loader and the C library need, and this process's own.
  for (const char* each :
       {"/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/dev/urandom",
        "/dev/random", "/proc/self", "/sys/devices/system/cpu"}) {
    landlock.allow(each, kRead);
  }
  landlock.allow("/dev/null", kRead | LANDLOCK_ACCESS_FS_WRITE_FILE);
  landlock.allow(library_folder, kRead);
  if (permissions.connect || permissions.listen) {
    landlock.allow("/etc", kRead);  // names of hosts and services, certificates of authorities
    landlock.allow("/run/systemd/resolve", kRead);
  }
  if (permissions.read_files) {
    landlock.allow("/", kRead);
  }
  if (permissions.write_files) {
    landlock.allow("/", kRead | writes);
  }
  if (!landlock.enforce()) {
    missing.push_back("Landlock refuses its rules (" + errno_text() +
                      "): files and ports are not confined");
  }
}

// ---- seccomp ----

constexpr uint64_t kSocketType = 0xf;  // the rest are flags

class Filter {
 public:
  Filter() : filter_(seccomp_init(SCMP_ACT_ALLOW)) {}
  /// A system call that this machine does not have needs no rule.
  template <class... Arguments>
  void deny(const char* name, Arguments... arguments) {
    deny_with(EPERM, name, arguments...);
  }
  template <class... Arguments>
  void deny_with(int error, const char* name, Arguments... arguments) {
    const int number = seccomp_syscall_resolve_name(name);
    if (number < 0) {
      return;
    }
    const int result = seccomp_rule_add(filter_.get(), SCMP_ACT_ERRNO(static_cast<unsigned>(error)),
                                        number, sizeof...(arguments), arguments...);
    if (result != 0) {
      refused_.push_back(concat("seccomp takes no rule for ", std::string_view(name), " (",
                                std::string_view(strerrordesc_np(-result)), ")"));
    }
  }
  const Missing& refused() const noexcept { return refused_; }
  bool enforce() { return filter_ && seccomp_load(filter_.get()) == 0; }

 private:
  UniqueHandle<void, seccomp_release> filter_;
  Missing refused_;
};

void confine_calls(const kernel::RequestedPermissions& permissions, bool shares_memory,
                   Missing& missing) {
  Filter filter;
  // What no plugin needs.
  for (const char* each : {"ptrace",
                           "process_vm_readv",
                           "process_vm_writev",
                           "mount",
                           "umount2",
                           "pivot_root",
                           "chroot",
                           "open_tree",
                           "move_mount",
                           "fsopen",
                           "fsmount",
                           "setns",
                           "unshare",
                           "kexec_load",
                           "kexec_file_load",
                           "init_module",
                           "finit_module",
                           "delete_module",
                           "reboot",
                           "swapon",
                           "swapoff",
                           "bpf",
                           "perf_event_open",
                           "userfaultfd",
                           "keyctl",
                           "add_key",
                           "request_key",
                           "io_uring_setup",
                           "acct",
                           "quotactl",
                           "settimeofday",
                           "clock_settime",
                           "adjtimex",
                           "clock_adjtime",
                           "sethostname",
                           "setdomainname",
                           "iopl",
                           "ioperm",
                           "pidfd_getfd",
                           "process_madvise",
                           "process_mrelease",
                           "kcmp",
                           "name_to_handle_at",
                           "open_by_handle_at"}) {
    filter.deny(each);
  }
  // Limits and priorities of others: 0 is who asks.
  for (const char* each : {"prlimit64", "sched_setaffinity", "sched_setattr", "sched_setparam",
                           "sched_setscheduler", "migrate_pages", "move_pages"}) {
    filter.deny(each, scmp_arg_cmp{0, SCMP_CMP_NE, 0, 0});
  }
  for (const char* each : {"setpriority", "ioprio_set"}) {
    filter.deny(each, scmp_arg_cmp{1, SCMP_CMP_NE, 0, 0});
  }
  if (!permissions.processes && !permissions.write_files) {
    // What Landlock, or an old one, does not look at.
    for (const char* each :
         {"truncate",   "chmod",       "fchmod",       "fchmodat",     "fchmodat2",     "chown",
          "lchown",     "fchown",      "fchownat",     "setxattr",     "lsetxattr",     "fsetxattr",
          "setxattrat", "removexattr", "lremovexattr", "fremovexattr", "removexattrat", "utime",
          "utimes",     "futimesat",   "utimensat"}) {
      filter.deny(each);
    }
  }
  if (!permissions.processes) {
    for (const char* each : {"execve", "execveat", "fork", "vfork"}) {
      filter.deny(each);
    }
    filter.deny("clone", scmp_arg_cmp{0, SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0});
    // Its flags lie in memory, where a filter cannot look: the C library then uses clone.
    filter.deny_with(ENOSYS, "clone3");
  }
  if (!permissions.connect && !permissions.listen) {
    if (shares_memory) {
      filter.deny("socket", scmp_arg_cmp{0, SCMP_CMP_NE, AF_UNIX, 0});
      for (const uint64_t type : {SOCK_STREAM, SOCK_SEQPACKET, SOCK_RAW}) {
        filter.deny("socket", scmp_arg_cmp{1, SCMP_CMP_MASKED_EQ, kSocketType, type});
      }
    } else {
      filter.deny("socket");
    }
    // One of a pair of datagram sockets sends to any path.
    for (const uint64_t type : {SOCK_DGRAM, SOCK_RAW}) {
      filter.deny("socketpair", scmp_arg_cmp{1, SCMP_CMP_MASKED_EQ, kSocketType, type});
    }
  }
  if (!permissions.connect) {
    filter.deny("connect");
    // Which connects too.
    filter.deny("sendto", scmp_arg_cmp{3, SCMP_CMP_MASKED_EQ, MSG_FASTOPEN, MSG_FASTOPEN});
    filter.deny("sendmsg", scmp_arg_cmp{2, SCMP_CMP_MASKED_EQ, MSG_FASTOPEN, MSG_FASTOPEN});
    filter.deny("sendmmsg", scmp_arg_cmp{3, SCMP_CMP_MASKED_EQ, MSG_FASTOPEN, MSG_FASTOPEN});
  }
  if (!permissions.listen) {
    filter.deny("listen");
  }
  missing.insert(missing.end(), filter.refused().begin(), filter.refused().end());
  if (!filter.enforce()) {
    missing.push_back("seccomp is not there (" + errno_text() + "): system calls are not confined");
  }
}

/// Bytes of private memory that this process has now.
uint64_t data_size() {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line)) {
    if (line.starts_with("VmData:")) {
      return std::stoull(line.substr(7)) * 1024;
    }
  }
  return 0;
}

}  // namespace

Missing confine(const kernel::RequestedPermissions& permissions,
                const std::filesystem::path& library_folder, bool shares_memory) {
  Missing missing;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    missing.push_back("no_new_privs is not there (" + errno_text() + "): nothing is confined");
    return missing;
  }
  confine_files(permissions, library_folder, shares_memory, missing);
  confine_calls(permissions, shares_memory, missing);
  return missing;
}

Missing limit_memory(int64_t mib) {
  const uint64_t now = data_size();
  const rlim_t most = now + (static_cast<uint64_t>(mib) << 20);
  const rlimit limit{most, most};
  if (now == 0 || setrlimit(RLIMIT_DATA, &limit) != 0) {
    return {"memory is not limited: " + errno_text()};
  }
  return {};
}

}  // namespace backplane::isolation
