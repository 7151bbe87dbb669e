#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Inside the new system: after the removal nothing of the packages is left.
set -euo pipefail
dpkg-query -W -f '${Package}\n' 'backplane*' 'libbackplane*' | xargs apt-get -qq -o Dpkg::Use-Pty=0 --yes purge >/dev/null
if find /usr /etc /lib /bin -name '*backplane*' | grep .; then exit 1; fi
