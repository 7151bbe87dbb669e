#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# node-opcua, another implementation of OPC UA that the tests of the plugin opcua have for a peer:
# installed once into the user's cache, exactly as package-lock.json says. Used by tests alone.
#
#   tests/support/node_opcua/install.sh            install it, unless that was done
#   tests/support/node_opcua/install.sh --prefix   print where it is, or would be
#
# Where packages come from is npm's own configuration. No package's scripts are run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

key=$(cksum <package-lock.json | cut -d ' ' -f 1)
prefix=${XDG_CACHE_HOME:-$HOME/.cache}/backplane/node-opcua-$key

say() { printf 'node-opcua: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

case ${1-} in
  '') ;;
  --prefix) echo "$prefix"; exit ;;
  *) die "unknown option '$1'; there is --prefix" ;;
esac
[[ ! -e $prefix/.complete ]] || exit 0

say "installing it into $prefix, once"
rm -rf "$prefix"
mkdir -p "$prefix"
cp package.json package-lock.json "$prefix"
npm ci --prefix "$prefix" --ignore-scripts --no-audit --no-fund --loglevel error >&2 ||
  die 'npm could not install it; its reason is above'
touch "$prefix/.complete"
