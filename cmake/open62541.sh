#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# open62541, for a Debian that has no package of version 1.4: built once from the source package of
# a later Debian, into the user's cache.
#
#   cmake/open62541.sh            build it, unless that was done
#   cmake/open62541.sh --prefix   print where it is, or would be
#
# The machine's own apt configuration says where packages come from and is not changed; apt checks
# what it fetches. Needs cmake, ninja, a C compiler, python3, libssl-dev. No root.
#
# REDUCED: the nodes of the standard that a server needs to run. A client knows none of them, and the
# full set would make the library five times as large.
# Linked into the plugin: its package needs nothing that this Debian does not have.
set -euo pipefail

options=(
  -DCMAKE_BUILD_TYPE=RelWithDebInfo -DBUILD_SHARED_LIBS=OFF -DCMAKE_POSITION_INDEPENDENT_CODE=ON
  -DCMAKE_C_VISIBILITY_PRESET=hidden -DCMAKE_INSTALL_LIBDIR=lib
  -DCMAKE_INTERPROCEDURAL_OPTIMIZATION=OFF # or every link of the plugin would compile it again
  -DUA_NAMESPACE_ZERO=REDUCED -DUA_ENABLE_ENCRYPTION=OPENSSL -DUA_MULTITHREADING=100
  -DUA_ENABLE_SUBSCRIPTIONS=ON -DUA_ENABLE_SUBSCRIPTIONS_EVENTS=ON -DUA_ENABLE_METHODCALLS=ON
  -DUA_ENABLE_HISTORIZING=ON -DUA_ENABLE_DISCOVERY=ON
  -DUA_ENABLE_PUBSUB=OFF -DUA_ENABLE_PUBSUB_INFORMATIONMODEL=OFF
  -DUA_ENABLE_AMALGAMATION=OFF -DUA_BUILD_EXAMPLES=OFF -DUA_BUILD_UNIT_TESTS=OFF
  -DUA_FORCE_WERROR=OFF)
suites=(trixie forky sid) # the first that has the source; a mirror may lack files of one
version=1.4

# Another version or other options: another folder.
key=$(printf '%s\n' "$version" "${options[@]}" | cksum | cut -d ' ' -f 1)
prefix=${XDG_CACHE_HOME:-$HOME/.cache}/backplane/open62541-$version-$key

say() { printf 'open62541: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

case ${1-} in
  '') ;;
  --prefix) echo "$prefix"; exit ;;
  *) die "unknown option '$1'; there is --prefix" ;;
esac
[[ ! -e $prefix/.complete ]] || exit 0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Where this machine's own packages come from, and who signs them.
mirror() {
  local codename
  # shellcheck source=/dev/null
  codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
  # shellcheck disable=SC2016 # the format is apt's
  apt-get indextargets --format '$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(CREATED_BY)' |
    awk -F'|' -v codename="$codename" \
      '$2 == codename && $3 == "main" && $4 == "Packages" { print $1; exit }'
}

# Leaves the source in $work/fetched; apt's lists and cache are our own.
fetch() {
  local uri suite apt
  uri=$(mirror)
  [[ -n $uri ]] || die 'the apt configuration names no archive with the component main'
  mkdir -p "$work"/{lists,cache/archives}/partial "$work/fetched"
  apt=(apt-get -qq -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache")
  [[ $(id -u) != 0 ]] || apt+=(-o APT::Sandbox::User=root)
  cd "$work/fetched"
  for suite in "${suites[@]}"; do
    echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $suite main" \
      >"$work/sources.list"
    "${apt[@]}" update || continue
    # What only Debian's own build needs is not fetched; nor is every file needed that is.
    "${apt[@]}" source --only-source --download-only --tar-only open62541 2>>"$work/log" || true
    ! compgen -G "open62541_$version.*.orig.tar.gz" >/dev/null || return 0
  done
  cat "$work/log" >&2
  die "no source of version $version in ${suites[*]}"
}

say "building it for $prefix, once"
(fetch) >&2
mkdir -p "$work/source" "${prefix%/*}"
tar -xf "$(compgen -G "$work/fetched/open62541_$version.*.orig.tar.gz" | sort -V | tail -n 1)" \
  --strip-components=1 -C "$work/source"
{
  cmake -S "$work/source" -B "$work/build" -G Ninja -DCMAKE_INSTALL_PREFIX="$prefix" "${options[@]}"
  cmake --build "$work/build"
  rm -rf "$prefix"
  cmake --install "$work/build"
} >"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; die 'it does not build; the end of the log is above'; }
touch "$prefix/.complete"
