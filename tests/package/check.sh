#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# check.sh FOLDER: installs the Debian packages of FOLDER in a new, minimal Debian system of this
# machine's release, and does there what a newcomer does: the pages on embedding and on plugins, the
# demo, the removal. The system is a folder that is removed at the end; it has a network of its own.
set -euo pipefail
packages=$(readlink -f "$1")
source=$(readlink -f "$(dirname "$0")/../..")

say() { printf 'package: %s\n' "$*" >&2; }
[[ $(id -u) == 0 ]] || { say "a system in a folder needs root: sudo $0 $packages"; exit 1; }

system=$(mktemp -d)
trap 'rm -rf --one-file-system "$system"' EXIT
chmod 755 "$system"

say "making a system in $system"
codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
sources=()
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
  [[ ! -f $file ]] || sources+=("$file")
done
mmdebstrap --quiet --variant=apt --skip=cleanup/apt/lists \
  --include=g++,cmake,make,pkg-config,python3 "$codename" "$system" "${sources[@]}"

# No service starts by being installed.
printf '#!/bin/sh\nexit 101\n' >"$system/usr/sbin/policy-rc.d"
chmod 755 "$system/usr/sbin/policy-rc.d"

mkdir -p "$system/source/sdk" "$system/source/tests"
cp -r "$packages" "$system/packages"
cp -r "$source/docs" "$system/source/"
cp -r "$source/sdk/examples" "$system/source/sdk/"
cp -r "$source/tests/docs" "$source/tests/package" "$source/tests/conformance" "$system/source/tests/"
cp "$source/LICENSE" "$system/source/"

# inside UNSHARE_OPTION... -- SCRIPT: a script of this folder, in the system.
inside() {
  local options=()
  while [[ $1 != -- ]]; do options+=("$1"); shift; done
  # shellcheck disable=SC2016 # the variables are the inner shell's
  unshare --mount --pid --fork --kill-child "${options[@]}" bash -euc '
    mount -t proc proc "$1/proc"
    mount -t tmpfs tmpfs "$1/dev"
    for device in null zero random urandom; do
      touch "$1/dev/$device"
      mount --bind "/dev/$device" "$1/dev/$device"
    done
    ln -s /proc/self/fd "$1/dev/fd"
    if [[ $3 == own-network ]]; then ip link set lo up; fi
    exec chroot "$1" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
      bash "/source/tests/package/$2"' _ "$system" "$2" \
    "$([[ " ${options[*]} " == *' --net '* ]] && echo own-network)" <&-
}

say 'installing the packages'
inside -- install.sh
say 'using them'
inside --net -- use.sh
say 'removing them'
inside -- remove.sh
say 'ok'
