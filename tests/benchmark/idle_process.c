/* SPDX-License-Identifier: Apache-2.0 */
/* backplane-bench-idle LIBRARY...: loads shared libraries and waits; its memory is theirs. */
#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (dlopen(argv[i], RTLD_NOW | RTLD_LOCAL) == NULL) {
      fprintf(stderr, "%s\n", dlerror());
      return 1;
    }
  }
  puts("ready");
  fflush(stdout);
  pause();
  return 0;
}
