#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# check_constants.sh INCLUDE_DIR COMPILER GOLDEN [--update]: every BP_* macro of the ABI is what it was. Tools that compare binaries do not see
# macros. The version of the release is no part of the ABI.
set -eu
export LC_ALL=C
dump() {
  echo '#include <backplane/backplane.h>' | "$2" -std=c11 -dM -E -I"$1" -x c - |
    sed -n 's/^#define \(BP_[A-Z0-9_]*\((.*)\)\{0,1\}\)/\1/p' | grep -v '^BP_VERSION_' | sort
}
if [ "${4-}" = --update ]; then
  { echo '# SPDX-License-Identifier: Apache-2.0' && dump "$1" "$2"; } >"$3"
  exit
fi
if ! { echo '# SPDX-License-Identifier: Apache-2.0' && dump "$1" "$2"; } | diff -u "$3" - >&2; then
  echo "constants of the ABI have changed; a changed or removed one is a new major, an added one goes into the golden file: $0 $1 $2 $3 --update" >&2
  exit 1
fi
