#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# check_model.sh sound|broken SPIN CC MODEL [-DNAME=VALUE...]: every run of the model keeps what it asserts, and ends;
# or, of one with a mistake in it, not.
set -eu
expected=$1 spin=$2 cc=$3 model=$4
shift 4
folder=$(mktemp -d "${TMPDIR:-/tmp}/backplane-model-XXXXXX")
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"$spin" "$@" -a "$model" >spin.txt
"$cc" -O2 -w -DSAFETY -DCOLLAPSE -o search pan.c
./search -m100000 -w24 >found.txt
grep -v '^Depth' found.txt

if grep -q -e 'max search depth too small' -e 'out of memory' found.txt; then
  echo "the search was not complete" >&2
  exit 1
fi
errors=$(sed -n 's/.*errors: \([0-9]*\)$/\1/p' found.txt)
case $expected in
  sound) [ "$errors" = 0 ] || { echo 'the model does not hold what it promises' >&2; exit 1; } ;;
  broken) [ "$errors" != 0 ] || { echo 'the mistake is not found' >&2; exit 1; } ;;
  *) exit 2 ;;
esac
