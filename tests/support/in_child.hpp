// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

namespace backplane::test {

/// What the body returns becomes the exit code of a child made by fork(2), which is returned; -1: a
/// signal ended it.
template <class Body>
int in_child(const Body& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::_exit(body());
  }
  int status = 0;
  const bool has_exited = child > 0 && ::waitpid(child, &status, 0) == child && WIFEXITED(status);
  return has_exited ? WEXITSTATUS(status) : -1;
}

}  // namespace backplane::test
