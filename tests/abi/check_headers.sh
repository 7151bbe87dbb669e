#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# check_headers.sh alone|together INCLUDE_DIR LANGUAGE COMPILER [FLAG...]: every header compiles, twice over, without
# a warning: each alone, or all in one source.
set -eu
mode=$1 include=$2 language=$3 compiler=$4
shift 4
headers=$(cd "$include" && find backplane -name '*.h' -o -name '*.hpp' | sort)
[ -n "$headers" ] || { echo "no headers in $include" >&2; exit 1; }
[ "$mode" = alone ] || headers=$(echo "$headers" | tr '\n' ' ')

failed=0
while read -r source; do # the headers of one source
  # shellcheck disable=SC2086 # the names have no spaces
  { printf '#include <%s>\n' $source $source; echo 'extern int bp_unused;'; } |
    "$compiler" "$@" -Wall -Wextra -Wpedantic -Werror -I"$include" -fsyntax-only -x "$language" - ||
    { echo "$source: no source of $language for $compiler $*" >&2; failed=1; }
done <<EOF
$headers
EOF
exit "$failed"
