#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# check_exports.sh kernel LIBRARY GOLDEN: libbackplane exports what the golden file lists, all of it versioned.
# check_exports.sh plugins FOLDER...: every plugin exports bp_plugin_entry_1, and nothing else.
set -eu
export LC_ALL=C
kind=$1
shift

# Defined dynamic symbols, without those that the linker makes for version nodes.
exports() { nm -D --defined-only "$1" | awk '$2 != "A" { print $3 }' | sort; }

case $kind in
  kernel)
    found=$(exports "$1")
    if ! printf '# SPDX-License-Identifier: Apache-2.0\n%s\n' "$found" | diff -u "$2" - >&2; then
      echo "the exported symbols of $1 have changed; new ones: add them to $2, gone ones: a new major" >&2
      exit 1
    fi
    ;;
  plugins)
    failed=0 count=0
    for folder; do
      for plugin in "$folder"/libbackplane_*.so; do
        [ -e "$plugin" ] || continue
        count=$((count + 1))
        found=$(exports "$plugin")
        if [ "$found" != bp_plugin_entry_1 ]; then
          echo "$plugin exports more or less than bp_plugin_entry_1:" >&2
          printf '%s\n' "$found" >&2
          failed=1
        fi
      done
    done
    [ "$count" -gt 0 ] || { echo "no plugins in $*" >&2; exit 1; }
    echo "$count plugins"
    exit "$failed"
    ;;
esac
