#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# check_layout.sh INCLUDE_DIR COMPILER BASELINE SUPPRESSIONS [--update]: what has a layout differs from the baseline by members at the end of
# sized structs alone. --self-test instead of --update: changes copies of the headers, and sees which of them are allowed.
set -eu
include=$1 compiler=$2 baseline=$3 suppressions=$4
here=$(dirname "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# probe INCLUDE_DIR OUT
probe() { "$compiler" -std=c11 -g -O0 -shared -fPIC -I"$1" "$here/probe.c" -o "$2"; }
differs() { abidiff --leaf-changes-only --suppressions "$suppressions" "$baseline" "$1"; }

# expect allowed|refused FILE SED_SCRIPT: after this change of the header
expect() {
  rm -rf "$work/include"
  cp -r "$include" "$work/include"
  # What the compiler itself would refuse is not what is tested.
  : >"$work/include/backplane/layout.h"
  sed -i "$3" "$work/include/backplane/$2"
  if cmp -s "$include/backplane/$2" "$work/include/backplane/$2"; then
    echo "the change of $2 changes nothing: $3" >&2
    exit 1
  fi
  probe "$work/include" "$work/changed.so"
  if differs "$work/changed.so" >"$work/report"; then found=allowed; else found=refused; fi
  if [ "$found" != "$1" ]; then
    cat "$work/report" >&2
    echo "this change of $2 is $found, expected $1: $3" >&2
    exit 1
  fi
}

case ${5-} in
  --update)
    probe "$include" "$work/probe.so"
    abidw --no-show-locs --no-corpus-path --no-comp-dir-path "$work/probe.so" >"$baseline"
    ;;
  --self-test)
    expect allowed service/state.h 's/^} bp_state_service;/  void (*more)(void);\n&/'
    expect allowed operation.h 's/^  uint64_t impl\[4\];/&\n  uint64_t more;/'
    expect refused service/log.h 's/^typedef struct bp_log_service {/&\n  void (*first)(void);/'
    expect refused plugin.h 's/^  uint64_t flags; /  uint64_t between;\n&/'
    expect refused message.h 's/^} bp_message;/  uint64_t more;\n&/'
    expect refused value.h 's/^  uint16_t aux;/  uint32_t aux;/'
    ;;
  *)
    probe "$include" "$work/probe.so"
    differs "$work/probe.so" || {
      echo "the layout of the ABI has changed; a member at the end of a sized struct is allowed, all else is a new major ($0 $1 $2 $3 $4 --update)" >&2
      exit 1
    }
    ;;
esac
