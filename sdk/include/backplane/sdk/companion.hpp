// SPDX-License-Identifier: Apache-2.0
// A companion: a program of its own that belongs to a plugin, and is started by it.
//
// Design notes. A process with a kernel has many threads, so it runs no code of its own between
// fork and exec: posix_spawn starts the companion. Every descriptor made here is close-on-exec and
// lies above those that a companion gets, so that no order of duplication can overwrite one.
#pragma once

#include "status.hpp"
#include "unique_handle.hpp"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <dlfcn.h>
#include <fcntl.h>
#include <memory>
#include <span>
#include <spawn.h>
#include <string.h>  // strerrordesc_np
#include <string>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

namespace backplane::companion {

/// UNAVAILABLE: "WHAT: the words of errno".
[[noreturn]] inline void throw_errno(std::string_view what, int error) {
  throw Error(Status(BP_UNAVAILABLE, what, ": ", std::string_view(strerrordesc_np(error)))
                  .with_native(error, "errno"));
}

/// Takes over `fd` and gives it a number that no companion's descriptor has. Throws Error.
inline UniqueFd high(int fd) {
  constexpr int kFirstOwnDescriptor = 10;
  const UniqueFd low(fd);
  UniqueFd out(fcntl(fd, F_DUPFD_CLOEXEC, kFirstOwnDescriptor));
  if (!out) {
    throw_errno("no descriptor", errno);
  }
  return out;
}

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};
inline Pipe make_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    throw_errno("no pipe", errno);
  }
  UniqueFd write(ends[1]);
  return {high(ends[0]), high(write.release())};
}
/// Both ends read and write. `type`: SOCK_STREAM, SOCK_SEQPACKET.
inline Pipe make_socket_pair(int type) {
  int ends[2];
  if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) != 0) {
    throw_errno("no socket pair", errno);
  }
  UniqueFd second(ends[1]);
  return {high(ends[0]), high(second.release())};
}

/// Where the program is: beside the folder of the calling plugin when installed, in bin/ of a
/// build. Throws Error (NOT_FOUND).
inline std::string path(std::string_view program) {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&path), &info) == 0) {
    throw Error(BP_INTERNAL, "this library does not know where it is");
  }
  const std::unique_ptr<char, backplane::detail::CallClose<std::free>> real(
      realpath(info.dli_fname, nullptr));
  const std::string library = real != nullptr ? real.get() : info.dli_fname;
  const std::string folder = library.substr(0, library.rfind('/'));
  const std::string parent = folder.substr(0, folder.rfind('/'));
  for (const std::string_view place : {"/", "/bin/"}) {
    std::string found = concat(parent, place, program);
    if (access(found.c_str(), X_OK) == 0) {
      return found;
    }
  }
  throw Error(BP_NOT_FOUND, program, " is missing: neither ", parent, "/", program, " nor ", parent,
              "/bin/", program, " can be executed");
}

/// Starts the program with `ends` as its descriptors 0, 1, ... and no others, in a session of its
/// own: what a terminal sends to this process's group does not reach it. `arguments` begin with its
/// name. Gives its pid; throws Error.
inline pid_t spawn(const std::string& file, const std::vector<std::string>& arguments,
                   const std::vector<std::string>& environment, std::span<const int> ends) {
  struct Actions {
    Actions() { posix_spawn_file_actions_init(&value); }
    Actions(const Actions&) = delete;
    Actions& operator=(const Actions&) = delete;
    ~Actions() { posix_spawn_file_actions_destroy(&value); }
    posix_spawn_file_actions_t value{};
  } actions;
  for (size_t i = 0; i < ends.size(); ++i) {
    posix_spawn_file_actions_adddup2(&actions.value, ends[i], static_cast<int>(i));
  }
  posix_spawn_file_actions_addclosefrom_np(&actions.value, static_cast<int>(ends.size()));
  struct Attributes {
    Attributes() { posix_spawnattr_init(&value); }
    Attributes(const Attributes&) = delete;
    Attributes& operator=(const Attributes&) = delete;
    ~Attributes() { posix_spawnattr_destroy(&value); }
    posix_spawnattr_t value{};
  } attributes;
  sigset_t set;
  sigemptyset(&set);
  posix_spawnattr_setsigmask(&attributes.value, &set);
  sigfillset(&set);
  posix_spawnattr_setsigdefault(&attributes.value, &set);
  posix_spawnattr_setflags(&attributes.value,
                           POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
  const auto pointers = [](const std::vector<std::string>& texts) {
    std::vector<char*> out;
    out.reserve(texts.size() + 1);
    for (const std::string& text : texts) {
      out.push_back(const_cast<char*>(text.c_str()));  // the interface is older than const
    }
    out.push_back(nullptr);
    return out;
  };
  pid_t pid = 0;
  const int error = posix_spawn(&pid, file.c_str(), &actions.value, &attributes.value,
                                pointers(arguments).data(), pointers(environment).data());
  if (error != 0) {
    throw_errno(concat("cannot start ", file), error);
  }
  return pid;
}

}  // namespace backplane::companion
