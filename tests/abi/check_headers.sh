#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# check_headers.sh INCLUDE_DIR LANGUAGE COMPILER [FLAG...]: every header of the ABI compiles alone, twice over, without a warning.
set -eu
include=$1 language=$2 compiler=$3
shift 3
failed=0 count=0
for header in $(cd "$include" && find backplane -name '*.h' | sort); do
  count=$((count + 1))
  printf '#include <%s>\n#include <%s>\nextern int bp_unused;\n' "$header" "$header" |
    "$compiler" "$@" -Wall -Wextra -Wpedantic -Werror -I"$include" -fsyntax-only -x "$language" - ||
    { echo "$header: does not compile alone as $*" >&2; failed=1; }
done
[ "$count" -gt 0 ] || { echo "no headers in $include" >&2; exit 1; }
echo "$count headers"
exit "$failed"
