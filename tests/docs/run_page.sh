#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run_page.sh PAGE FOLDER: does what a page of the documentation says, in FOLDER. A block after
# `<!-- file: NAME -->` is written to that file, a block marked `sh` is run, and one after
# `<!-- prints -->` is what the last of these must have printed.
set -euo pipefail
page=$(readlink -f "$1")
cd "$2"
exec 3<"$page"

fail() {
  printf '%s:%d: error: %s\n' "$page" "$number" "$1" >&2
  exit 1
}

number=0 next='' block='' language='' ran=0
printed=$(mktemp)
trap 'rm -f "$printed"' EXIT
while IFS= read -r line <&3; do
  number=$((number + 1))
  if [[ -z $language ]]; then
    case $line in
      '<!-- file: '*' -->')
        next=${line#'<!-- file: '}
        next=file:${next%' -->'}
        ;;
      '<!-- prints -->') next=prints ;;
      '```'?*) language=${line#'```'} block='' ;;
    esac
    continue
  fi
  if [[ $line != '```' ]]; then
    block+=$line$'\n'
    continue
  fi
  case $next,$language in
    file:*)
      mkdir -p "$(dirname "${next#file:}")"
      printf '%s' "$block" >"${next#file:}"
      ;;
    prints,*)
      diff <(printf '%s' "$block") "$printed" >&2 || fail 'the commands before print something else'
      ;;
    ,sh)
      bash -euo pipefail -c "$block" <&- >"$printed" || {
        cat "$printed" >&2
        fail 'the commands that end here fail'
      }
      ran=$((ran + 1))
      ;;
  esac
  next='' language=''
done
[[ $ran -gt 0 ]] || fail 'no commands were found'
printf '%s: %d blocks of commands ran\n' "$page" "$ran"
