#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Inside the new system: each package alone first, as its dependencies must be its own.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
apt_get() { apt-get -qq -o Dpkg::Use-Pty=0 -o APT::Install-Recommends=false --yes "$@"; }

library=(/packages/libbackplane[0-9]*.deb)
for plugin in /packages/backplane-plugin-*.deb; do
  apt_get install "${library[@]}" "$plugin" >/dev/null
  name=${plugin##*/backplane-plugin-}
  # Every library that it needs is there.
  if ldd "/usr/lib/backplane/plugins/libbackplane_${name%%_*}.so" | grep 'not found'; then exit 1; fi
  apt_get autoremove --purge "backplane-plugin-${name%%_*}" >/dev/null
done
apt_get install /packages/*.deb mosquitto >/dev/null
ldd /usr/lib/backplane/backplane-host >/dev/null
dpkg --verify
